"""KML 2.x and KMZ: Placemarks with polygons (OGC 12-007r2).

The standard's coordinates are WGS-84, but map programs in China write GCJ-02 into the same elements, so a KML states no
crs here: the person who hands it in does. No entity is expanded and no link is followed.
"""

from __future__ import annotations

import io
import re
from collections import deque
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from geofence.errors import ZoneError
from geofence.importing.found import Contents, Found, malformed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

# Styles and folders included, a zone takes some fifty elements.
MOST_ELEMENTS = 500_000
_MOST_DEPTH = 100
_GBK = re.compile(rb"""\s*<\?xml[^>]*encoding=["'](?:gbk|gb2312|gb18030)["'][^>]*\?>""", re.IGNORECASE)
_LINES = {"LineString", "LinearRing", "Track", "MultiTrack"}
_NO_ZONE = {"Point", "Model"}


def read(data: bytes, *, layer: str = "") -> Contents:
    """A KML document; ``layer`` is its name inside a KMZ. Raises ZoneError: file_malformed, file_too_large."""
    contents = Contents("kmz" if layer else "kml")
    number = points = links = 0
    try:
        for element in _elements(data):
            kind = _kind(element)
            links += kind == "NetworkLink"
            if kind == "Placemark":
                number += 1
                if _Shapes(element).only_points:
                    points += 1
                else:
                    contents.add(_found(number, element, layer))
                element.clear()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        if isinstance(error, ZoneError):
            raise
        why = "a DTD or entity is not allowed" if isinstance(error, DefusedXmlException) else str(error)
        raise malformed(f"the KML does not read: {why}", "KML 不是有效的 XML,或含有不允许的 DTD、实体") from None
    if points:
        contents.note(f"left out: {points} placemarks that are points", f"已略过 {points} 个点标注")
    if links:
        contents.note(f"{links} network links were not followed", f"未读取 {links} 个网络链接")
    return contents


def _elements(data: bytes) -> Iterator[Element]:
    """Elements as they end."""
    depth = count = 0
    if declared := _GBK.match(data):
        # expat knows no encoding of several bytes but UTF-8 and UTF-16.
        data = data[declared.end() :].decode("gb18030").encode()
    for event, element in iterparse(io.BytesIO(data), events=("start", "end"), forbid_dtd=True):
        if event == "start":
            depth, count = depth + 1, count + 1
            if count > MOST_ELEMENTS or depth > _MOST_DEPTH:
                raise ZoneError("file_too_large", "the KML has too many elements", "KML 元素过多或嵌套过深")
        else:
            depth -= 1
            yield element


def _kind(element: Element) -> str:
    """The name without its namespace: versions differ in it, and some programs write none."""
    return str(element.tag).rpartition("}")[2]


class _Shapes:
    """The geometries of a Placemark, at any depth of MultiGeometry."""

    def __init__(self, placemark: Element) -> None:
        self.polygons: list[Element] = []
        self.lines = self.points = 0
        waiting = deque(placemark)
        while waiting:
            element = waiting.popleft()
            kind = _kind(element)
            if kind == "Polygon":
                self.polygons.append(element)
            elif kind == "MultiGeometry":
                waiting.extendleft(reversed(element))
            else:
                self.lines += kind in _LINES
                self.points += kind in _NO_ZONE

    @property
    def only_points(self) -> bool:
        return bool(self.points) and not self.lines and not self.polygons


def _found(number: int, placemark: Element, layer: str) -> Found:
    found = Found(number, None, _properties(placemark), layer=layer)
    shapes = _Shapes(placemark)
    try:
        parts = _parts(shapes)
    except ZoneError as error:
        found.fault = error
        return found
    if len(parts) == 1:
        found.geometry = {"type": "Polygon", "coordinates": parts[0]}
    else:
        found.geometry = {"type": "MultiPolygon", "coordinates": parts}
    return found


def _parts(shapes: _Shapes) -> list[list[list[list[float]]]]:
    """The polygons' rings."""
    if shapes.lines or not shapes.polygons:
        what, what_zh = ("a line", "线") if shapes.lines else ("no shape", "无图形")
        raise ZoneError(
            "geometry_type",
            f"a zone is a Polygon, and this placemark has {what}",
            f"禁用区须为面(Polygon),该标注为{what_zh}",
            "geometry.type",
        )
    return [_rings(polygon, i) for i, polygon in enumerate(shapes.polygons)]


def _properties(placemark: Element) -> dict[str, Any]:
    """The name, Data and SimpleData. The last of one name wins, as in a table with a column twice."""
    found: dict[str, Any] = {}
    for element in placemark.iter():
        kind = _kind(element)
        if kind == "SimpleData":
            found[str(element.get("name"))] = (element.text or "").strip()
        elif kind == "Data":
            value = next((child for child in element if _kind(child) == "value"), None)
            found[str(element.get("name"))] = ("" if value is None else value.text or "").strip()
    name = next((child for child in placemark if _kind(child) == "name"), None)
    if name is not None and (name.text or "").strip():
        found["name"] = (name.text or "").strip()
    return found


def _rings(polygon: Element, part: int) -> list[list[list[float]]]:
    """The outer ring, then the holes."""
    outer: list[Element] = []
    holes: list[Element] = []
    for border in polygon:
        kind = _kind(border)
        if kind not in {"outerBoundaryIs", "innerBoundaryIs"}:
            continue
        # The standard wants an element for each hole; some programs put all rings into one.
        for ring in border:
            if _kind(ring) == "LinearRing":
                (outer if kind == "outerBoundaryIs" else holes).append(ring)
    if len(outer) != 1:
        raise ZoneError(
            "geometry_malformed",
            f"polygon {part + 1} has {len(outer)} outer rings, not one",
            f"第 {part + 1} 个面有 {len(outer)} 个外环,应为一个",
            "geometry.coordinates",
        )
    return [_points(ring, f"geometry.coordinates[{part}][{i}]") for i, ring in enumerate([*outer, *holes])]


def _points(ring: Element, where: str) -> list[list[float]]:
    text = next((child.text or "" for child in ring if _kind(child) == "coordinates"), "")
    points = []
    for i, tuple_ in enumerate(text.split()):
        try:
            numbers = [float(number) for number in tuple_.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in {2, 3}:
            raise ZoneError(
                "geometry_malformed",
                f"{tuple_[:40]!r} is not longitude,latitude[,height] without a blank",
                f"{tuple_[:40]!r} 不是 经度,纬度[,高度](逗号后不得有空格)",
                f"{where}[{i}]",
            )
        points.append(numbers[:2])
    return points
