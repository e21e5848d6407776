"""The fence: which zones, and how deep in each, for columns of points; compiled once, replaced by a new one on edits.

The R-tree of the zones' boxes gives the lattice its bounds, an edit its neighbours, and answers viewport and nearest-zone
queries; the grid answers points. A Fence never changes, so a reader swaps one reference.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import shapely

from geofence.boxes import Boxes
from geofence.grid import FenceGrid
from geofence.nested import NEST, Depth, LocalPlane, nested_shapes
from geofence.raster import SIDE, Lattice

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

# Edits leave unused blocks behind; from this many per block in use on, the grid is compiled afresh.
_MOST_WASTE = 4.0

_generations = count(1)


class Fence:
    """Zones compiled for look-up. Make one with ``compile``; ``zones`` are in the order of the zone indices."""

    def __init__(self, zones: tuple[Zone, ...], nested: tuple[Nested, ...], boxes: Boxes, grid: FenceGrid) -> None:
        """For this module's own use."""
        self.zones = zones
        self.generation = next(_generations)
        """Another number for each fence of this process: set ids mean something only within one generation."""
        self._nested = nested
        self._boxes = boxes
        self._grid = grid
        self._index = {(zone.id, zone.version): i for i, zone in enumerate(zones)}
        self._depths: dict[int, tuple[tuple[int, Depth], ...]] = {}

    @classmethod
    def compile(cls, zones: Sequence[Zone]) -> Fence:
        """A fence over published zones, of each the versions that a fix may still meet: the one in force at its time counts.

        Raises ValueError where a version is there twice. Versions of one zone must not overlap in time.
        """
        if len({(zone.id, zone.version) for zone in zones}) != len(zones):
            raise ValueError("a version of a zone is in the fence twice")
        return cls._of(tuple(zones), tuple(nested_shapes(zone) for zone in zones))

    @classmethod
    def _of(cls, zones: tuple[Zone, ...], nested: tuple[Nested, ...]) -> Fence:
        boxes = Boxes([_bounds(shapes) for shapes in nested])
        flat = [shape for shapes in nested for shape in shapes]
        return cls(zones, nested, boxes, FenceGrid.compile(flat, Lattice.over(boxes.bounds), NEST))

    # ---- points ------------------------------------------------------------------------------------------------

    def locate(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        """One set id per point (degrees WGS-84); 0 is outside every halo. NaN and infinities are outside."""
        return self._grid.locate(lon, lat)

    def depths(self, set_id: int) -> tuple[tuple[int, Depth], ...]:
        """(zone index, depth) of every zone of a set, ascending by index. Whether a zone is in force is not looked at."""
        known = self._depths.get(set_id)
        if known is None:
            deepest: dict[int, Depth] = {}
            for shape in self._grid.members(set_id):  # ascending: a zone's deeper shapes come later
                zone, depth = divmod(shape, NEST)
                deepest[zone] = Depth(depth + 1)
            known = self._depths[set_id] = tuple(deepest.items())
        return known

    def unchanged_until(self, set_id: int, time: int) -> int:
        """The first device time after ``time`` (us) at which a zone of the set comes into or goes out of force."""
        edges = [
            edge
            for zone, _ in self.depths(set_id)
            for edge in (self.zones[zone].valid_from, self.zones[zone].valid_to)
            if edge is not None and edge > time
        ]
        return min(edges, default=FOREVER)

    # ---- zones -------------------------------------------------------------------------------------------------

    def zone(self, zone_id: int, at: int) -> Zone | None:
        """The version of this zone that is in force at a device time (us), or None."""
        return next((zone for zone in self.zones if zone.id == zone_id and zone.counts_at(at)), None)

    @property
    def bounds(self) -> Bounds | None:
        """(west, south, east, north) around all zones and halos, degrees; None where there are none."""
        return self._boxes.bounds

    def zones_in(self, bounds: Bounds) -> list[Zone]:
        """Zones that a viewport (west, south, east, north in degrees) shows a part of."""
        view = shapely.box(*bounds)
        near = (self.zones[i] for i in self._boxes.touching(bounds))
        return [zone for zone in near if shapely.intersects(zone.geometry, view)]

    def nearest(self, lon: float, lat: float, most: int = 1) -> list[tuple[Zone, float]]:
        """The nearest zones with their distances in metres, nearest first; 0 is on the border or inside."""
        plane = LocalPlane(lon, lat)
        origin = shapely.Point(0.0, 0.0)

        def measure(indices: Iterable[int]) -> list[tuple[float, int]]:
            return [(float(shapely.distance(plane.to_metres(self.zones[i].geometry), origin)), i) for i in indices]

        # The boxes' order is not the zones' order: whatever may be nearer than the worst of the first guess is measured.
        guess = measure(self._boxes.nearest(lon, lat, most))
        if not guess:
            return []
        reach = sorted(guess)[:most][-1][0]
        east, north = (reach / scale for scale in plane.metres_per_degree)
        box = (lon - east, lat - north, lon + east, lat + north)
        found = sorted(measure(set(self._boxes.touching(box)) | {i for _, i in guess}))
        return [(self.zones[i], distance) for distance, i in found[:most]]

    # ---- edits -------------------------------------------------------------------------------------------------

    def with_zone(self, zone: Zone) -> Fence:
        """The same fence with a version of a zone added, or replaced; only the cells around it are compiled anew."""
        place = self._index.get((zone.id, zone.version), len(self.zones))
        shapes = nested_shapes(zone)
        zones = (*self.zones[:place], zone, *self.zones[place + 1 :])
        nested = (*self._nested[:place], shapes, *self._nested[place + 1 :])
        if not self._grid.lattice.holds(_bounds(shapes)) or self._grid.waste > _MOST_WASTE:
            return Fence._of(zones, nested)
        boxes = Boxes([_bounds(each) for each in nested])

        def near(window: tuple[int, int, int, int]) -> list[int]:
            touching = boxes.touching(self._degrees(window))
            return [NEST * i + depth for i in touching for depth in range(NEST)]

        return Fence(zones, nested, boxes, self._grid.replace(NEST * place, shapes, near))

    def without(self, zone_id: int, version: int) -> Fence:
        """A fence without this version (the same one if it is not there)."""
        place = self._index.get((zone_id, version))
        if place is None:
            return self
        return Fence._of(
            (*self.zones[:place], *self.zones[place + 1 :]), (*self._nested[:place], *self._nested[place + 1 :])
        )

    def _degrees(self, window: tuple[int, int, int, int]) -> Bounds:
        """The box of a window of cells and one cell more all round, since cells fatten edges and boxes don't."""
        y0, x0, y1, x1 = window[0] - 1, window[1] - 1, window[2] + 1, window[3] + 1
        grid = self._grid.lattice
        return (
            grid.west + x0 * SIDE / grid.kx,
            grid.south + y0 * SIDE / grid.ky,
            grid.west + x1 * SIDE / grid.kx,
            grid.south + y1 * SIDE / grid.ky,
        )


def _bounds(nested: Nested) -> Bounds:
    west, south, east, north = next(shape for shape in nested if shape is not None).bounds
    return west, south, east, north
