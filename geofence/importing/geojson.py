"""GeoJSON (RFC 7946), a FeatureCollection or one Feature, and the `crs` member of the edition before it."""

from __future__ import annotations

import re
from typing import Any

import orjson

from geofence.errors import ZoneError
from geofence.importing.found import Contents, Found, malformed

# GDAL and QGIS write CRS84 into every file, whatever the zones were drawn on: it states nothing.
_DEFAULT = re.compile(r"urn:ogc:def:crs:OGC:[\d.]*:CRS84", re.IGNORECASE)
_EPSG = re.compile(r"(?:urn:ogc:def:crs:EPSG:[\d.]*:|EPSG:)(\d{1,6})", re.IGNORECASE | re.ASCII)


def read(data: bytes) -> Contents:
    """Raises ZoneError: file_malformed, file_too_large, crs_unknown."""
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise malformed(f"not JSON: {error}", "不是有效的 JSON(须为 UTF-8 编码)") from None
    features = _features(document)
    crs = _crs(document.get("crs"))
    contents = Contents("geojson")
    for number, feature in enumerate(features, 1):
        contents.add(_found(number, feature, crs))
    return contents


def _features(document: object) -> list[object]:
    if isinstance(document, dict) and document.get("type") == "Feature":
        return [document]
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise malformed("not a GeoJSON FeatureCollection", "不是 GeoJSON FeatureCollection")
    return features


def _found(number: int, feature: object, crs: str | None) -> Found:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        return Found(number, None, {}, fault=ZoneError("feature", "not a GeoJSON Feature", "不是 GeoJSON Feature"))
    properties = feature.get("properties")
    return Found(number, feature.get("geometry"), properties if isinstance(properties, dict) else {}, crs)


def _crs(member: Any) -> str | None:
    if member is None:
        return None
    named = member.get("properties") if isinstance(member, dict) else None
    name = named.get("name") if isinstance(named, dict) else None
    if isinstance(name, str):
        if _DEFAULT.fullmatch(name):
            return None
        if found := _EPSG.fullmatch(name):
            return f"epsg:{found[1]}"
    raise ZoneError(
        "crs_unknown",
        "the file's crs member does not name an EPSG code",
        "文件的 crs 成员没有给出 EPSG 代码",
        "crs",
    )
