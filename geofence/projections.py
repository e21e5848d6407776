"""Coordinate systems that pyproj knows, by EPSG code or by the text of a .prj file, and their conversion to WGS-84.

Survey offices hand zones over in CGCS2000 3-degree Gauss-Kruger: with the zone's number before the easting (EPSG:4527)
or without it (EPSG:4548). x is always the easting and y the northing, whatever order the EPSG register gives the axes,
since that is how Shapefile and GeoJSON are written.

Beijing 1954 and Xi'an 1980 are refused: their public parameters are off by metres to tens of metres, so a zone would be
wrong without anybody noticing. A WKT that carries parameters of its own (TOWGS84) is taken at its word.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
import pyproj
from pyproj.exceptions import ProjError

from geofence.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Convert = Callable[[Floats, Floats], tuple[Floats, Floats]]

# A straight edge this long on the source's plane bends by 2.5 cm at most on the WGS-84 plane (the tests measure it).
STEP_M = 500.0
STEP_DEGREES = 0.005

# The longest .prj that GIS programs write has some 2,000 characters.
_MOST_WKT = 20_000
_REFUSED_DATUMS = ("beijing", "xian", "xi'an")
# WGS-84, GRS 80 and CGCS2000 share this axis and differ in flattening by less: their datums lie within centimetres to
# decimetres of WGS-84, so that PROJ's having no parameters for them says nothing.
_AXIS_M, _FLATTENING = 6378137.0, 298.257223563
_CACHED = 64
# PROJ's lowest confidence in a code; what it rests on is checked here.
_GUESS = 20
_SAME_DEGREES = 1e-9


@dataclass(frozen=True, slots=True)
class Conversion:
    """How one datum becomes WGS-84.

    crs: its normalised name, or WKT 2 where it has none; to_wgs84: columns (x, y) in the datum's own units to columns
    (lon, lat) in degrees; step: the longest edge, in the datum's units, that may be converted by its ends alone (None:
    any edge may); projected: x and y are lengths, not degrees.
    """

    crs: str
    to_wgs84: Convert
    step: float | None
    projected: bool = False


@lru_cache(_CACHED)
def from_epsg(code: int) -> Conversion:
    """The conversion from epsg:code. Raises ZoneError: crs_unknown, crs_refused."""
    try:
        return _from_crs(pyproj.CRS.from_epsg(code), f"epsg:{code}")
    except ProjError:
        raise unknown(f"epsg:{code}") from None


@lru_cache(_CACHED)
def identify(wkt: str) -> str:
    """epsg:N where the WKT is certainly that system under any name, else its normal form (WKT 2, one line).

    Raises ZoneError: crs_unknown, and crs_refused where a code was found and is of a refused datum.
    """
    crs = _read(wkt)
    text: str = crs.to_wkt("WKT2_2019", pretty=False)
    if crs.is_bound:
        return text
    # Two codes may be one system: CM 117E of the 3-degree zones is that of the 6-degree ones. The text's own goes first.
    stated = crs.to_json_dict().get("id", {})
    for code in (stated.get("code") if stated.get("authority") == "EPSG" else None, crs.to_epsg(min_confidence=_GUESS)):
        if isinstance(code, int) and _is_same(text, code):
            return f"epsg:{code}"
    return text


def _is_same(wkt: str, code: int) -> bool:
    """Whether both put the corners of the code's area in the same places: names and authorities in a file may be wrong."""
    try:
        area = pyproj.CRS.from_epsg(code).area_of_use
    except ProjError:
        return False
    if area is None:
        return False
    there = pyproj.Transformer.from_crs(4326, code, always_xy=True)
    corners = there.transform([area.west, area.east, area.west], [area.south, area.north, area.north])
    x, y = (np.asarray(column, np.float64) for column in corners)
    return bool(np.allclose(from_wkt(wkt).to_wgs84(x, y), from_epsg(code).to_wgs84(x, y), rtol=0, atol=_SAME_DEGREES))


@lru_cache(_CACHED)
def from_wkt(wkt: str) -> Conversion:
    """The conversion from a WKT that `identify` has normalised. Raises ZoneError: crs_unknown, crs_refused."""
    return _from_crs(_read(wkt), wkt)


def looks_like_wkt(text: str) -> bool:
    """Whether this is meant as WKT, of either edition."""
    return "[" in text and '"' in text


def unknown(crs: str) -> ZoneError:
    shown = crs if len(crs) <= 60 else crs[:60] + "..."
    return ZoneError(
        "crs_unknown",
        f"unknown crs {shown!r}: use wgs84, cgcs2000, gcj02, bd09, epsg:N of a 2-D system, or the text of its .prj",
        f"不认识的坐标系 {shown!r}:可用 wgs84、cgcs2000、gcj02、bd09、二维的 epsg:N 或其 .prj 文本",
        "properties.crs",
    )


def _read(wkt: str) -> pyproj.CRS:
    """The horizontal system of a WKT."""
    if len(wkt) > _MOST_WKT or "\0" in wkt:
        raise unknown(wkt)
    try:
        crs = pyproj.CRS.from_wkt(wkt)
        if crs.is_compound:
            crs = crs.sub_crs_list[0]
        if crs.is_bound and not _parameters(crs):
            crs = cast("pyproj.CRS", crs.source_crs)
    except ProjError:
        raise unknown(wkt) from None
    return crs


def _parameters(crs: pyproj.CRS) -> bool:
    """Whether the system carries parameters towards WGS-84 that say something."""
    operation = crs.coordinate_operation
    return crs.is_bound and operation is not None and any(operation.towgs84)


def _from_crs(crs: pyproj.CRS, name: str) -> Conversion:
    plain = cast("pyproj.CRS", crs.source_crs) if crs.is_bound else crs
    if len(plain.axis_info) != 2 or not (plain.is_projected or plain.is_geographic):
        raise unknown(name)
    given = _parameters(crs)
    datum = _datum_name(plain)
    if not given and any(old in datum.lower() for old in _REFUSED_DATUMS):
        raise _refused(plain, name, datum)
    wgs84 = pyproj.CRS.from_epsg(4326)
    try:
        transformer = pyproj.Transformer.from_crs(
            crs, wgs84, always_xy=True, allow_ballpark=given or _lies_on_wgs84(plain)
        )
    except ProjError:
        raise _refused(plain, name, datum) from None
    # The unit's size: metres of a projected axis, radians of a geographic one.
    unit = plain.axis_info[0].unit_conversion_factor
    step = STEP_M / unit if plain.is_projected else np.radians(STEP_DEGREES) / unit

    def to_wgs84(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        lon, lat = transformer.transform(x, y)
        return np.asarray(lon, np.float64), np.asarray(lat, np.float64)

    return Conversion(name, to_wgs84, float(step), projected=plain.is_projected)


def _datum_name(crs: pyproj.CRS) -> str:
    geodetic = crs.geodetic_crs
    return geodetic.datum.name if geodetic is not None and geodetic.datum is not None else ""


def _lies_on_wgs84(crs: pyproj.CRS) -> bool:
    ellipsoid = crs.ellipsoid
    return (
        ellipsoid is not None
        and ellipsoid.semi_major_metre == _AXIS_M
        and abs(ellipsoid.inverse_flattening - _FLATTENING) < 1e-3
    )


def _refused(crs: pyproj.CRS, name: str, datum: str) -> ZoneError:
    shown = name if name.startswith("epsg:") else crs.name
    return ZoneError(
        "crs_refused",
        f"{shown} is on the datum {datum or 'unknown'}, which has no public conversion to WGS-84 of known accuracy; "
        "hand the zone in as cgcs2000",
        f"{shown} 属于 {datum or '未知'} 基准,没有公开且精度可靠的转换参数;请先转换为 CGCS2000 再导入",
        "properties.crs",
    )
