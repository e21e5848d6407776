"""Datums: what a zone may be drawn in, and its one conversion to WGS-84.

Terminals report WGS-84; Chinese web maps draw GCJ-02 (about 500 m east of it in Liaocheng) or BD-09. A zone states its
datum and is converted once, when it is saved. CGCS2000 differs from WGS-84 by centimetres and is taken as equal. What
has an EPSG code or a .prj is geofence.projections' business.
"""

from __future__ import annotations

import re
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from geofence.projections import STEP_DEGREES, Conversion, from_epsg, from_wkt, identify, looks_like_wkt, unknown

if TYPE_CHECKING:
    from geofence.projections import Convert, Floats

__all__ = [
    "Conversion", "bd09_to_gcj02", "bd09_to_wgs84", "conversion", "gcj02_to_bd09", "gcj02_to_wgs84", "wgs84_to_gcj02",
]  # fmt: skip

# Krasovsky 1940, which the GCJ-02 formula is built on: semi-major axis in m, first eccentricity squared.
_AXIS_M = 6378245.0
_ECCENTRICITY2 = 0.00669342162296594323
# Each round of the inverse leaves about 1/200 of the error: 500 m, 3 m, 2 cm, 0.1 mm, 0.4 um, then rounding.
_ROUNDS = 6
_BD09_X, _BD09_Y = 0.0065, 0.006
_BD09_WAVE = pi * 3000 / 180
# Shorter than the others' STEP_DEGREES, because its waves are.
_STEP_BD09_DEGREES = 0.001

_ALIASES = {"epsg:4326": "wgs84", "epsg:4490": "cgcs2000"}


def conversion(crs: str) -> Conversion:
    """The conversion from wgs84, cgcs2000, gcj02, bd09 or epsg:N (upper or lower case), or the WKT of a .prj file.

    Raises ZoneError: crs_unknown, or crs_refused for Beijing 1954 and Xi'an 1980.
    """
    name = crs.strip()
    name = identify(name) if looks_like_wkt(name) else name.lower()
    name = _ALIASES.get(name, name)
    known = _OWN.get(name)
    if known is not None:
        return known
    if looks_like_wkt(name):
        return from_wkt(name)
    code = re.fullmatch(r"epsg:(\d{1,6})", name, re.ASCII)
    if code is None:
        raise unknown(crs)
    return from_epsg(int(code[1]))


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
    "gcj02": Conversion("gcj02", gcj02_to_wgs84, STEP_DEGREES),
    "bd09": Conversion("bd09", bd09_to_wgs84, _STEP_BD09_DEGREES),
}
