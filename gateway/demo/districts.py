"""The districts of the demonstration: names and codes are facts, every position is made up.

`fixtures/demo/districts.json` holds the names and says where they come from. County seats stand near their public
coordinates, rounded to 0.01 degree; development zones and townships are laid out by a seeded rule, so a township's
demo position says nothing about the real place.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "fixtures" / "demo" / "districts.json"
SEED = 808
_KM_PER_DEGREE = 111.195
_NEAREST_TOWN_KM = 3.2
_CLEAR_OF_SEAT_KM = 5.0
_FARTHEST_KM = 20.0
_STREET_KM = (1.2, 2.6)


@dataclass(frozen=True, slots=True)
class District:
    """A unit of the environment bureau (level branch) or a township; ``seat`` is a made-up longitude and latitude."""

    code: str
    gb_code: str | None
    name: str
    level: str
    parent: str | None
    seat: tuple[float, float]


def distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    east = (b[0] - a[0]) * _KM_PER_DEGREE * math.cos(math.radians((a[1] + b[1]) / 2))
    return math.hypot(east, (b[1] - a[1]) * _KM_PER_DEGREE)


def _from(seat: tuple[float, float], km: float, bearing: float) -> tuple[float, float]:
    north = km * math.cos(bearing) / _KM_PER_DEGREE
    east = km * math.sin(bearing) / (_KM_PER_DEGREE * math.cos(math.radians(seat[1])))
    return round(seat[0] + east, 5), round(seat[1] + north, 5)


@cache
def districts() -> tuple[District, ...]:
    """City, branches and townships, in the order that their parents need."""
    table = json.loads(FILE.read_text(encoding="utf-8"))
    city = table["city"]
    rows = [District(city["code"], city["code"], city["name"], "city", None, tuple(city["seat"]))]
    rows += [
        District(row["code"], row.get("gb_code"), row["name"], "branch", city["code"], tuple(row["seat"]))
        for row in (*table["counties"], *table["development_zones"])
    ]
    rows += _townships(table["counties"], [row.seat for row in rows[1:]])
    return tuple(rows)


def branches() -> tuple[District, ...]:
    return tuple(row for row in districts() if row.level == "branch")


def townships() -> tuple[District, ...]:
    return tuple(row for row in districts() if row.level == "township")


def _townships(counties: list[dict[str, Any]], seats: list[tuple[float, float]]) -> list[District]:
    """Streets ring their county's seat; towns are thrown at random, apart from each other and in their own county."""
    rng = Random(SEED)
    placed: list[District] = []
    for county in counties:
        seat: tuple[float, float] = tuple(county["seat"])
        names: list[tuple[str, str]] = [tuple(row) for row in county["townships"]]
        streets = [row for row in names if row[1].endswith("街道")]
        turn = rng.random() * math.tau
        for place, (code, name) in enumerate(streets):
            bearing = turn + math.tau * place / len(streets) + rng.uniform(-0.2, 0.2)
            point = _from(seat, rng.uniform(*_STREET_KM), bearing)
            placed.append(District(code, code, name, "township", county["code"], point))
        for code, name in names:
            if not name.endswith("街道"):
                point = _throw(rng, seat, seats, [row.seat for row in placed])
                placed.append(District(code, code, name, "township", county["code"], point))
    return sorted(placed, key=lambda row: row.code)


def _throw(
    rng: Random, seat: tuple[float, float], seats: list[tuple[float, float]], taken: list[tuple[float, float]]
) -> tuple[float, float]:
    """A point nearer to its own county's seat than to another's; the room between towns shrinks until one fits."""
    apart = _NEAREST_TOWN_KM
    while True:
        for _ in range(200):
            far = _CLEAR_OF_SEAT_KM + (_FARTHEST_KM - _CLEAR_OF_SEAT_KM) * math.sqrt(rng.random())
            point = _from(seat, far, rng.random() * math.tau)
            own = distance_km(point, seat)
            if (
                all(distance_km(point, other) > max(_CLEAR_OF_SEAT_KM, own * 0.9) for other in seats if other != seat)
                and own > _CLEAR_OF_SEAT_KM
                and all(distance_km(point, other) > apart for other in taken)
            ):
                return point
        apart *= 0.9
