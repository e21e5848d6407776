"""Zones: a GeoJSON Feature in, a checked draft out, and the published Zone that the fence is compiled from.

A Feature's geometry is validated as it was drawn, densified, and converted to WGS-84 once; both shapes are kept.
An invalid shape is refused with its reason and place; geofence.polygons.repair_preview offers a repair for a person
to look at, and nothing here ever applies one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import shapely

from geofence.datum import Conversion, conversion
from geofence.errors import ZoneError
from geofence.polygons import MAX_VERTICES, check_valid, read_polygons, repair_preview
from geofence.rules import Rule, parse_rules, rules_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Tier", "UnknownPolicy", "Zone", "ZoneDraft", "ZoneError", "parse_feature", "repair_preview"]

Tier = Literal["core", "general"]
UnknownPolicy = Literal["record", "alarm"]

DEFAULT_GUARD_M = 30.0
DEFAULT_HALO_M = 30.0
# A guard or halo wider than this is a mistake in the unit, not a tolerance for GNSS noise.
MAX_BUFFER_M = 1000.0

# Where the GCJ-02 formula is meant to hold; a zone outside it was handed in with the wrong crs or order of axes.
_WEST, _SOUTH, _EAST, _NORTH = 72.004, 0.8293, 137.8347, 55.8271
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """One published version of a zone, as the fence and the verdict see it.

    geometry: shapely Polygon or MultiPolygon, degrees WGS-84; guard_m: metres inside the border that confirm an entry;
    halo_m: metres outside it that a machine must leave; unknown_policy: what a machine of unknown stage is;
    valid_from, valid_to: int64 us UTC, [from, to), None is open.
    """

    id: int
    version: int
    name: str
    district: str
    tier: Tier
    geometry: shapely.Polygon | shapely.MultiPolygon
    rules: tuple[Rule, ...] = ()
    guard_m: float = DEFAULT_GUARD_M
    halo_m: float = DEFAULT_HALO_M
    unknown_policy: UnknownPolicy = "record"
    valid_from: int | None = None
    valid_to: int | None = None
    doc_no: str | None = None

    def counts_at(self, time: int) -> bool:
        """Whether the zone is in force at a device time (us UTC)."""
        started = self.valid_from is None or self.valid_from <= time
        return started and (self.valid_to is None or time < self.valid_to)

    @classmethod
    def stored(cls, *, geometry: Mapping[str, Any], rules: object, **fields: Any) -> Zone:
        """A zone from what was stored: ``geometry`` and ``rules`` as JSON values, the other fields by name.

        Raises ZoneError where they don't read; a published version was checked when it was a draft.
        """
        return cls(geometry=read_polygons(geometry), rules=parse_rules(rules), **fields)


@dataclass(frozen=True, slots=True, eq=False)
class ZoneDraft:
    """A Feature that passed every check.

    source: the GeoJSON geometry as it was handed in, in ``crs``; geometry: shapely, degrees WGS-84, densified where
    the conversion bends straight edges; times: int64 us UTC or None.
    """

    name: str
    district: str
    tier: Tier
    crs: str
    source: dict[str, Any]
    geometry: shapely.Polygon | shapely.MultiPolygon
    rules: tuple[Rule, ...]
    guard_m: float
    halo_m: float
    unknown_policy: UnknownPolicy
    valid_from: int | None
    valid_to: int | None
    doc_no: str | None

    def to_wgs84_geojson(self) -> dict[str, Any]:
        """The WGS-84 geometry as a GeoJSON geometry object (longitude, latitude), every digit kept."""
        return cast("dict[str, Any]", shapely.geometry.mapping(self.geometry))

    def rules_json(self) -> list[dict[str, Any]]:
        return rules_to_json(self.rules)

    def publish(self, zone_id: int, version: int) -> Zone:
        """The zone that this draft becomes."""
        return Zone(
            zone_id, version, self.name, self.district, self.tier, self.geometry, self.rules, self.guard_m,
            self.halo_m, self.unknown_policy, self.valid_from, self.valid_to, self.doc_no,
        )  # fmt: skip


def parse_feature(feature: object, crs: str | None = None) -> ZoneDraft:
    """Reads and checks a GeoJSON Feature; ``crs`` is for features that don't state their own.

    Raises ZoneError: feature, property_missing, property_bad, crs_missing, crs_conflict, crs_unknown, crs_refused,
    rules, out_of_range, and what geofence.polygons raises for the geometry.
    """
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise ZoneError("feature", "not a GeoJSON Feature", "不是 GeoJSON Feature")
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        raise ZoneError("feature", "the Feature has no properties", "Feature 没有 properties", "properties")
    if properties.get("rules") is None:
        raise _missing("rules", "; write [] for a zone that bans nothing", ";不禁止任何机械时写 []")
    name, district = _text(properties, "name"), _text(properties, "district")
    datum = _datum(properties.get("crs"), crs)
    valid_from, valid_to = _time(properties, "valid_from"), _time(properties, "valid_to")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise _bad("valid_to", "must be later than valid_from", "须晚于 valid_from")
    source = read_polygons(feature.get("geometry"))
    return ZoneDraft(
        name=name,
        district=district,
        tier=cast("Tier", _choice(properties, "tier", ("general", "core"))),
        crs=datum.crs,
        source=feature["geometry"],
        geometry=_to_wgs84(source, datum),
        rules=parse_rules(properties["rules"]),
        guard_m=_metres(properties, "guard_m", DEFAULT_GUARD_M),
        halo_m=_metres(properties, "halo_m", DEFAULT_HALO_M),
        unknown_policy=cast("UnknownPolicy", _choice(properties, "unknown_policy", ("record", "alarm"))),
        valid_from=valid_from,
        valid_to=valid_to,
        doc_no=_text(properties, "doc_no") if properties.get("doc_no") is not None else None,
    )


def _to_wgs84(source: shapely.Geometry, datum: Conversion) -> shapely.Polygon | shapely.MultiPolygon:
    dense = source
    if datum.step is not None:
        if shapely.length(source) / datum.step > MAX_VERTICES:
            raise _out_of_range("the shape is too large for its crs", "图形过大,与所选坐标系不符")
        dense = shapely.segmentize(source, datum.step)
        if shapely.get_num_coordinates(dense) > MAX_VERTICES:
            raise _out_of_range("the shape has too many vertices once densified", "加密后顶点过多")
    else:
        _check_range(dense)
    with np.errstate(invalid="ignore"):  # a projection answers inf where it has no answer; the range check says so
        geometry = shapely.transform(dense, lambda points: np.column_stack(datum.to_wgs84(points[:, 0], points[:, 1])))
    _check_range(geometry)
    check_valid(geometry)
    return geometry


def _check_range(geometry: shapely.Geometry) -> None:
    points = shapely.get_coordinates(geometry)
    lon, lat = points[:, 0], points[:, 1]
    inside = (lon >= _WEST) & (lon <= _EAST) & (lat >= _SOUTH) & (lat <= _NORTH)
    if inside.all():
        return
    worst = int(np.argmin(inside))
    x, y = float(lon[worst]), float(lat[worst])
    if ((lat >= _WEST) & (lat <= _EAST) & (lon >= _SOUTH) & (lon <= _NORTH)).all():
        raise _out_of_range(
            "latitude and longitude look swapped: GeoJSON is longitude first", "经纬度疑似颠倒:GeoJSON 先经度后纬度"
        )
    raise _out_of_range(
        f"{x:.7g}, {y:.7g} is not a longitude and latitude in or around China; is the crs right?",
        f"{x:.7g}, {y:.7g} 不在中国及周边范围内,请核对坐标系",
    )


def _out_of_range(message_en: str, message_zh: str) -> ZoneError:
    return ZoneError("out_of_range", message_en, message_zh, "geometry.coordinates")


def _datum(stated: object, given: str | None) -> Conversion:
    if stated is not None and not isinstance(stated, str):
        raise _bad("crs", "must be a text", "须为文本")
    if stated is None and given is None:
        raise ZoneError(
            "crs_missing",
            "the crs is missing (a zone drawn on a Chinese web map and taken as WGS-84 is wrong by half a kilometre): "
            "give properties.crs, one of wgs84, cgcs2000, gcj02, bd09 or epsg:N",
            "缺少坐标系(在国内网络地图上绘制的边界若按 WGS-84 使用,会偏移约五百米):"
            "请用 properties.crs 指明 wgs84、cgcs2000、gcj02、bd09 或 epsg:N",
            "properties.crs",
        )
    datum = conversion(stated if stated is not None else cast("str", given))
    if stated is not None and given is not None and conversion(given).crs != datum.crs:
        raise ZoneError(
            "crs_conflict",
            f"the Feature says {stated}, the request says {given}",
            f"要素写明 {stated},而请求指定 {given}",
            "properties.crs",
        )
    return datum


def _text(properties: dict[str, Any], key: str) -> str:
    value = properties.get(key)
    if value is None or value == "":
        raise _missing(key)
    if not isinstance(value, str) or not value.strip():
        raise _bad(key, "must be a text", "须为文本")
    return value.strip()


def _choice(properties: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
    """The first of the choices is the default."""
    value = properties.get(key)
    if value is None:
        return choices[0]
    if value not in choices:
        raise _bad(key, "must be one of " + ", ".join(choices), "须为以下之一:" + "、".join(choices))
    return cast("str", value)


def _metres(properties: dict[str, Any], key: str, default: float) -> float:
    value = properties.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _bad(key, "must be a number of metres", "须为米数")
    if not 0 <= value <= MAX_BUFFER_M:
        raise _bad(key, f"must be from 0 to {MAX_BUFFER_M:g} m", f"须在 0 至 {MAX_BUFFER_M:g} 米之间")
    return float(value)


def _time(properties: dict[str, Any], key: str) -> int | None:
    value = properties.get(key)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None:
        raise _bad(
            key, "must be an ISO 8601 time with an offset", "须为带时区的 ISO 8601 时间,如 2026-01-01T00:00:00+08:00"
        )
    return (at - _EPOCH) // timedelta(microseconds=1)


def _missing(key: str, hint_en: str = "", hint_zh: str = "") -> ZoneError:
    return ZoneError("property_missing", f"{key} is missing{hint_en}", f"缺少 {key}{hint_zh}", f"properties.{key}")


def _bad(key: str, what_en: str, what_zh: str) -> ZoneError:
    return ZoneError("property_bad", f"{key} {what_en}", f"{key} {what_zh}", f"properties.{key}")
