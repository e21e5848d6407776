"""Boxes: an R-tree over the zones' bounding boxes, for questions about areas rather than points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtree import index

if TYPE_CHECKING:
    from collections.abc import Sequence

    Bounds = tuple[float, float, float, float]


class Boxes:
    """Bounds are (west, south, east, north) in degrees; answers are positions in the sequence it was made of."""

    def __init__(self, bounds: Sequence[Bounds]) -> None:
        self._count = len(bounds)
        self._tree = index.Index()
        for i, box in enumerate(bounds):
            self._tree.insert(i, box)

    @property
    def bounds(self) -> Bounds | None:
        """Around all boxes, None where there are none."""
        if not self._count:
            return None
        west, south, east, north = self._tree.bounds
        return west, south, east, north

    def touching(self, box: Bounds) -> list[int]:
        """Boxes that share a point with this one, ascending."""
        return sorted(self._tree.intersection(box))

    def nearest(self, lon: float, lat: float, count: int) -> list[int]:
        """At least ``count`` boxes (or all there are) nearest to a point, by distance in degrees."""
        return list(self._tree.nearest((lon, lat, lon, lat), count))
