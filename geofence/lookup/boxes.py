"""Boxes: an R-tree over the bounding boxes of zones' shapes, for questions about areas rather than points.

Snapshots share one tree. An edit puts a box in under an entry number of its own and a snapshot passes over the entries
that are not its own, so older snapshots go on answering as they did. When most of a tree is entries of the past, the
next edit makes a tree of its own.
"""

from __future__ import annotations

from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from rtree import index

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Bounds: TypeAlias = tuple[float, float, float, float]

# Entries of the past for each one in use, and so many in any case.
_MOST_PAST, _FEW = 1, 64


class _Tree:
    """The tree that snapshots share, behind a lock: libspatialindex reads and writes without one, and without the GIL."""

    def __init__(self, boxes: Iterable[Bounds]) -> None:
        self._lock = Lock()
        entries = [(entry, box, None) for entry, box in enumerate(boxes)]
        self._tree = index.Index(entries) if entries else index.Index()
        self._entries = count(len(entries))
        self.size = len(entries)

    def insert(self, box: Bounds) -> int:
        with self._lock:
            entry = next(self._entries)
            self._tree.insert(entry, box)
            self.size += 1
            return entry

    def touching(self, box: Bounds) -> list[int]:
        with self._lock:
            return list(self._tree.intersection(box))

    def nearest(self, lon: float, lat: float, most: int) -> list[int]:
        with self._lock:
            return list(self._tree.nearest((lon, lat, lon, lat), most))


class Boxes:
    """Boxes (west, south, east, north in degrees) by a number of the caller's. Never changes; see ``with_box``."""

    def __init__(self, boxes: Mapping[int, Bounds]) -> None:
        self._boxes = dict(boxes)
        self._tree = _Tree(self._boxes.values())
        self._numbers = dict(enumerate(self._boxes))
        """Entry of the tree -> number, of the boxes of this snapshot."""

    @property
    def bounds(self) -> Bounds | None:
        """Around all boxes, None where there are none."""
        if not self._boxes:
            return None
        west, south, east, north = zip(*self._boxes.values(), strict=True)
        return min(west), min(south), max(east), max(north)

    def with_box(self, number: int, box: Bounds | None) -> Boxes:
        """With this number's box replaced, added, or (None) removed."""
        boxes = {key: value for key, value in self._boxes.items() if key != number}
        if box is not None:
            boxes[number] = box
        if self._tree.size > (1 + _MOST_PAST) * len(boxes) + _FEW:
            return Boxes(boxes)
        new = object.__new__(Boxes)
        new._boxes, new._tree = boxes, self._tree
        new._numbers = {entry: known for entry, known in self._numbers.items() if known != number}
        if box is not None:
            new._numbers[self._tree.insert(box)] = number
        return new

    def touching(self, box: Bounds) -> list[int]:
        """Numbers of the boxes that share a point with this one, ascending."""
        return sorted(self._own(self._tree.touching(box)))

    def nearest(self, lon: float, lat: float, most: int) -> list[int]:
        """At least ``most`` boxes (or all there are) nearest to a point, by distance in degrees."""
        others = self._tree.size - len(self._boxes)
        return self._own(self._tree.nearest(lon, lat, most + others))

    def _own(self, entries: list[int]) -> list[int]:
        return [self._numbers[entry] for entry in entries if entry in self._numbers]
