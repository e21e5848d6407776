"""Point in polygon for columns of (shape, point) pairs: crossings of a ray, counted in numpy.

The answer is certain or it is left to shapely: where rounding might put a point on the wrong side of an edge, and where a
point is level with an edge's end. Certain answers are the mathematical ones, and so are shapely's, whose orientation test
is exact; the two together are shapely.intersects_xy.

Each shape's edges are listed by horizontal band; a ray meets only the edges of its band.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely

from geofence.lookup.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Shape: TypeAlias = "shapely.Geometry | None"

# An orientation's rounding error is below 3.4e-16 of its two terms together (Shewchuk 1997, 4.3); this is far above.
_UNSURE = 1e-13
# Below this many points, shapely's microsecond for each is less than numpy's for each of thirty calls.
_FEW = 24


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """One shape's edges by band. A None of a shape has no edges.

    points: float64[n, 2], degrees, ring after ring; first: the first point of each edge; edges: the same, band after band; starts: where
    in ``edges`` each band begins, and the end; south (degrees), scale (bands per degree): which band a latitude is in.
    """

    shape: Shape
    points: NDArray[np.float64]
    first: NDArray[np.int64]
    edges: NDArray[np.int64]
    starts: NDArray[np.int64]
    south: float
    scale: float

    @classmethod
    def of(cls, shape: Shape) -> Bands:
        """Bands of a polygon, one for each edge; prepares it, too (faster tests)."""
        if shape is None:
            return cls(
                None, np.empty((0, 2)), np.empty(0, np.int64), np.empty(0, np.int64), np.zeros(2, np.int64), 0.0, 0.0
            )
        shapely.prepare(shape)
        points, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(shape)), return_index=True)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        south, north = float(points[:, 1].min()), float(points[:, 1].max())
        count = len(edge)
        scale = count / (north - south)
        # The same monotone arithmetic as for points, so an edge is in the band of every latitude that it reaches.
        y0, y1 = points[edge, 1], points[edge + 1, 1]
        low = _band(np.minimum(y0, y1), south, scale, count - 1)
        reach = _band(np.maximum(y0, y1), south, scale, count - 1) - low + 1
        edges = np.repeat(edge, reach)
        band = np.repeat(low, reach) + _within(reach)
        edges = edges[np.argsort(band, kind="stable")]
        starts = np.concatenate([[0], np.cumsum(np.bincount(band, minlength=count))])
        return cls(shape, points, edge, edges, starts, south, scale)


class Crossings:
    """The bands of many shapes, by shape number. It never changes: ``with_shapes`` gives a new one that shares the rows."""

    def __init__(self, shapes: Sequence[Bands] = ()) -> None:
        self._writing = Lock()  # x and y must stay in step, whoever else adds rows
        self._x = Pool(np.empty(0))
        self._y = Pool(np.empty(0))
        self._edges = Pool(np.empty(0, np.int32))
        self._starts = Pool(np.empty(0, np.int32))
        self.shapes: NDArray[Any] = np.empty(0, object)
        """By number: shapely polygons, prepared, or None."""
        self._first = np.empty(0, np.int64)
        self._last, self._south, self._scale = np.empty(0), np.empty(0), np.empty(0)
        self._lay(0, shapes)

    @property
    def rows(self) -> int:
        """Rows in use, by this one or by another that shares them."""
        return self._x.used + self._y.used + self._edges.used + self._starts.used

    def with_shapes(self, at: int, shapes: Sequence[Bands]) -> Crossings:
        """With these shapes at the numbers from ``at`` on, which may be the end."""
        new = copy(self)
        Crossings._lay(new, at, shapes)
        return new

    def hold(self, shape: NDArray[np.int32], lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the shape of each number intersects the point beside it; all of them finite."""
        if len(shape) < _FEW:
            return np.asarray(shapely.intersects_xy(self.shapes[shape], lon, lat), bool)
        band = _band(lat, self._south[shape], self._scale[shape], self._last[shape]) + self._first[shape]
        hits, unsure = _count(band, self._starts.rows, self._edges.rows, self._x.rows, self._y.rows, lon, lat)
        if unsure.size:
            hits[unsure] = shapely.intersects_xy(self.shapes[shape[unsure]], lon[unsure], lat[unsure])
        return hits

    def _lay(self, at: int, shapes: Sequence[Bands]) -> None:
        first = []
        for bands in shapes:
            with self._writing:
                points = self._x.put(bands.points[:, 0])
                self._y.put(bands.points[:, 1])
            edges = self._edges.put((bands.edges + points).astype(np.int32))
            first.append(self._starts.put((bands.starts + edges).astype(np.int32)))
        geometries = np.empty(len(shapes), object)
        geometries[:] = [bands.shape for bands in shapes]

        def laid(old: NDArray[Any], new: Any) -> NDArray[Any]:
            return np.concatenate([old[:at], np.asarray(new, old.dtype), old[at + len(shapes) :]])

        self.shapes = laid(self.shapes, geometries)
        self._first = laid(self._first, first)
        self._last = laid(self._last, [len(bands.starts) - 2 for bands in shapes])
        self._south = laid(self._south, [bands.south for bands in shapes])
        self._scale = laid(self._scale, [bands.scale for bands in shapes])


def _band(lat: NDArray[np.float64], south: Any, scale: Any, last: Any) -> NDArray[np.int64]:
    band: NDArray[np.float64] = (lat - south) * scale
    np.clip(band, 0.0, last, out=band)
    return band.astype(np.int64)


def _within(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 to n - 1 for every n, one after the other."""
    return np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)


def _count(
    band: NDArray[np.int64],
    starts: NDArray[Any],
    edges: NDArray[Any],
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each point is inside by its band's edges, and the indices of the points for which that is not certain."""
    begin = starts.take(band)
    count = (starts.take(band + 1) - begin).astype(np.int64)
    owner = np.repeat(np.arange(len(band)), count)
    edge = edges.take(np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - begin, count))
    y, y0, y1 = lat.take(owner), ys.take(edge), ys.take(edge + 1)
    rises = y1 > y
    meets = np.flatnonzero(rises != (y0 > y))
    level = owner[(y0 == y) | (y1 == y)]
    # Four in five edges of a band end above or below the point, and are done with.
    owner, edge, rises, y, y0, y1 = owner[meets], edge[meets], rises[meets], y[meets], y0[meets], y1[meets]
    x, x0, x1 = lon.take(owner), xs.take(edge), xs.take(edge + 1)
    up, across = (x1 - x0) * (y - y0), (x - x0) * (y1 - y0)
    side = up - across
    doubtful = np.abs(side) <= _UNSURE * (np.abs(up) + np.abs(across))
    inside = (np.bincount(owner[(side > 0.0) == rises], minlength=len(band)) & 1).astype(bool)
    return inside, np.unique(np.concatenate([level, owner[doubtful]]))
