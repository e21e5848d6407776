"""The fence grid: in which of many polygons is each point, exactly, by table look-up.

    cells[cell] >= 0    every point of the cell has this answer (the id of an interned set)
    cells[cell] <  0    some border may touch the cell: look again in blocks[~cell], SIDE x SIDE sub-cells
    sub-cell    >= 0    the answer
    sub-cell    <  0    a question (zonesets.Labels): the shapes of it are asked one after the other (crossings)

The answers are those of shapely.intersects_xy: a point on a border is inside; NaN is nowhere. A grid never changes:
``with_nest`` gives a new one that shares what it can, and readers keep theirs. One grid may be read by one thread at a
time, since GEOS's prepared geometries are not documented to be safe for more; another may make the next one meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geofence.lookup.crossings import Bands, Crossings
from geofence.lookup.laying import Draft
from geofence.lookup.pool import Pool
from geofence.lookup.raster import SIDE, SIDE_BITS, Lattice, rasterize
from geofence.lookup.zonesets import NOWHERE, Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geofence.lookup.crossings import Shape
    from geofence.lookup.raster import Bounds, Window

# Points per pass: the temporaries of a pass stay in the second-level cache.
_PASS = 8192
# From this many questions on, asking shape by shape (each one stays in cache) pays for the sort.
_SORT_FROM = 256
# Edits leave rows and labels behind; with so many for each in use, a grid should be compacted.
_MOST_WASTE = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class FenceGrid:
    """Shapes (number = the number in a set's members) compiled onto a lattice; see ``compile``."""

    lattice: Lattice
    labels: Labels
    crossings: Crossings
    windows: tuple[Window | None, ...]
    cells: NDArray[np.int32]
    blocks: Pool[np.int32]
    size: int
    """Rows and labels when nothing was wasted yet."""

    @classmethod
    def compile(cls, shapes: Sequence[Shape], lattice: Lattice | None = None, nest: int = 1) -> FenceGrid:
        """Shapes: valid, non-empty polygons in degrees, or None (holds no point); ``nest``: see zonesets.

        Their number is a multiple of ``nest``.
        """
        if lattice is None:
            boxes = [shape.bounds for shape in shapes if shape is not None]
            lattice = Lattice.over(_around(boxes) if boxes else None)
        draft = Draft(
            np.zeros((lattice.ny, lattice.nx), np.int32),
            Pool(np.empty((0, SIDE * SIDE), np.int32)),
            Labels(nest),
            own=0,
        )
        bands = [Bands.of(shape) for shape in shapes]
        windows = []
        for first in range(0, len(shapes), nest):
            rasters = [rasterize(each, lattice) for each in bands[first : first + nest]]
            windows.append(draft.lay(first // nest, rasters, None))
        grid = cls(lattice, draft.labels, Crossings(bands), tuple(windows), draft.cells, draft.blocks, 0)
        return replace(grid, size=grid._extent)

    def members(self, set_id: int) -> tuple[int, ...]:
        """The shapes of a set, ascending."""
        return self.labels.members(set_id)

    def locate(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int32]:
        """One set id per point (degrees); 0 is the empty set."""
        out = np.empty(len(lon), np.int32)
        for start in range(0, len(lon), _PASS):
            part = slice(start, start + _PASS)
            self._look_up(lon[part], lat[part], out[part])
        undecided = np.flatnonzero(out < 0)
        while undecided.size:
            nodes = ~out[undecided]
            shapes = self.labels.shapes_to_ask(nodes)
            if undecided.size > _SORT_FROM:
                order = np.argsort(
                    shapes.astype(np.uint16) if len(self.crossings.shapes) < 65536 else shapes, kind="stable"
                )
                undecided, nodes, shapes = undecided[order], nodes[order], shapes[order]
            hits = self.crossings.hold(shapes, lon[undecided], lat[undecided])
            labels = self.labels.follow(nodes, hits)
            out[undecided] = labels
            undecided = undecided[labels < 0]
        return out

    def nest(self, number: int) -> tuple[Shape, ...]:
        """The shapes of a nest; all None past the end."""
        size = self.labels.nest
        shapes = self.crossings.shapes[number * size : (number + 1) * size]
        return tuple(shapes) or (None,) * size

    def over(self, bounds: Bounds) -> FenceGrid | None:
        """The same grid, on a lattice that was lengthened to hold these bounds; None where that would be too large."""
        lattice = self.lattice.grown(bounds)
        if lattice is None or lattice is self.lattice:
            return None if lattice is None else self
        top, left = lattice.offset(self.lattice)
        cells = np.empty((lattice.ny, lattice.nx), np.int32)
        cells[:] = NOWHERE
        cells[top : top + self.lattice.ny, left : left + self.lattice.nx] = self.cells
        windows = tuple(w and (w[0] + top, w[1] + left, w[2] + top, w[3] + left) for w in self.windows)
        return replace(self, lattice=lattice, cells=cells, windows=windows)

    def with_nest(self, nest: int, shapes: Sequence[Shape]) -> FenceGrid:
        """A grid with the shapes of a nest replaced (one past the end appends; all None removes).

        The lattice must hold the new shapes.
        """
        if self.waste > _MOST_WASTE:
            return self.compacted().with_nest(nest, shapes)
        bands = [Bands.of(shape) for shape in shapes]
        rasters = [rasterize(each, self.lattice) for each in bands]
        draft = Draft(self.cells.copy(), self.blocks, self.labels, own=self.blocks.used)
        before = self.windows[nest] if nest < len(self.windows) else None
        window = draft.lay(nest, rasters, before)
        windows = (*self.windows[:nest], window, *self.windows[nest + 1 :])
        crossings = self.crossings.with_shapes(nest * len(shapes), bands)
        return replace(self, crossings=crossings, windows=windows, cells=draft.cells)

    def compacted(self) -> FenceGrid:
        """The same grid with rows and labels of its own, and only those in use; set ids change their meaning."""
        mixed = self.cells < 0
        blocks = self.blocks.rows[~self.cells[mixed]]
        labels = Labels(self.labels.nest)

        def renumbered(old: NDArray[np.int32]) -> NDArray[np.int32]:
            low = int(old.min(initial=0))
            seen = np.flatnonzero(np.bincount((old - low).ravel()))
            table = np.zeros(int(seen.max(initial=0)) + 1, np.int32)
            table[seen] = [labels.intern(*self.labels.parts(label)) for label in (seen + low).tolist()]
            return table[old - low]

        cells = self.cells.copy()
        cells[~mixed] = renumbered(cells[~mixed])
        cells[mixed] = ~np.arange(len(blocks), dtype=np.int32)
        crossings = Crossings([Bands.of(shape) for shape in self.crossings.shapes])
        grid = FenceGrid(self.lattice, labels, crossings, self.windows, cells, Pool(renumbered(blocks)), 0)
        return replace(grid, size=grid._extent)

    @property
    def waste(self) -> float:
        """Rows and labels that are kept, for each one when nothing was wasted; edits leave those behind that they replace."""
        return self._extent / max(self.size, 1)

    @property
    def _extent(self) -> int:
        return self.blocks.used * SIDE * SIDE + self.crossings.rows + len(self.labels)

    def _look_up(self, lon: NDArray[np.float64], lat: NDArray[np.float64], out: NDArray[np.int32]) -> None:
        grid = self.lattice
        u = _subcells(lon, grid.west, grid.kx, grid.nx)
        v = _subcells(lat, grid.south, grid.ky, grid.ny)
        cell = v >> SIDE_BITS
        cell *= grid.nx
        cell += u >> SIDE_BITS
        # mode="clip" only because it is the unchecked path: every index is in range already.
        self.cells.reshape(-1).take(cell, out=out, mode="clip")
        finer = np.flatnonzero(out < 0)
        if finer.size:
            place = ~out[finer] << 2 * SIDE_BITS
            place |= (v[finer] & (SIDE - 1)) << SIDE_BITS
            place |= u[finer] & (SIDE - 1)
            out[finer] = self.blocks.rows.reshape(-1).take(place)


def _subcells(degrees: NDArray[np.float64], origin: float, scale: float, cells: int) -> NDArray[np.int32]:
    """Sub-cell numbers along one axis; what is beyond, infinite or NaN falls into the empty cells of the border."""
    place = degrees - origin
    place *= scale
    np.fmax(place, 0.0, out=place)
    np.fmin(place, float(cells * SIDE - 1), out=place)
    return place.astype(np.int32)


def _around(boxes: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)
