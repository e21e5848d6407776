"""The three nested shapes of a zone: halo around it, the zone itself, and the inner part that confirms an entry.

Distances are metres on a plane that stretches degrees by their local size at the zone's middle. That map keeps straight
edges straight, so the zone itself is not touched, and is wrong by 0.3 % at the ends of a county 50 km high.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import cos, radians, sin, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geofence.zones import Zone

# WGS-84: semi-major axis in m, first eccentricity squared.
_AXIS_M = 6378137.0
_ECCENTRICITY2 = 0.00669437999014
# Segments per quarter circle: a chord lies at most 2 % of the distance (0.6 m of 30) inside the arc.
_ARC = 4
# A guard must leave most of a narrow zone to be entered.
_GUARD_SHARE = 0.25

NEST = 3
"""Shapes per zone in the fence's grid: shape = NEST * zone + depth - 1."""


class Depth(IntEnum):
    """How deep in a zone a fix is. What is not in the halo has no depth, which counts as 0."""

    HALO = 1
    BORDER = 2
    INNER = 3


@dataclass(frozen=True, slots=True)
class LocalPlane:
    """Metres east and north of a point (degrees WGS-84), for distances of up to some tens of kilometres."""

    lon: float
    lat: float

    @property
    def metres_per_degree(self) -> tuple[float, float]:
        """(east, north) at the plane's point."""
        phi = radians(self.lat)
        w2 = 1.0 - _ECCENTRICITY2 * sin(phi) ** 2
        prime_vertical = _AXIS_M / sqrt(w2)
        meridian = prime_vertical * (1.0 - _ECCENTRICITY2) / w2
        return radians(prime_vertical * cos(phi)), radians(meridian)

    def to_metres(self, shape: Any) -> Any:
        """Degrees to metres, a shapely geometry or an array of them."""
        scale = self.metres_per_degree
        return shapely.transform(shape, lambda points: (points - (self.lon, self.lat)) * scale)

    def to_degrees(self, shape: Any) -> Any:
        scale = self.metres_per_degree
        return shapely.transform(shape, lambda points: points / scale + (self.lon, self.lat))


def nested_shapes(zone: Zone) -> tuple[Any, Any, Any]:
    """(halo, border, inner): shapely polygons in degrees, by Depth - 1, each within the one before.

    halo is None where halo_m is 0. Where guard_m is 0 the whole zone is inner and border is None.
    """
    west, south, east, north = zone.geometry.bounds
    plane = LocalPlane((west + east) / 2, (south + north) / 2)
    local = plane.to_metres(zone.geometry)
    halo = None
    if zone.halo_m > 0:
        halo = plane.to_degrees(shapely.buffer(local, zone.halo_m, quad_segs=_ARC))
    if zone.guard_m <= 0:
        return halo, None, zone.geometry
    return halo, zone.geometry, plane.to_degrees(_erode(local, zone.guard_m))


def _erode(shape: Any, guard_m: float) -> Any:
    """Part by part, so that a small part keeps an inner shape of its own."""
    parts = shapely.get_parts(shape)
    guards = np.array([_guard(part, guard_m) for part in parts], np.float64)
    eroded: NDArray[Any] = shapely.get_parts(shapely.buffer(parts, -guards, quad_segs=_ARC))
    return eroded[0] if len(eroded) == 1 else shapely.multipolygons(eroded)


def _guard(part: Any, guard_m: float) -> float:
    """The guard in metres, at most a quarter of the inradius."""
    enough = guard_m / _GUARD_SHARE
    # Any inner point's distance to the border is a lower bound of the inradius, and is all that a large part needs.
    if shapely.distance(shapely.point_on_surface(part), shapely.boundary(part)) >= enough:
        return guard_m
    inradius = float(shapely.length(shapely.maximum_inscribed_circle(part)))
    return min(guard_m, inradius * _GUARD_SHARE)
