"""The demonstration's zones (高排放禁用区) as GeoJSON features, in the form that `zones import` reads.

EVERY BOUNDARY IS MADE UP: a wiggly ring about a made-up seat, from a seed. None follows a road, an official notice or a
map. County seats and development zones get a core zone (核心禁用区) of a few kilometres, some with a hole; every
township seat gets a general zone (一般禁用区) of 0.5 to 1.5 km.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from gateway.demo.districts import SEED, District, branches, townships

_KM_PER_DEGREE = 111.195
_CORE_KM = (1.7, 2.7)
_SMALL_CORE_KM = (1.1, 1.6)
_GENERAL_KM = (0.3, 0.65)
_HOLE_EVERY = 3
_STRICT_EVERY = 8
FROM = "2025-03-28T00:00:00+08:00"
NOTICE = "演示〔2025〕{}号"

CORE_RULES: list[dict[str, Any]] = [{"any_of": [{"stage_below": "3"}]}]
"""未达到国三（国二及以前，不含国三）; 环X counts as below 国一."""
GENERAL_RULES: list[dict[str, Any]] = [{"any_of": [{"stage_below": "2"}]}]
"""未达到国二（国一及以前，不含国二）."""


@dataclass(frozen=True, slots=True)
class _Outline:
    """A closed curve in polar form: a mean radius and four waves on it."""

    km: float
    waves: tuple[tuple[int, float, float], ...]

    @staticmethod
    def draw(rng: Random, km: float) -> _Outline:
        return _Outline(km, tuple((k, rng.uniform(0.02, 0.22 / k), rng.random() * math.tau) for k in (2, 3, 5, 9)))

    def far_km(self, angle: float) -> float:
        return self.km * (1 + sum(size * math.sin(k * angle + turn) for k, size, turn in self.waves))

    def ring(self, seat: tuple[float, float], vertices: int) -> list[list[float]]:
        east = _KM_PER_DEGREE * math.cos(math.radians(seat[1]))
        ring = []
        for step in range(vertices):
            angle = math.tau * step / vertices
            far = self.far_km(angle)
            across, up = far * math.cos(angle) / east, far * math.sin(angle) / _KM_PER_DEGREE
            ring.append([round(seat[0] + across, 6), round(seat[1] + up, 6)])
        return [*ring, ring[0]]


def radius_km(district: District) -> float:
    """The mean radius of a district's zone: a function of its code alone."""
    rng = Random(f"{SEED} {district.code}")
    if district.level == "township":
        return rng.uniform(*_GENERAL_KM)
    return rng.uniform(*(_CORE_KM if district.gb_code else _SMALL_CORE_KM))


def _outline(district: District) -> _Outline:
    return _Outline.draw(Random(f"{SEED} ring {district.code}"), radius_km(district))


def edge_km(district: District, bearing: float) -> float:
    """How far a district's border is from its seat in a direction (radians clockwise from north)."""
    return _outline(district).far_km(math.pi / 2 - bearing)


def _feature(number: int, district: District) -> dict[str, Any]:
    core = district.level == "branch"
    km = radius_km(district)
    rings = [_outline(district).ring(district.seat, 120 if core else 60)]
    if core and number % _HOLE_EVERY == 0:
        # The hole lies off the centre, as a works or a farm left out of a town does.
        shift = km * 0.45 / _KM_PER_DEGREE
        hole = _Outline.draw(Random(f"{SEED} hole {district.code}"), km * 0.18)
        rings.append(hole.ring((district.seat[0] - shift, district.seat[1] + shift), 32)[::-1])
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "name": f"{district.name}{'城区核心禁用区' if core else '政府驻地一般禁用区'}（演示）",
            "district": district.code,
            "tier": "core" if core else "general",
            "crs": "wgs84",
            "doc_no": NOTICE.format(number),
            "rules": CORE_RULES if number in _strict() else GENERAL_RULES,
            "valid_from": FROM,
        },
    }


@cache
def _numbered() -> tuple[tuple[int, District], ...]:
    """Every district that has a zone, with the number of its notice: core zones first."""
    return tuple(enumerate((*branches(), *townships()), start=1))


@cache
def _strict() -> frozenset[int]:
    """Zones with the core zones' rule: those, and a few towns."""
    return frozenset(number for number, row in _numbered() if row.level == "branch" or number % _STRICT_EVERY == 0)


@cache
def lenient_towns() -> tuple[District, ...]:
    """Towns whose zone allows 国二, away from any core zone (streets lie in or beside one)."""
    return tuple(row for number, row in _numbered() if number not in _strict() and not row.name.endswith("街道"))


@cache
def collection() -> dict[str, Any]:
    """All zones as one FeatureCollection, core zones first."""
    features = [_feature(number, district) for number, district in _numbered()]
    return {"type": "FeatureCollection", "features": features}
