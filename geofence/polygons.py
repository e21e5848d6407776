"""GeoJSON polygons in, shapely polygons out, strictly: what is wrong is said with its place, and nothing is repaired."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geofence.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A county has some 5,000 vertices in the finest public data; this is 20 of them, and still under a second to validate.
MAX_VERTICES = 100_000

_COORDINATES = "geometry.coordinates"


@dataclass(frozen=True, slots=True)
class Repair:
    """A valid shape that an invalid one might have meant, for a person to look at.

    geometry: GeoJSON Polygon or MultiPolygon in the coordinates it was handed in; area_before and area_after: in
    square units of these coordinates, so that a preview can say how much changed.
    """

    geometry: dict[str, Any]
    area_before: float
    area_after: float


def read_polygons(geometry: object) -> shapely.Polygon | shapely.MultiPolygon:
    """The shape of a GeoJSON Polygon or MultiPolygon geometry, in its own coordinates; heights are dropped.

    Raises ZoneError: geometry_type, geometry_malformed, ring_short, ring_open, too_many_vertices, geometry_invalid.
    """
    shape = _build(geometry, close=False)
    check_valid(shape)
    return shape


def check_valid(shape: shapely.Geometry) -> None:
    """Raises ZoneError geometry_invalid with GEOS's reason and place where the shape is not a valid one."""
    if shapely.is_empty(shape):
        raise ZoneError("geometry_invalid", "the shape is empty", "图形为空", _COORDINATES)
    if shapely.is_valid(shape):
        return
    reason = str(shapely.is_valid_reason(shape))
    found = re.search(r"\[(\S+) (\S+)]", reason)
    place = (float(found[1]), float(found[2])) if found else None
    kind = reason.split("[", maxsplit=1)[0]
    at_en = f" at {place[0]:.7g}, {place[1]:.7g}" if place else ""
    at_zh = f",位置 {place[0]:.7g}, {place[1]:.7g}" if place else ""
    raise ZoneError(
        "geometry_invalid",
        f"the shape is not valid: {kind}{at_en}",
        f"图形无效:{_REASONS_ZH.get(kind, kind)}{at_zh}",
        _COORDINATES,
        place,
    )


def repair_preview(geometry: object) -> Repair:
    """What the shape would be if rings were closed and crossings resolved. Only ever shown, never stored for somebody.

    Raises ZoneError where there is nothing to show: no polygon at all, or nothing of it left.
    """
    broken = _build(geometry, close=True)
    mended = shapely.make_valid(broken)
    parts = [part for part in shapely.get_parts(mended, return_index=False) if _has_area(part)]
    parts = [polygon for part in parts for polygon in shapely.get_parts(part)]
    if not parts:
        raise ZoneError("geometry_invalid", "the shape has no area", "图形没有面积", _COORDINATES)
    shape = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return Repair(shapely.geometry.mapping(shape), float(shapely.area(broken)), float(shapely.area(shape)))


_REASONS_ZH = {
    "Self-intersection": "边界自相交",
    "Ring Self-intersection": "边界环自相接",
    "Hole lies outside shell": "洞在外环之外",
    "Holes are nested": "洞互相嵌套",
    "Interior is disconnected": "内部不连通",
    "Nested shells": "外环互相嵌套",
    "Duplicate Rings": "环重复",
    "Too few points in geometry component": "点数过少",
}


def _has_area(part: shapely.Geometry) -> bool:
    return bool(shapely.area(part) > 0)


def _build(geometry: object, *, close: bool) -> shapely.Polygon | shapely.MultiPolygon:
    if not isinstance(geometry, dict) or geometry.get("type") not in {"Polygon", "MultiPolygon"}:
        found = geometry.get("type") if isinstance(geometry, dict) else None
        raise ZoneError(
            "geometry_type",
            f"a zone is a Polygon or a MultiPolygon, not {found!r}",
            f"禁用区须为 Polygon 或 MultiPolygon,而不是 {found!r}",
            "geometry.type",
        )
    coordinates = geometry.get("coordinates")
    many = geometry["type"] == "MultiPolygon"
    room = MAX_VERTICES
    polygons = []
    for where, rings in _items(coordinates, _COORDINATES) if many else [(_COORDINATES, coordinates)]:
        built = []
        for ring_where, ring in _items(rings, where):
            points = _ring(ring, ring_where, room, close=close)
            room -= len(points)
            built.append(points)
        polygons.append(shapely.Polygon(built[0], built[1:]))
    return shapely.MultiPolygon(polygons) if many else polygons[0]


def _items(value: object, where: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, list | tuple) or not value:
        raise ZoneError("geometry_malformed", "a list is missing or empty here", "此处应为非空列表", where)
    for i, item in enumerate(value):
        yield f"{where}[{i}]", item


def _ring(ring: object, where: str, room: int, *, close: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    points = [_point(point, place) for place, point in _items(ring, where)]
    if close and points[0] != points[-1]:
        points.append(points[0])
    if len(points) > room:
        raise ZoneError(
            "too_many_vertices",
            f"a zone may have {MAX_VERTICES} vertices",
            f"一个禁用区最多 {MAX_VERTICES} 个顶点",
            where,
        )
    if points[0] != points[-1]:
        raise ZoneError(
            "ring_open",
            "the ring is not closed: its last point must repeat its first",
            "边界环没有闭合:最后一点须与第一点相同",
            where,
            points[-1],
        )
    if len(points) < 4:
        raise ZoneError(
            "ring_short", "a ring has at least four points", "边界环至少有四个点(首尾相同)", where, points[0]
        )
    return np.array(points, np.float64)


def _point(point: object, where: str) -> tuple[float, float]:
    if isinstance(point, list | tuple) and len(point) >= 2:
        x, y = point[:2]
        if _is_number(x) and _is_number(y):
            return float(x), float(y)
    raise ZoneError("geometry_malformed", "a point is two finite numbers", "点须为两个有限的数", where)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
