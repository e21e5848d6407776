"""Laying a nest of shapes over a grid's cells: what each label becomes, cell by cell, then sub-cell by sub-cell.

The states of a nest's shapes at a place are one code, in base 3 (raster: OUTSIDE, INSIDE, EDGE). A label together with a
code gives the new label, whatever else lies there, so an edit costs what its own cells cost and asks no neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from geofence.lookup.raster import EDGE, INSIDE, SIDE, Raster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geofence.lookup.pool import Pool
    from geofence.lookup.raster import Window
    from geofence.lookup.zonesets import Labels

    Rasters: TypeAlias = "Sequence[Raster | None]"

_STATES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A grid in the making. cells: int32[ny, nx], changed in place; blocks: those before number ``own`` are other grids',
    too, and are replaced by new ones; the others are changed in place.
    """

    cells: NDArray[np.int32]
    blocks: Pool[np.int32]
    labels: Labels
    own: int

    def lay(self, nest: int, rasters: Rasters, before: Window | None) -> Window | None:
        """Makes the shapes of a nest these; ``before``: the window of cells where it had others. Returns the new window."""
        present = [raster for raster in rasters if raster is not None]
        window = _around([raster.window for raster in present]) if present else None
        whole = _around([each for each in (window, before) if each is not None]) if window or before else None
        if whole is None:
            return None
        view = self.cells[whole[0] : whole[2], whole[1] : whole[3]]
        code, edge = np.zeros(view.shape, np.uint8), np.zeros(view.shape, bool)
        for place, raster in enumerate(rasters):
            if raster is not None:
                here = _slices(raster.window, whole)
                code[here] += raster.cells * np.uint8(_STATES**place)
                edge[here] |= raster.cells == EDGE
        touched = code > 0
        if before is not None:
            touched[_slices(before, whole)] = True

        plain = touched & ~edge & (view >= 0)
        view[plain] = self._relaid(nest, view[plain], code[plain])
        mixed = touched & ~plain
        numbers = self._lay_blocks(nest, rasters, view[mixed], code[mixed], edge[mixed])
        view[mixed] = numbers
        return window

    def _lay_blocks(
        self, nest: int, rasters: Rasters, was: NDArray[np.int32], code: NDArray[np.uint8], edge: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """The labels of cells that have, or now need, a block; given row by row, as rasters have their EDGE cells."""
        rows = np.repeat(was[:, None], SIDE * SIDE, axis=1)
        has_block = was < 0
        rows[has_block] = self.blocks.rows[~was[has_block]]
        rows[~edge] = self._relaid(nest, rows[~edge], code[~edge, None])
        fine = np.zeros((int(edge.sum()), SIDE * SIDE), np.uint8)
        for place, raster in enumerate(rasters):
            if raster is not None:
                state = code[edge] // _STATES**place % _STATES
                fine[state == INSIDE] += np.uint8(_STATES**place)
                fine[state == EDGE] += raster.subcells * np.uint8(_STATES**place)
        rows[edge] = self._relaid(nest, rows[edge], fine)

        out = rows[:, 0].copy()
        mixed = (rows < 0).any(axis=1) | (rows != rows[:, :1]).any(axis=1)
        ours = mixed & has_block & (~was >= self.own)
        self.blocks.rows[~was[ours]] = rows[ours]
        out[ours] = was[ours]
        new = mixed & ~ours
        first = self.blocks.put(rows[new])
        out[new] = ~np.arange(first, first + int(new.sum()), dtype=np.int32)
        return out

    def _relaid(self, nest: int, labels: NDArray[np.int32], codes: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The new labels, given each one's code (broadcast against them)."""
        kinds = _STATES**self.labels.nest
        seen, number = _numbered(labels)
        key = number * kinds + codes
        present = np.flatnonzero(np.bincount(key.ravel()))
        table = np.zeros(len(seen) * kinds, np.int32)
        for code in np.flatnonzero(np.bincount(present % kinds)).tolist():
            keys = present[present % kinds == code]
            states = [(nest * self.labels.nest + i, code // _STATES**i % _STATES) for i in range(self.labels.nest)]
            inside = tuple(shape for shape, state in states if state == INSIDE)
            asked = tuple(shape for shape, state in states if state == EDGE)
            table[keys] = self.labels.relaid(seen[keys // kinds].tolist(), nest, inside, asked)
        relaid: NDArray[np.int32] = table[key]
        return relaid


def _numbered(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The labels that occur, ascending, and the index among them of each one given."""
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if high - low > labels.size:  # a few labels of a large fence: sorting them is less than a table of all
        seen, number = np.unique(labels, return_inverse=True)
        return seen, number.reshape(labels.shape).astype(np.int64)
    occurs = np.zeros(high - low + 1, bool)
    occurs[labels - low] = True
    places = np.flatnonzero(occurs)
    index = np.zeros(len(occurs), np.int64)
    index[places] = np.arange(len(places))
    return (places + low).astype(np.int32), index[labels - low]


def _around(windows: Sequence[Window]) -> Window:
    y0, x0, y1, x1 = zip(*windows, strict=True)
    return min(y0), min(x0), max(y1), max(x1)


def _slices(window: Window, within: Window) -> tuple[slice, slice]:
    """A window as slices of another that it lies in."""
    (y0, x0, y1, x1), (top, left, _, _) = window, within
    return slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
