"""What a draft changes in the version that is there, in words and metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geofence.nested import LocalPlane

if TYPE_CHECKING:
    from geofence.zones import Zone, ZoneDraft

# Another program's digits, another first corner or another edition of PROJ: no border of a zone is known to a millimetre.
_SAME_M = 1e-3
# Rules are compared as JSON; the numbers as the database keeps them, in 32 bits.
_PLAIN = ("tier", "doc_no", "unknown_policy", "slow_terminals")
_NUMBERS = ("guard_m", "halo_m", "merge_s", "lost_s", "lost_merge_s")


@dataclass(frozen=True, slots=True)
class Difference:
    """before, after: JSON values, times as int64 us UTC. Of the field "geometry" they are areas in m2, and area_m2 is
    what only one of the shapes covers, shift_m how far the border moved at most, measured at the corners of both.
    """

    field: str
    before: Any
    after: Any
    area_m2: float | None = None
    shift_m: float | None = None


def differences(draft: ZoneDraft, stored: Zone) -> list[Difference]:
    """Empty where the draft says what the stored version says. A draft without a beginning begins whenever that did."""
    found = _geometry(draft.geometry, stored.geometry)
    rules = draft.rules_json()
    before = [rule.to_json() for rule in stored.rules]
    if rules != before:
        found.append(Difference("rules", before, rules))
    found += [
        Difference(name, getattr(stored, name), getattr(draft, name))
        for name in _PLAIN
        if getattr(stored, name) != getattr(draft, name)
    ]
    found += [
        Difference(name, getattr(stored, name), getattr(draft, name))
        for name in _NUMBERS
        if np.float32(getattr(stored, name)) != np.float32(getattr(draft, name))
    ]
    if draft.valid_from is not None and draft.valid_from != stored.valid_from:
        found.append(Difference("valid_from", stored.valid_from, draft.valid_from))
    if draft.valid_to != stored.valid_to:
        found.append(Difference("valid_to", stored.valid_to, draft.valid_to))
    return found


def area_m2(geometry: shapely.Geometry) -> float:
    """Of a shape in degrees WGS-84, valid or not; see geofence.nested for what the plane is off by."""
    west, south, east, north = geometry.bounds
    return float(shapely.area(LocalPlane((west + east) / 2, (south + north) / 2).to_metres(geometry)))


def _geometry(after: shapely.Geometry, before: shapely.Geometry) -> list[Difference]:
    if shapely.equals_identical(after, before):
        return []
    west, south, east, north = before.bounds
    plane = LocalPlane((west + east) / 2, (south + north) / 2)
    old, new = plane.to_metres(before), plane.to_metres(after)
    changed = float(shapely.area(shapely.symmetric_difference(old, new)))
    shift = max(_furthest(old, new), _furthest(new, old))
    if shift < _SAME_M:
        return []
    return [Difference("geometry", area_m2(before), area_m2(after), changed, shift)]


def _furthest(of: shapely.Geometry, from_: shapely.Geometry) -> float:
    """How far the corners of one border lie from the other border, at most."""
    rings = shapely.get_rings(shapely.get_parts(from_))
    segments = np.concatenate([_segments(shapely.get_coordinates(ring)) for ring in rings])
    tree = shapely.STRtree(segments)
    corners = shapely.points(shapely.get_coordinates(of))
    _, distances = tree.query_nearest(corners, return_distance=True, all_matches=False)
    return float(distances.max())


def _segments(points: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    return shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1))
