"""Saving and publishing zones: the rules that the API and the command line share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from admin_api.problems import Problem, invalid
from storage.queries import districts, zones

if TYPE_CHECKING:
    from admin_api.state import Connection
    from geofence.zones import ZoneDraft, ZoneError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refused(error: ZoneError) -> Problem:
    """Why the fence's room won't take this shape, for the API."""
    where = f"body.{error.where}" if error.where else "body"
    each: dict[str, Any] = {"where": where, "message": error.message_en, "message_zh": error.message_zh}
    if error.place is not None:
        each["place"] = list(error.place)
    return Problem(422, "zone-" + error.code.replace("_", "-"), error.message_en, error.message_zh, errors=[each])


def check_publishable(doc_no: str | None) -> None:
    """A zone binds people, so it names the notice that made it law. Raises a 422 Problem."""
    if not doc_no:
        raise invalid(
            "body.properties.doc_no",
            "Publishing a zone needs the number of its notice: properties.doc_no.",
            "发布禁用区必须填写公告文号（properties.doc_no）。",
            "doc-no-required",
        )


async def save(
    connection: Connection, draft: ZoneDraft, *, author: str, publish: bool, zone: int | None = None
) -> tuple[int, int]:
    """A new zone, or the next version of one that the caller has locked. Answers with zone and version."""
    if publish:
        check_publishable(draft.doc_no)
    await districts.ensure(connection, [draft.district])
    if zone is None:
        zone = await zones.create(connection)
    version = await zones.add_draft(
        connection,
        zone,
        name=draft.name,
        district=draft.district,
        tier=draft.tier,
        doc_no=draft.doc_no,
        crs=draft.crs,
        source=draft.source,
        geometry=draft.to_wgs84_geojson(),
        rules=draft.rules_json(),
        guard_m=draft.guard_m,
        halo_m=draft.halo_m,
        unknown_policy=draft.unknown_policy,
        valid_from=_time(draft.valid_from),
        valid_to=_time(draft.valid_to),
        author=author,
    )
    if publish:
        await zones.publish(connection, zone, version)
    return zone, version


def _time(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)


def feature(row: dict[str, Any]) -> dict[str, Any]:
    """A version as GeoJSON Feature. Its geometry is WGS-84, so `crs` says so; `source_crs` is how it was handed in."""
    return {
        "type": "Feature",
        "id": row["zone"],
        "geometry": row["geometry"],
        "properties": {
            "name": row["name"],
            "district": row["district"],
            "tier": row["tier"],
            "state": row["state"],
            "version": row["version"],
            "crs": "wgs84",
            "source_crs": row["crs"],
            "doc_no": row["doc_no"],
            "rules": row["rules"],
            "guard_m": row["guard_m"],
            "halo_m": row["halo_m"],
            "unknown_policy": row["unknown_policy"],
            "valid_from": row["valid_from"],
            "valid_to": row["valid_to"],
            "author": row["author"],
            "created_at": row["created_at"],
        },
    }


def _same_source(draft: ZoneDraft, row: dict[str, Any]) -> bool:
    return bool(draft.crs == row["crs"] and draft.source == row["source"])


def is_same(draft: ZoneDraft, row: dict[str, Any]) -> bool:
    """Whether a stored version says what the draft says. A draft without a beginning begins whenever the other did."""
    return bool(
        draft.rules_json() == row["rules"]
        and (_same_source(draft, row) or orjson.loads(orjson.dumps(draft.to_wgs84_geojson())) == row["geometry"])
        and (draft.tier, draft.doc_no) == (row["tier"], row["doc_no"])
        and (draft.guard_m, draft.halo_m) == (row["guard_m"], row["halo_m"])
        and draft.unknown_policy == row["unknown_policy"]
        and (draft.valid_from is None or _time(draft.valid_from) == row["valid_from"])
        and _time(draft.valid_to) == row["valid_to"]
    )
