"""Zones: a GeoJSON Feature in, a checked draft out, and the published Zone that the fence is compiled from.

A Feature's geometry is validated as it was drawn, densified, and converted to WGS-84 once; both shapes are kept.
An invalid shape is refused with its reason and place; geofence.repairs offers a repair for a person to look at, and
nothing here ever applies one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import shapely

from geofence.datum import Conversion, conversion
from geofence.errors import ZoneError
from geofence.feature_values import bad, choice, missing, number, text, time
from geofence.placing import to_wgs84
from geofence.polygons import read_polygons
from geofence.rules import Rule, parse_rules, rules_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SlowTerminals", "Tier", "UnknownPolicy", "Zone", "ZoneDraft", "ZoneError", "parse_feature",
]  # fmt: skip

Tier = Literal["core", "general"]
UnknownPolicy = Literal["record", "alarm"]
SlowTerminals = Literal["ask", "one_fix", "wait"]

DEFAULT_GUARD_M = 30.0
DEFAULT_HALO_M = 30.0
# A guard or halo wider than this is a mistake in the unit, not a tolerance for GNSS noise.
MAX_BUFFER_M = 1000.0
DEFAULT_MERGE_S = 600.0
DEFAULT_LOST_S = 1800.0
DEFAULT_LOST_MERGE_S = 43_200.0
# A visit that is held open for longer than a month is a mistake in the unit.
MAX_HOLD_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """One published version of a zone, as the fence and the verdict see it.

    geometry: shapely Polygon or MultiPolygon, degrees WGS-84; guard_m: metres inside the border that confirm an entry;
    halo_m: metres outside it that a machine must leave; unknown_policy: what a machine of unknown stage is;
    valid_from, valid_to: int64 us UTC, [from, to), None is open; merge_s: who is back within this long after leaving
    is on the same visit; lost_s: a longer gap between fixes inside ends a presence as a loss of signal; lost_merge_s:
    who is seen inside again within this long after such a loss is on the same visit; slow_terminals: what a single
    inner fix means where a terminal's fixes are more than 30 s apart.
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
    merge_s: float = DEFAULT_MERGE_S
    lost_s: float = DEFAULT_LOST_S
    lost_merge_s: float = DEFAULT_LOST_MERGE_S
    slow_terminals: SlowTerminals = "ask"

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
    the conversion bends straight edges; times: int64 us UTC or None; the other fields are those of Zone.
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
    merge_s: float
    lost_s: float
    lost_merge_s: float
    slow_terminals: SlowTerminals

    def to_wgs84_geojson(self) -> dict[str, Any]:
        """The WGS-84 geometry as a GeoJSON geometry object (longitude, latitude), every digit kept."""
        return cast("dict[str, Any]", shapely.geometry.mapping(self.geometry))

    def rules_json(self) -> list[dict[str, Any]]:
        return rules_to_json(self.rules)

    def publish(self, zone_id: int, version: int) -> Zone:
        """The zone that this draft becomes."""
        return Zone(
            zone_id, version, self.name, self.district, self.tier, self.geometry, self.rules, self.guard_m,
            self.halo_m, self.unknown_policy, self.valid_from, self.valid_to, self.doc_no, self.merge_s, self.lost_s,
            self.lost_merge_s, self.slow_terminals,
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
        raise missing("rules", "; write [] for a zone that bans nothing", ";不禁止任何机械时写 []")
    name, district = text(properties, "name"), text(properties, "district")
    datum = _datum(properties.get("crs"), crs)
    valid_from, valid_to = time(properties, "valid_from"), time(properties, "valid_to")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise bad("valid_to", "must be later than valid_from", "须晚于 valid_from")
    source = read_polygons(feature.get("geometry"))
    return ZoneDraft(
        name=name,
        district=district,
        tier=cast("Tier", choice(properties, "tier", ("general", "core"))),
        crs=datum.crs,
        source=feature["geometry"],
        geometry=to_wgs84(source, datum),
        rules=parse_rules(properties["rules"]),
        guard_m=number(properties, "guard_m", DEFAULT_GUARD_M, MAX_BUFFER_M, "m", "米"),
        halo_m=number(properties, "halo_m", DEFAULT_HALO_M, MAX_BUFFER_M, "m", "米"),
        unknown_policy=cast("UnknownPolicy", choice(properties, "unknown_policy", ("record", "alarm"))),
        valid_from=valid_from,
        valid_to=valid_to,
        doc_no=text(properties, "doc_no") if properties.get("doc_no") is not None else None,
        merge_s=number(properties, "merge_s", DEFAULT_MERGE_S, MAX_HOLD_S, "s", "秒"),
        lost_s=number(properties, "lost_s", DEFAULT_LOST_S, MAX_HOLD_S, "s", "秒"),
        lost_merge_s=number(properties, "lost_merge_s", DEFAULT_LOST_MERGE_S, MAX_HOLD_S, "s", "秒"),
        slow_terminals=cast("SlowTerminals", choice(properties, "slow_terminals", ("ask", "one_fix", "wait"))),
    )


def _datum(stated: object, given: str | None) -> Conversion:
    if stated is not None and not isinstance(stated, str):
        raise bad("crs", "must be a text", "须为文本")
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
