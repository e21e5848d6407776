"""A file of zones in, checked drafts and reasons out. The format is told by the content, whatever the name.

GeoJSON, KML, KMZ and zipped Shapefile. The crs is that of the Feature, the file (.prj, crs member) or the request; where
two of them are there they must put the zone in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geofence.datum import conversion
from geofence.errors import ZoneError
from geofence.feature_values import missing
from geofence.importing import fields, geojson, kml, shapefile
from geofence.importing.archive import members
from geofence.importing.found import Contents, Found, Note, malformed
from geofence.polygons import read_polygons
from geofence.zones import ZoneDraft, parse_feature

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIRED = ("name", "district", "rules")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OTHERS = {
    b"Rar!": ("a RAR archive", "RAR 压缩包"),
    b"7z\xbc\xaf": ("a 7z archive", "7z 压缩包"),
    b"\x00\x00\x27\x0a": ("a .shp alone", "单独的 .shp 文件"),
}
# Two crs that put a zone's corners this close together are one: names differ, survey offices' .prj files more so.
_SAME_DEGREES = 1e-7


@dataclass(slots=True)
class Incoming:
    """A zone of a file, once it was read: a draft, or the reasons why it is refused (ZoneError each).

    feature: the Feature with our own property names, in the file's coordinates; crs: of the file or the request.
    """

    number: int
    layer: str
    feature: dict[str, Any]
    crs: str | None
    draft: ZoneDraft | None = None
    faults: list[ZoneError] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.feature["properties"].get("name") or "")


@dataclass(frozen=True, slots=True)
class Reading:
    format: str
    incoming: list[Incoming]
    notes: list[Note]


def read(data: bytes, *, crs: str | None = None, defaults: Mapping[str, Any] | None = None) -> Reading:
    """Every zone of the file, in its order. ``defaults``, properties too, fill in what the file does not say.

    Raises ZoneError where the file as a whole does not read: file_unknown, file_malformed, file_too_large, archive,
    encoding, geometry_type (no layer of polygons), crs_unknown or crs_refused (the request's, or a crs member that names nothing). What
    is wrong with one zone is among its faults.
    """
    if crs:
        conversion(crs)
    contents = _contents(data)
    if not contents.found:
        raise malformed("there is no zone in the file", "文件中没有禁用区图形")
    left_out = fields.unknown(name for found in contents.found for name in found.properties)
    if left_out:
        names = ", ".join(left_out[:30])
        contents.note(f"properties left out: {names}", f"未识别的字段:{names}")
    for_all = fields.translated(defaults or {}, {})
    incoming = [_incoming(found, crs, for_all) for found in contents.found]
    return Reading(contents.format, incoming, contents.notes)


def _contents(data: bytes) -> Contents:
    if data.startswith(_ZIP):
        files = members(data, (*shapefile.SUFFIXES, ".kml"))
        if any(name.lower().endswith(".shp") for name in files):
            return shapefile.read(files)
        documents = [name for name in files if name.lower().endswith(".kml")]
        if not documents:
            raise _unknown("a zip archive without .shp or .kml", "压缩包内没有 .shp 或 .kml 文件")
        # The first KML file of a KMZ is its document (KML 2.3, annex C).
        return kml.read(files[documents[0]], layer=documents[0])
    for magic, (what, what_zh) in _OTHERS.items():
        if data.startswith(magic):
            raise _unknown(
                f"{what}: pack .shp, .dbf, .prj and .cpg as a zip", f"{what_zh}:请打包为 zip(含 .shp .dbf .prj)"
            )
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<") or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return kml.read(data)
    return geojson.read(data)


def _unknown(what: str, what_zh: str) -> ZoneError:
    return ZoneError(
        "file_unknown",
        f"neither GeoJSON, KML, KMZ nor a zipped Shapefile, but {what}",
        f"不是 GeoJSON、KML、KMZ 或 Shapefile 压缩包,而是{what_zh}",
    )


def _incoming(found: Found, crs: str | None, defaults: Mapping[str, Any]) -> Incoming:
    properties = fields.translated(found.properties, defaults)
    feature = {"type": "Feature", "properties": properties, "geometry": found.geometry}
    each = Incoming(found.number, found.layer, feature, crs or found.crs)
    each.faults += [missing(name) for name in _REQUIRED if properties.get(name) is None]
    if found.fault is not None:
        each.faults.append(found.fault)
    if each.faults:
        return each
    try:
        if crs and found.crs:
            _check_agreement(crs, found)
        each.draft = parse_feature(feature, each.crs)
    except ZoneError as error:
        each.faults.append(error)
    return each


def _check_agreement(given: str, found: Found) -> None:
    """Raises ZoneError crs_conflict where the request's crs and the file's put the zone in different places."""
    stated = str(found.crs)
    ours, theirs = conversion(given), conversion(stated)
    if ours.crs == theirs.crs:
        return
    west, south, east, north = shapely.bounds(read_polygons(found.geometry)).tolist()
    x, y = np.array([west, east]), np.array([south, north])
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.subtract(ours.to_wgs84(x, y), theirs.to_wgs84(x, y)))
    if ours.projected == theirs.projected and np.all(apart < _SAME_DEGREES):
        return
    shown = theirs.crs if len(theirs.crs) <= 60 else theirs.crs.split('"')[1]
    raise ZoneError(
        "crs_conflict",
        f"the file states {shown}, the request {given}; where a program wrote wgs84 over a map in gcj02, take the .prj "
        "or crs member out",
        f"文件写明 {shown},而请求指定 {given};若软件在 gcj02 底图上误写 wgs84,请删除 .prj 或 crs 成员",
        "properties.crs",
    )
