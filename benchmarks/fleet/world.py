"""The zones of the simulation, as the product gets them and as truth is measured: shapes in metres on one plane.

Truth has its own shapes, eroded and widened here with far finer arcs than the fence's, so that the fence is measured
and not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.geometry.polygon import orient

from geofence.nested import LocalPlane
from geofence.zones import parse_feature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geofence.zones import Zone

    Floats = NDArray[np.float64]

HOME = LocalPlane(115.98, 36.45)  # Liaocheng
DISTRICT = "371502"
ARCS = 64
"""Segments per quarter circle of truth's own shapes: a chord is within 0.02 % of the distance."""
_GUARD_SHARE = 0.25  # docs/fences.md: at most a quarter of the inradius
_SHAPES_SEED = 808  # the zones are the same in every run; the runs differ in machines and noise


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """One zone. shape: shapely Polygon, metres; guard_m: what is left of the guard in so narrow a zone;
    bans_below: emission stage.
    """

    id: int
    name: str
    shape: Any
    bans_below: str
    tier: str
    guard_m: float

    def bans(self, stage: str) -> bool:
        return stage < self.bans_below

    @property
    def inner(self) -> Any:
        """What lies at least the guard inside the line."""
        return shapely.buffer(self.shape, -self.guard_m, quad_segs=ARCS) if self.guard_m else self.shape

    def offset(self, metres: float) -> Any:
        """The line so many metres outside this zone's line; inside it where negative."""
        moved = shapely.buffer(self.shape, metres, quad_segs=ARCS) if metres else self.shape
        return shapely.boundary(moved)


def areas(guard_m: float) -> tuple[Area, ...]:
    """A general county zone around its core, a township, and a strip along a road that is too narrow for its guard."""
    rng = np.random.default_rng(_SHAPES_SEED)
    line = shapely.LineString([(0, 16_000), (2_500, 16_400), (6_000, 16_200)])
    shapes = (
        (1, "county, general", _star(rng, 0, 0, 12_000, 1_200, 0), "2", "general"),
        (2, "county, core", _star(rng, 0, 0, 5_000, 2_000, 2), "3", "core"),
        (3, "township", _star(rng, 26_000, 4_000, 1_500, 500, 1), "3", "core"),
        (4, "strip 80 m wide", orient(line.buffer(40, cap_style="flat")), "3", "core"),
    )
    return tuple(
        Area(number, name, shape, bans, tier, _guard(shape, guard_m)) for number, name, shape, bans, tier in shapes
    )


def published(given: Sequence[Area], guard_m: float) -> list[Zone]:
    """The areas as zones of the product, through the same door as a user's."""
    return [
        parse_feature(
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(HOME.to_degrees(area.shape)),
                "properties": {
                    "name": area.name,
                    "district": DISTRICT,
                    "crs": "wgs84",
                    "tier": area.tier,
                    "guard_m": guard_m,
                    "rules": [{"any_of": [{"stage_below": area.bans_below}]}],
                },
            }
        ).publish(area.id, 1)
        for area in given
    ]


def degrees(east_m: Floats, north_m: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude (WGS-84) of points in metres from HOME."""
    east, north = HOME.metres_per_degree
    return HOME.lon + east_m / east, HOME.lat + north_m / north


def _guard(shape: Any, guard_m: float) -> float:
    inradius = float(shapely.length(shapely.maximum_inscribed_circle(shape)))
    return min(guard_m, inradius * _GUARD_SHARE)


def _star(rng: np.random.Generator, east: float, north: float, radius_m: float, vertices: int, holes: int) -> Any:
    """A jagged polygon of that many vertices; its holes lie a third of the radius to the east and west."""

    def ring(x: float, y: float, reach: float, count: int) -> Floats:
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        waves = np.arange(2, 9)
        bumps = (rng.normal(0, 0.12, 7) / waves * np.sin(np.outer(angle, waves) + rng.uniform(0, 6, 7))).sum(1)
        radii = reach * (1 + bumps) + rng.normal(0, 3, count)
        return np.column_stack([x + radii * np.cos(angle), y + radii * np.sin(angle)])

    inner = [ring(east + radius_m / 3 * (-1) ** hole, north, radius_m / 6, 80) for hole in range(holes)]
    shape = shapely.Polygon(ring(east, north, radius_m, vertices), inner)
    assert shape.is_valid
    return orient(shape)
