"""Datums: what a zone may be drawn in, and its one conversion to WGS-84.

Terminals report WGS-84; Chinese web maps draw GCJ-02 (about 500 m east of it in Liaocheng) or BD-09. A zone states its
datum and is converted once, when it is saved. CGCS2000 differs from WGS-84 by centimetres and is taken as equal.
Beijing 1954 and Xi'an 1980 are refused: their public parameters are off by metres to tens of metres, so a zone would
be wrong without anybody noticing; the surveyor's office converts them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from math import pi
from typing import TYPE_CHECKING

import numpy as np
import pyproj
from pyproj.exceptions import ProjError

from geofence.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Convert = Callable[[Floats, Floats], tuple[Floats, Floats]]

# Krasovsky 1940, which the GCJ-02 formula is built on: semi-major axis in m, first eccentricity squared.
_AXIS_M = 6378245.0
_ECCENTRICITY2 = 0.00669342162296594323
# Each round of the inverse leaves about 1/200 of the error: 500 m, 3 m, 2 cm, 0.1 mm, 0.4 um, then rounding.
_ROUNDS = 6
_BD09_X, _BD09_Y = 0.0065, 0.006
_BD09_WAVE = pi * 3000 / 180
# A straight edge this long on the source's plane bends by 2.5 cm at most on the WGS-84 plane (the tests measure it).
_STEP_M = 500.0
_STEP_DEGREES = 0.005
_STEP_BD09_DEGREES = 0.001  # its waves are shorter

_ALIASES = {"epsg:4326": "wgs84", "epsg:4490": "cgcs2000"}
_REFUSED_DATUMS = ("beijing", "xian")


@dataclass(frozen=True, slots=True)
class Conversion:
    """How one datum becomes WGS-84.

    crs: its normalised name; to_wgs84: columns (x, y) in the datum's own units to columns (lon, lat) in degrees;
    step: the longest edge, in the datum's units, that may be converted by its ends alone (None: any edge may).
    """

    crs: str
    to_wgs84: Convert
    step: float | None


def conversion(crs: str) -> Conversion:
    """The conversion from wgs84, cgcs2000, gcj02, bd09 or epsg:N (upper or lower case).

    Raises ZoneError: crs_unknown, or crs_refused for Beijing 1954 and Xi'an 1980.
    """
    name = crs.strip().lower()
    name = _ALIASES.get(name, name)
    known = _OWN.get(name)
    if known is not None:
        return known
    code = re.fullmatch(r"epsg:(\d{1,6})", name)
    if code is None:
        raise _unknown(crs)
    return _epsg(int(code[1]))


def wgs84_to_gcj02(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """The public GCJ-02 formula, degrees to degrees. Valid in and around China only."""
    east, north = _gcj02_shift_m(lon - 105.0, lat - 35.0)
    phi = np.radians(lat)
    w2 = 1.0 - _ECCENTRICITY2 * np.sin(phi) ** 2
    prime_vertical = _AXIS_M / np.sqrt(w2)
    meridian = prime_vertical * (1.0 - _ECCENTRICITY2) / w2
    return lon + np.degrees(east / (prime_vertical * np.cos(phi))), lat + np.degrees(north / meridian)


def gcj02_to_wgs84(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Inverse of wgs84_to_gcj02, by iteration to about 1e-12 degrees."""
    return _invert(wgs84_to_gcj02, lon, lat)


def gcj02_to_bd09(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Baidu's twist on top of GCJ-02, degrees to degrees."""
    radius = np.hypot(lon, lat) + 2e-5 * np.sin(lat * _BD09_WAVE)
    angle = np.arctan2(lat, lon) + 3e-6 * np.cos(lon * _BD09_WAVE)
    return radius * np.cos(angle) + _BD09_X, radius * np.sin(angle) + _BD09_Y


def bd09_to_gcj02(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Inverse of gcj02_to_bd09, by iteration to about 1e-12 degrees."""
    return _invert(gcj02_to_bd09, lon, lat)


def bd09_to_wgs84(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    return gcj02_to_wgs84(*bd09_to_gcj02(lon, lat))


def _gcj02_shift_m(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The shift in metres (east, north) at x, y degrees from 105 E, 35 N: a quadratic and waves along both axes."""
    ripple = 20.0 * np.sin(6.0 * pi * x) + 20.0 * np.sin(2.0 * pi * x)
    root = np.sqrt(np.abs(x))
    waves_east = ripple + 20.0 * np.sin(pi * x) + 40.0 * np.sin(pi * x / 3.0)
    waves_east += 150.0 * np.sin(pi * x / 12.0) + 300.0 * np.sin(pi * x / 30.0)
    waves_north = ripple + 20.0 * np.sin(pi * y) + 40.0 * np.sin(pi * y / 3.0)
    waves_north += 160.0 * np.sin(pi * y / 12.0) + 320.0 * np.sin(pi * y / 30.0)
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + waves_east * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + waves_north * 2.0 / 3.0
    return east, north


def _invert(forward: Convert, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    x, y = lon, lat
    for _ in range(_ROUNDS):
        there_x, there_y = forward(x, y)
        x, y = x + (lon - there_x), y + (lat - there_y)
    return x, y


def _same(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    return lon, lat


_OWN = {
    "wgs84": Conversion("wgs84", _same, None),
    "cgcs2000": Conversion("cgcs2000", _same, None),
    "gcj02": Conversion("gcj02", gcj02_to_wgs84, _STEP_DEGREES),
    "bd09": Conversion("bd09", bd09_to_wgs84, _STEP_BD09_DEGREES),
}


@cache
def _epsg(code: int) -> Conversion:
    crs = f"epsg:{code}"
    try:
        source = pyproj.CRS.from_epsg(code)
    except ProjError:
        raise _unknown(crs) from None
    datum = source.geodetic_crs.datum.name if source.geodetic_crs and source.geodetic_crs.datum else ""
    if any(name in datum.lower() for name in _REFUSED_DATUMS):
        raise ZoneError(
            "crs_refused",
            f"{crs} is on the datum {datum}, which has no public conversion to WGS-84 of known accuracy; "
            "hand the zone in as cgcs2000",
            f"{crs} 属于 {datum} 基准,没有公开且精度可靠的转换参数;请先转换为 CGCS2000 再导入",
            "properties.crs",
        )
    if len(source.axis_info) != 2 or not (source.is_projected or source.is_geographic):
        raise _unknown(crs)
    # The unit's size: metres of a projected axis, radians of a geographic one.
    unit = source.axis_info[0].unit_conversion_factor
    step = _STEP_M / unit if source.is_projected else np.radians(_STEP_DEGREES) / unit
    transformer = pyproj.Transformer.from_crs(source, pyproj.CRS.from_epsg(4326), always_xy=True)

    def to_wgs84(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        lon, lat = transformer.transform(x, y)
        return np.asarray(lon, np.float64), np.asarray(lat, np.float64)

    return Conversion(crs, to_wgs84, float(step))


def _unknown(crs: str) -> ZoneError:
    return ZoneError(
        "crs_unknown",
        f"unknown crs {crs!r}: use wgs84, cgcs2000, gcj02, bd09 or epsg:N of a 2-D system",
        f"不认识的坐标系 {crs!r}:可用 wgs84、cgcs2000、gcj02、bd09 或二维的 epsg:N",
        "properties.crs",
    )
