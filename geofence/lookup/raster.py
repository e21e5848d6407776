"""A shape's raster: which cells of a lattice lie outside it, inside it, or near its border.

A cell is SIDE x SIDE sub-cells. Edges are fattened by far more than rounding, so a cell or sub-cell that is not EDGE is
on one side of the border with all its points, and one test of one of its points tells which.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, radians
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geofence.lookup.crossings import Bands

    Bounds: TypeAlias = tuple[float, float, float, float]
    Window: TypeAlias = tuple[int, int, int, int]
    """Lattice cells (y0, x0, y1, x1), the last two exclusive."""

SIDE_BITS = 3
SIDE = 1 << SIDE_BITS
"""Sub-cells along a cell's side."""

OUTSIDE, INSIDE, EDGE = 0, 1, 2

# Sub-cells. Coordinates on the lattice are below 2^15, so their rounding error is below 1e-10.
_FAT = 1e-6
# Cells around the bounds: far points fall into the outermost, and a raster's margin of one cell is still on the lattice.
_BORDER = 2
_CELL_M = 100.0
_MOST_CELLS = 2048
# A lattice that grew may be this long before all is compiled afresh with larger cells.
_MOST_GROWN = 3072
_ROOM = 16
_DEGREE_M = 111_320.0


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where the cells are: (west, south) is the corner; kx, ky are sub-cells per degree; nx, ny count cells."""

    west: float
    south: float
    kx: float
    ky: float
    nx: int
    ny: int

    @classmethod
    def over(cls, bounds: Bounds | None) -> Lattice:
        """A lattice of about 100 m cells, at most 2,048 to a side, over bounds (west, south, east, north in degrees)."""
        west, south, east, north = bounds or (0.0, 0.0, 1.0, 1.0)
        wide_m = (east - west) * _DEGREE_M * cos(radians((south + north) / 2))
        high_m = (north - south) * _DEGREE_M
        across = min(max(int(wide_m / _CELL_M), 1), _MOST_CELLS) if bounds else 1
        up = min(max(int(high_m / _CELL_M), 1), _MOST_CELLS) if bounds else 1
        kx, ky = across * SIDE / (east - west), up * SIDE / (north - south)
        border = _BORDER * SIDE
        return cls(west - border / kx, south - border / ky, kx, ky, across + 2 * _BORDER, up + 2 * _BORDER)

    def holds(self, bounds: Bounds) -> bool:
        """Whether a shape of these bounds and its margin lie on the lattice."""
        west, south, east, north = bounds
        room = 1.5 * SIDE
        return (
            (west - self.west) * self.kx >= room
            and (south - self.south) * self.ky >= room
            and (east - self.west) * self.kx <= self.nx * SIDE - room
            and (north - self.south) * self.ky <= self.ny * SIDE - room
        )

    def grown(self, bounds: Bounds) -> Lattice | None:
        """The same lattice with as many whole cells more on each side as these bounds need; None if that is too many.

        What was laid on cells stays right: a corner moved by whole cells is wrong by rounding only, far below _FAT.
        """
        if self.holds(bounds):
            return self
        west, south, east, north = bounds
        left = max(ceil((self.west - west) * self.kx / SIDE), 0)
        low = max(ceil((self.south - south) * self.ky / SIDE), 0)
        right = max(ceil((east - self.west) * self.kx / SIDE) - self.nx, 0)
        high = max(ceil((north - self.south) * self.ky / SIDE) - self.ny, 0)
        # Room on the sides that grow for more of the same, and for the empty border.
        left, low, right, high = (n and n + _BORDER + _ROOM for n in (left, low, right, high))
        wide, tall = self.nx + left + right, self.ny + low + high
        if max(wide, tall) > _MOST_GROWN:
            return None
        grown = Lattice(
            self.west - left * SIDE / self.kx, self.south - low * SIDE / self.ky, self.kx, self.ky, wide, tall
        )
        return grown if grown.holds(bounds) else None

    def offset(self, other: Lattice) -> tuple[int, int]:
        """The cell (y, x) of this lattice at which the other one, that it was grown from, begins."""
        return round((other.south - self.south) * self.ky / SIDE), round((other.west - self.west) * self.kx / SIDE)

    def centres(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of sub-cells' centres."""
        lon = (x.astype(np.float64) + 0.5) / self.kx + self.west
        return lon, (y.astype(np.float64) + 0.5) / self.ky + self.south


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """One shape on a lattice.

    y, x: lattice cell of the window's corner; cells: uint8[h, w] of OUTSIDE, INSIDE, EDGE, one cell wider than the shape all round;
    subcells: uint8[number of EDGE cells, SIDE * SIDE], the same states, EDGE cells in row-major order.
    """

    y: int
    x: int
    cells: NDArray[np.uint8]
    subcells: NDArray[np.uint8]

    @property
    def window(self) -> Window:
        high, wide = self.cells.shape
        return self.y, self.x, self.y + high, self.x + wide


def rasterize(shape: Bands, lattice: Lattice) -> Raster | None:
    """The raster of a valid polygon that the lattice holds; None for no shape."""
    if shape.shape is None:
        return None
    x, y = _edge_subcells(shape, lattice)
    left, low = (int(x.min()) >> SIDE_BITS) - 1, (int(y.min()) >> SIDE_BITS) - 1
    wide, high = (int(x.max()) >> SIDE_BITS) + 2 - left, (int(y.max()) >> SIDE_BITS) + 2 - low
    if left < 0 or low < 0 or left + wide > lattice.nx or low + high > lattice.ny:
        raise ValueError("the shape reaches beyond the lattice")
    column, row = (x >> SIDE_BITS) - left, (y >> SIDE_BITS) - low
    cells = np.zeros((high, wide), np.uint8)
    cells[row, column] = EDGE
    edge_cells = np.flatnonzero(cells == EDGE)
    _fill_cells(cells, shape, lattice, left, low)

    number = np.zeros(high * wide, np.int64)
    number[edge_cells] = np.arange(len(edge_cells))
    subcells = np.zeros((len(edge_cells), SIDE, SIDE), np.uint8)
    subcells[number[row * wide + column], y & (SIDE - 1), x & (SIDE - 1)] = EDGE
    cell_row, cell_column = np.divmod(edge_cells, wide)
    _fill_subcells(subcells, shape, lattice, (cell_column + left) * SIDE, (cell_row + low) * SIDE)
    return Raster(low, left, cells, subcells.reshape(len(edge_cells), SIDE * SIDE))


def _edge_subcells(shape: Bands, lattice: Lattice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sub-cells that any edge may touch, with repeats: edges are cut into pieces shorter than a sub-cell along
    both axes, and such a piece touches at most the four sub-cells at its bounding box's corners.
    """
    points = (shape.points - (lattice.west, lattice.south)) * (lattice.kx, lattice.ky)
    start = points[shape.first]
    along = points[shape.first + 1] - start
    pieces = (np.abs(along).max(axis=1) * 1.02).astype(np.int64) + 1
    total = int(pieces.sum())
    nth = np.arange(total) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = np.repeat(along / pieces[:, None], pieces, axis=0)
    begin = np.repeat(start, pieces, axis=0) + step * nth[:, None]
    end = begin + step
    low = np.floor(np.minimum(begin, end) - _FAT).astype(np.int64)
    high = np.floor(np.maximum(begin, end) + _FAT).astype(np.int64)
    x = np.concatenate([low[:, 0], high[:, 0], low[:, 0], high[:, 0]])
    y = np.concatenate([low[:, 1], low[:, 1], high[:, 1], high[:, 1]])
    return x, y


def _fill_cells(cells: NDArray[np.uint8], shape: Bands, lattice: Lattice, left: int, low: int) -> None:
    """Decides every cell that is not EDGE. Free cells that follow each other have one answer; runs go on from the end
    of a row to the start of the next, which are both in the margin, outside.
    """
    flat = cells.reshape(-1)
    first = np.flatnonzero((flat[1:] != EDGE) & (flat[:-1] == EDGE)) + 1
    row, column = np.divmod(first, cells.shape[1])
    middle = SIDE // 2
    lon, lat = lattice.centres((column + left) * SIDE + middle, (row + low) * SIDE + middle)
    _spread(flat, first, shapely.intersects_xy(shape.shape, lon, lat))


def _fill_subcells(
    blocks: NDArray[np.uint8], shape: Bands, lattice: Lattice, x: NDArray[np.int64], y: NDArray[np.int64]
) -> None:
    """Decides every sub-cell that is not EDGE, run by run within the rows; (x, y): each block's first sub-cell."""
    free = blocks != EDGE
    starts = free.copy()
    starts[:, :, 1:] &= ~free[:, :, :-1]
    first = np.flatnonzero(starts)
    block, place = np.divmod(first, SIDE * SIDE)
    lon, lat = lattice.centres(x[block] + (place & (SIDE - 1)), y[block] + (place >> SIDE_BITS))
    _spread(blocks.reshape(-1), first, shapely.intersects_xy(shape.shape, lon, lat))


def _spread(flat: NDArray[np.uint8], first: NDArray[np.int64], inside: NDArray[np.bool_]) -> None:
    """Marks INSIDE every run of free states whose first is inside. What comes before all runs is outside."""
    run = np.zeros(flat.size, np.int64)
    run[first] = np.arange(1, len(first) + 1)
    np.maximum.accumulate(run, out=run)
    answers = np.concatenate([[False], inside])
    flat[(flat != EDGE) & answers[run]] = INSIDE
