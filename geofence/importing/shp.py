"""The .shp part of a Shapefile: polygons (ESRI Shapefile Technical Description, July 1998).

Types 5, 15 (Z) and 25 (M); heights and measures are dropped. A part is a ring. An outer ring runs clockwise and a hole
counterclockwise, in no order, so a hole belongs to the smallest outer ring around it. Where not one ring of a shape runs
clockwise its program did not know the rule: rings that lie side by side are then outer rings, and this is told.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geofence.errors import ZoneError
from geofence.importing.found import MOST_FEATURES, malformed
from geofence.polygons import MAX_VERTICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Ring = NDArray[np.float64]

_HEADER = 100
_MAGIC = 9994
_POLYGONS = {5, 15, 25}
_KINDS = {1: "points", 3: "lines", 8: "points", 11: "points", 13: "lines", 18: "points", 21: "points", 23: "lines",
          28: "points", 31: "patches"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """geometry: GeoJSON in the file's coordinates, or None with the fault; unoriented: no ring runs clockwise."""

    geometry: dict[str, Any] | None
    fault: ZoneError | None = None
    unoriented: bool = False


def read(data: bytes) -> list[Shape]:
    """The shapes in the file's order. Raises ZoneError: file_malformed, geometry_type, file_too_large."""
    if len(data) < _HEADER or struct.unpack_from(">i", data)[0] != _MAGIC:
        raise malformed("the .shp does not begin as one", ".shp 文件头有误")
    (kind,) = struct.unpack_from("<i", data, 32)
    if kind not in _POLYGONS | {0}:
        what = _KINDS.get(kind, f"type {kind}")
        raise ZoneError(
            "geometry_type",
            f"the Shapefile holds {what}, not polygons",
            "该 Shapefile 不是面图层(须为 Polygon)",
            "geometry.type",
        )
    shapes: list[Shape] = []
    for record in _records(data):
        if len(shapes) == MOST_FEATURES:
            raise ZoneError(
                "file_too_large",
                f"the Shapefile has more than {MOST_FEATURES} shapes",
                f"Shapefile 中的图形超过 {MOST_FEATURES} 个",
            )
        shapes.append(_shape(record))
    return shapes


def _records(data: bytes) -> Iterator[memoryview]:
    at = _HEADER
    while at < len(data):
        if at + 8 > len(data):
            raise _cut()
        words = struct.unpack_from(">i", data, at + 4)[0]
        end = at + 8 + 2 * words
        if words < 2 or end > len(data):
            raise _cut()
        yield memoryview(data)[at + 8 : end]
        at = end


def _cut() -> ZoneError:
    return malformed("the .shp ends within a record, or a record's length is wrong", ".shp 文件不完整或记录长度有误")


def _shape(record: memoryview) -> Shape:
    (kind,) = struct.unpack_from("<i", record)
    if kind == 0:
        return Shape(None, ZoneError("geometry_type", "the row has no shape", "该行没有图形", "geometry"))
    if kind not in _POLYGONS or len(record) < 44:
        raise malformed("a record of the .shp is no polygon", ".shp 中有一条记录不是面")
    parts, points = struct.unpack_from("<ii", record, 36)
    if parts < 0 or points < 0 or len(record) < 44 + 4 * parts + 16 * points:
        raise _cut()
    if points > MAX_VERTICES:
        return Shape(
            None,
            ZoneError(
                "too_many_vertices",
                f"a zone may have {MAX_VERTICES} vertices",
                f"一个禁用区最多 {MAX_VERTICES} 个顶点",
                "geometry.coordinates",
            ),
        )
    starts = np.frombuffer(record, "<i4", parts, 44).tolist()
    if starts[:1] not in ([], [0]) or sorted(set(starts)) != starts or (starts and starts[-1] >= points):
        raise malformed("the parts of a shape are out of order", ".shp 中图形各部分的次序有误")
    coordinates = np.frombuffer(record, "<f8", 2 * points, 44 + 4 * parts).reshape(-1, 2)
    return _polygons(np.split(coordinates, starts[1:]) if starts else [])


def _polygons(rings: Sequence[Ring]) -> Shape:
    """The rings put together; a ring that is none goes through as it is, for the checks to name."""
    if not rings:
        return Shape(None, ZoneError("geometry_type", "the row has no shape", "该行没有图形", "geometry"))
    clockwise = [_twice_area(ring) < 0 for ring in rings]
    usable = [len(ring) >= 4 and bool(np.isfinite(ring).all()) for ring in rings]
    if not all(usable) or len(rings) == 1:
        # Refused later with its place, or a single ring, whose direction says nothing.
        return Shape(_geojson([[ring] for ring in rings]), unoriented=len(rings) == 1 and not clockwise[0])
    outer = [ring for ring, right in zip(rings, clockwise, strict=True) if right]
    holes = [ring for ring, right in zip(rings, clockwise, strict=True) if not right]
    if not outer:
        return _side_by_side(holes)
    shells = shapely.polygons([shapely.linearrings(_closed(ring)) for ring in outer])
    areas = shapely.area(shells)
    polygons = [[ring] for ring in outer]
    tree = shapely.STRtree(shells)
    for hole in holes:
        # A hole may touch its shell in points, so most of its corners decide, not one.
        corners = shapely.points(hole)
        around = [
            int(i)
            for i in tree.query(shapely.linestrings(_closed(hole)), predicate=None)
            if np.mean(shapely.intersects(shells[i], corners)) > 0.5
        ]
        if not around:
            return Shape(None, _orphan(hole))
        polygons[min(around, key=lambda i: areas[i])].append(hole)
    return Shape(_geojson(polygons))


def _side_by_side(rings: Sequence[Ring]) -> Shape:
    shapes = shapely.polygons([shapely.linearrings(_closed(ring)) for ring in rings])
    tree = shapely.STRtree(shapes)
    for i, shape in enumerate(shapes):
        inner = shapely.points(rings[i][0])
        if any(j != i and shapely.contains_properly(shapes[j], inner) for j in tree.query(shape)):
            return Shape(None, _orphan(rings[i]))
    return Shape(_geojson([[ring] for ring in rings]), unoriented=True)


def _orphan(ring: Ring) -> ZoneError:
    return ZoneError(
        "ring_orientation",
        "this ring runs counterclockwise, which makes it a hole, and no outer (clockwise) ring lies around it",
        "该环为逆时针方向(表示洞),但其外没有顺时针方向的外环",
        "geometry.coordinates",
        (float(ring[0, 0]), float(ring[0, 1])),
    )


def _twice_area(ring: Ring) -> float:
    """Positive where the ring runs counterclockwise; from its first point, so that large eastings lose no digits."""
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = (ring - ring[0]).T
        return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))


def _closed(ring: Ring) -> Ring:
    return ring if np.array_equal(ring[0], ring[-1]) else np.vstack([ring, ring[:1]])


def _geojson(polygons: Sequence[Sequence[Ring]]) -> dict[str, Any]:
    coordinates = [[ring.tolist() for ring in rings] for rings in polygons]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}
