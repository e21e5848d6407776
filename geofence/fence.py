"""The fence: which zones, and how deep in each, for columns of points; compiled once, replaced by a new one on edits.

The R-tree of the zones' boxes gives the lattice its bounds and answers viewport and nearest-zone queries; the grid answers
points. A Fence never changes, so a reader swaps one reference.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import shapely

from geofence.lookup.boxes import Boxes
from geofence.lookup.grid import FenceGrid
from geofence.lookup.raster import Lattice
from geofence.nested import NEST, Depth, LocalPlane, nested_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from geofence.zones import Zone

    Bounds = tuple[float, float, float, float]
    Nested = tuple[Any, Any, Any]

__all__ = ["Depth", "Fence"]

FOREVER = 2**63 - 1
"""Later than any device time, us."""

_generations = count(1)


class Fence:
    """Zones compiled for look-up. Make one with ``compile``; ``zones`` are in the order of the zone indices.

    A zone's shapes are a nest of the grid. Versions of a zone that differ in other things than their shape share one, so
    the end of a version and a change of rules leave the grid as it is.
    """

    def __init__(self, zones: tuple[Zone, ...], nests: tuple[int, ...], boxes: Boxes, grid: FenceGrid) -> None:
        """For this module's own use. nests: of each zone, the number of its nest in the grid and of its box."""
        self.zones = zones
        self.generation = next(_generations)
        """Another number for each fence of this process: set ids mean something only within one generation."""
        self._nests = nests
        self._boxes = boxes
        self._grid = grid
        self._versions: dict[int, list[int]] = {}
        self._tenants: dict[int, list[int]] = {}
        for i, (zone, nest) in enumerate(zip(zones, nests, strict=True)):
            self._versions.setdefault(zone.id, []).append(i)
            self._tenants.setdefault(nest, []).append(i)
        self._sets: dict[int, tuple[tuple[tuple[int, Depth], ...], list[int]]] = {}

    @classmethod
    def compile(cls, zones: Sequence[Zone]) -> Fence:
        """A fence over published zones, of each the versions that a fix may still meet: the one in force at its time counts.

        Raises ValueError where a version is there twice. Versions of one zone must not overlap in time.
        """
        if len({(zone.id, zone.version) for zone in zones}) != len(zones):
            raise ValueError("a version of a zone is in the fence twice")
        leaders: dict[int, list[tuple[Zone, int]]] = {}
        nests: list[int] = []
        nested: list[Nested] = []
        for zone in zones:
            known = leaders.setdefault(zone.id, [])
            nest = next((nest for other, nest in known if _same_shape(zone, other)), len(nested))
            if nest == len(nested):
                nested.append(nested_shapes(zone))
                known.append((zone, nest))
            nests.append(nest)
        return cls._of(tuple(zones), tuple(nests), nested)

    @classmethod
    def _of(cls, zones: tuple[Zone, ...], nests: tuple[int, ...], nested: Sequence[Nested]) -> Fence:
        boxes = Boxes({nest: _bounds(shapes) for nest, shapes in enumerate(nested) if shapes[NEST - 1] is not None})
        flat = [shape for shapes in nested for shape in shapes]
        return cls(zones, nests, boxes, FenceGrid.compile(flat, Lattice.over(boxes.bounds), NEST))

    # ---- points ------------------------------------------------------------------------------------------------

    def locate(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        """One set id per point (degrees WGS-84); 0 is outside every halo. NaN and infinities are outside."""
        return self._grid.locate(lon, lat)

    def depths(self, set_id: int) -> tuple[tuple[int, Depth], ...]:
        """(zone index, depth) of every zone of a set, ascending by index. Whether a zone is in force is not looked at."""
        return self._known(set_id)[0]

    def unchanged_until(self, set_id: int, time: int) -> int:
        """The first device time after ``time`` (us) at which a zone of the set comes into or goes out of force."""
        edges = self._known(set_id)[1]
        later = bisect_right(edges, time)
        return edges[later] if later < len(edges) else FOREVER

    def _known(self, set_id: int) -> tuple[tuple[tuple[int, Depth], ...], list[int]]:
        """Of a set, (zone index, depth) ascending, and the times at which its zones come into or go out of force."""
        known = self._sets.get(set_id)
        if known is None:
            deepest: dict[int, Depth] = {}
            for shape in self._grid.members(set_id):  # ascending: a zone's deeper shapes come later
                nest, depth = divmod(shape, NEST)
                for zone in self._tenants[nest]:
                    deepest[zone] = Depth(depth + 1)
            edges = {edge for i in deepest for edge in (self.zones[i].valid_from, self.zones[i].valid_to)} - {None}
            known = self._sets[set_id] = tuple(sorted(deepest.items())), sorted(cast("set[int]", edges))
        return known

    # ---- zones -------------------------------------------------------------------------------------------------

    def zone(self, zone_id: int, at: int) -> Zone | None:
        """The version of this zone that is in force at a device time (us), or None."""
        versions = (self.zones[i] for i in self._versions.get(zone_id, ()))
        return next((zone for zone in versions if zone.counts_at(at)), None)

    @property
    def bounds(self) -> Bounds | None:
        """(west, south, east, north) around all zones and halos, degrees; None where there are none."""
        return self._boxes.bounds

    def zones_in(self, bounds: Bounds) -> list[Zone]:
        """Zones that a viewport (west, south, east, north in degrees) shows a part of."""
        view = shapely.box(*bounds)
        near = (self.zones[i] for i in self._in_boxes(self._boxes.touching(bounds)))
        return [zone for zone in near if shapely.intersects(zone.geometry, view)]

    def nearest(self, lon: float, lat: float, most: int = 1) -> list[tuple[Zone, float]]:
        """The nearest zones with their distances in metres, nearest first; 0 is on the border or inside."""
        plane = LocalPlane(lon, lat)
        origin = shapely.Point(0.0, 0.0)

        def measure(indices: Iterable[int]) -> list[tuple[float, int]]:
            return [(float(shapely.distance(plane.to_metres(self.zones[i].geometry), origin)), i) for i in indices]

        # The boxes' order is not the zones' order: whatever may be nearer than the worst of the first guess is measured.
        guess = measure(self._in_boxes(self._boxes.nearest(lon, lat, most)))
        if not guess:
            return []
        reach = sorted(guess)[:most][-1][0]
        east, north = (reach / scale for scale in plane.metres_per_degree)
        box = (lon - east, lat - north, lon + east, lat + north)
        found = sorted(measure(set(self._in_boxes(self._boxes.touching(box))) | {i for _, i in guess}))
        return [(self.zones[i], distance) for distance, i in found[:most]]

    def _in_boxes(self, nests: list[int]) -> list[int]:
        return sorted(i for nest in nests for i in self._tenants[nest])

    # ---- edits -------------------------------------------------------------------------------------------------

    def with_zone(self, zone: Zone) -> Fence:
        """The same fence with a version of a zone added, or replaced; only its own cells are laid anew.

        May run in another thread than the one that reads this fence.
        """
        place = self._place(zone.id, zone.version)
        zones = (*self.zones[:place], zone, *self.zones[place + 1 :])
        for i in self._versions.get(zone.id, ()):
            if _same_shape(zone, self.zones[i]):
                nests = (*self._nests[:place], self._nests[i], *self._nests[place + 1 :])
                return self._vacated(Fence(zones, nests, self._boxes, self._grid))
        taken = {nest for i, nest in enumerate(self._nests) if i != place}
        nest = next(number for number in count() if number not in taken)
        nests = (*self._nests[:place], nest, *self._nests[place + 1 :])
        shapes = nested_shapes(zone)
        grid = self._grid.over(_bounds(shapes))
        if grid is None:
            kept = {number: _nested(self._grid, number) for number in taken} | {nest: shapes}
            nested = [kept.get(number, (None, None, None)) for number in range(max(kept) + 1)]
            return Fence._of(zones, nests, nested)
        boxes = self._boxes.with_box(nest, _bounds(shapes))
        return self._vacated(Fence(zones, nests, boxes, grid.with_nest(nest, shapes)))

    def without(self, zone_id: int, version: int) -> Fence:
        """A fence without this version (the same one if it is not there)."""
        place = self._place(zone_id, version)
        if place == len(self.zones):
            return self
        zones, nests = (
            (*self.zones[:place], *self.zones[place + 1 :]),
            (*self._nests[:place], *self._nests[place + 1 :]),
        )
        return self._vacated(Fence(zones, nests, self._boxes, self._grid))

    def _place(self, zone_id: int, version: int) -> int:
        """The index of a version, or the one past the end."""
        versions = self._versions.get(zone_id, ())
        return next((i for i in versions if self.zones[i].version == version), len(self.zones))

    def _vacated(self, new: Fence) -> Fence:
        """The new fence, without the shapes that a zone had in this one and none has now."""
        for nest in self._tenants.keys() - new._tenants.keys():
            boxes, grid = new._boxes.with_box(nest, None), new._grid.with_nest(nest, (None, None, None))
            new = Fence(new.zones, new._nests, boxes, grid)
        return new


def _same_shape(zone: Zone, other: Zone) -> bool:
    return (
        zone.guard_m == other.guard_m
        and zone.halo_m == other.halo_m
        and bool(shapely.equals_exact(zone.geometry, other.geometry, 0.0))
    )


def _nested(grid: FenceGrid, nest: int) -> Nested:
    halo, border, inner = grid.nest(nest)
    return halo, border, inner


def _bounds(nested: Nested) -> Bounds:
    west, south, east, north = next(shape for shape in nested if shape is not None).bounds
    return west, south, east, north
