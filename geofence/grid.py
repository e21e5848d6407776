"""The fence grid: in which of many polygons is each point, exactly, by table look-up.

    cells[cell] >= 0    every point of the cell has this answer (the id of an interned set)
    cells[cell] <  0    some border may touch the cell: look again in blocks[~cell], SIDE x SIDE sub-cells
    sub-cell    >= 0    the answer
    sub-cell    <  0    a question (zonesets.Labels): shapely is asked, polygon by polygon

The answers are those of shapely.intersects_xy: a point on a border is inside; NaN is nowhere. A grid never changes:
``replace`` gives a new one, and readers keep theirs. One grid may be read by one thread at a time, since GEOS's prepared
geometries are not documented to be safe for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely

from geofence.raster import EDGE, INSIDE, SIDE, SIDE_BITS, Lattice, Raster, rasterize
from geofence.zonesets import Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Shape: TypeAlias = "shapely.Geometry | None"
    Window = tuple[int, int, int, int]

# Points per pass: the temporaries of a pass stay in the second-level cache.
_PASS = 8192
# From this many questions on, asking polygon by polygon (each one stays in cache) pays for the sort.
_SORT_FROM = 256


@dataclass(frozen=True, slots=True, eq=False)
class FenceGrid:
    """Shapes (index = the number in a set's members) compiled onto a lattice; see ``compile``."""

    lattice: Lattice
    labels: Labels
    shapes: NDArray[Any]
    rasters: tuple[Raster | None, ...]
    cells: NDArray[np.int32]
    blocks: NDArray[np.int32]

    @classmethod
    def compile(cls, shapes: Sequence[Shape], lattice: Lattice | None = None, nest: int = 1) -> FenceGrid:
        """Shapes: valid, non-empty polygons in degrees, or None (holds no point); ``nest``: see zonesets."""
        if lattice is None:
            boxes = [shape.bounds for shape in shapes if shape is not None]
            lattice = Lattice.over(_around(boxes) if boxes else None)
        rasters = tuple(None if shape is None else rasterize(shape, lattice) for shape in shapes)
        cells = np.zeros((lattice.ny, lattice.nx), np.int32)
        labels, blocks = Labels(nest), np.empty((0, SIDE * SIDE), np.int32)
        window = (0, 0, lattice.ny, lattice.nx)
        blocks = _compose(cells, blocks, labels, rasters, range(len(rasters)), window)
        return cls(lattice, labels, _objects(shapes), rasters, cells, blocks)

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
                order = np.argsort(shapes.astype(np.uint16) if len(self.shapes) < 65536 else shapes, kind="stable")
                undecided, nodes, shapes = undecided[order], nodes[order], shapes[order]
            hits = shapely.intersects_xy(self.shapes[shapes], lon[undecided], lat[undecided])
            labels = self.labels.follow(nodes, hits)
            out[undecided] = labels
            undecided = undecided[labels < 0]
        return out

    def replace(self, first: int, shapes: Sequence[Shape], near: Callable[[Window], Sequence[int]]) -> FenceGrid:
        """A grid with ``shapes`` at ``first`` and on (one past the end appends); only their windows are composed anew.

        near: for a window of cells, the indices of all shapes that may touch it. The lattice must hold the new shapes.
        """
        past = first + len(shapes)
        kept = (self.shapes[:first], self.shapes[past:])
        rasters = [None if shape is None else rasterize(shape, self.lattice) for shape in shapes]
        touched = [raster.window for raster in (*self.rasters[first:past], *rasters) if raster is not None]
        after = (*self.rasters[:first], *rasters, *self.rasters[past:])
        cells, blocks = self.cells.copy(), self.blocks
        if touched:
            y0, x0 = min(window[0] for window in touched), min(window[1] for window in touched)
            window = (y0, x0, max(window[2] for window in touched), max(window[3] for window in touched))
            blocks = _compose(cells, blocks, self.labels, after, near(window), window)
        return FenceGrid(
            self.lattice, self.labels, np.concatenate([kept[0], _objects(shapes), kept[1]]), after, cells, blocks
        )

    @property
    def waste(self) -> float:
        """Blocks kept per block in use: edits leave the blocks that they replace behind."""
        return len(self.blocks) / max(int(np.count_nonzero(self.cells < 0)), 1)

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
            out[finer] = self.blocks.reshape(-1).take(place)


def _subcells(degrees: NDArray[np.float64], origin: float, scale: float, cells: int) -> NDArray[np.int32]:
    """Sub-cell numbers along one axis; what is beyond, infinite or NaN falls into the empty cells of the border."""
    place = degrees - origin
    place *= scale
    np.fmax(place, 0.0, out=place)
    np.fmin(place, float(cells * SIDE - 1), out=place)
    return place.astype(np.int32)


def _compose(
    cells: NDArray[np.int32],
    blocks: NDArray[np.int32],
    labels: Labels,
    rasters: Sequence[Raster | None],
    which: Sequence[int],
    window: Window,
) -> NDArray[np.int32]:
    """Lays the rasters ``which`` over a window of ``cells``, first by cells, then by sub-cells, in place.

    Returns the blocks with those of the window appended.
    """
    y0, x0, y1, x1 = window
    view = cells[y0:y1, x0:x1]
    view[:] = 0
    laid = []
    for shape in which:
        raster = rasters[shape]
        cut = None if raster is None else _overlap(raster, window)
        if raster is not None and cut is not None:
            here, own = cut
            laid.append((shape, raster, here, own))
            _lay(view[here], raster.cells[own], shape, labels)

    mixed = np.flatnonzero(view < 0)
    number = np.zeros(view.shape, np.int32)
    number.reshape(-1)[mixed] = np.arange(len(mixed), dtype=np.int32)
    mixed_labels = view.reshape(-1)[mixed]
    seen, which_seen = np.unique(mixed_labels, return_inverse=True)
    sure = np.array([labels.sure(label) for label in seen.tolist()], np.int32)[which_seen]
    added = np.repeat(sure[:, None], SIDE * SIDE, axis=1)
    for shape, raster, here, own in laid:
        is_edge = raster.cells[own] == EDGE
        rows = number[here][is_edge]
        if rows.size:
            mine = np.zeros(raster.cells.shape, bool)
            mine[own] = is_edge
            part = added[rows]
            _lay(part, raster.subcells[mine[raster.cells == EDGE]], shape, labels)
            added[rows] = part
    view[view < 0] = ~(len(blocks) + np.arange(len(mixed), dtype=np.int32))
    return np.concatenate([blocks, added])


def _lay(into: NDArray[np.int32], states: NDArray[np.uint8], shape: int, labels: Labels) -> None:
    """Updates labels, in place, where a shape's states say inside or edge."""
    for state, step in ((INSIDE, labels.with_inside), (EDGE, labels.with_question)):
        places = np.nonzero(states == state)
        found = into[places]
        if not found.size:
            continue
        low = int(found.min())
        seen = np.flatnonzero(np.bincount(found - low))
        table = np.zeros(int(seen[-1]) + 1, np.int32)
        for offset in seen.tolist():
            table[offset] = step(offset + low, shape)
        into[places] = table[found - low]


def _overlap(raster: Raster, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The cells that a raster and a window share: as slices of the window, and of the raster."""
    ry0, rx0, ry1, rx1 = raster.window
    wy0, wx0, wy1, wx1 = window
    y0, x0, y1, x1 = max(ry0, wy0), max(rx0, wx0), min(ry1, wy1), min(rx1, wx1)
    if y0 >= y1 or x0 >= x1:
        return None
    here = (slice(y0 - wy0, y1 - wy0), slice(x0 - wx0, x1 - wx0))
    return here, (slice(y0 - ry0, y1 - ry0), slice(x0 - rx0, x1 - rx0))


def _objects(shapes: Sequence[Shape]) -> NDArray[Any]:
    """An object array, element by element: numpy must not look into geometries."""
    out = np.empty(len(shapes), object)
    out[:] = shapes
    return out


def _around(boxes: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)
