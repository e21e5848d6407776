"""Drawing zones and putting them in force: the rules that the API, an import and the command line share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from admin_api.permissions import Permission
from admin_api.problems import Problem, invalid, not_found
from storage.queries import districts, zone_steps, zones

if TYPE_CHECKING:
    from admin_api.permissions import Account
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


def check_district(account: Account, district: str) -> None:
    """Raises a 403 Problem where the district is not the account's to edit."""
    if account.handles is not None and district not in account.handles:
        raise Problem(
            403, "other-district", "Your account edits zones of its own district only.", "只能编辑本辖区的禁用区。"
        )


def check_publisher(account: Account) -> None:
    """Raises a 403 Problem where the account may not put zones in or out of force."""
    if not account.may(Permission.ZONES_PUBLISH):
        raise Problem(
            403,
            "forbidden",
            "Only a city admin puts zones in and out of force.",
            "只有市局管理员可以发布或停用禁用区。",
        )


def check_publishes_at_once(account: Account) -> None:
    """Raises a 403 Problem unless it is a city admin's token: people publish in twos."""
    check_publisher(account)
    if not account.bearer:
        raise Problem(
            403,
            "second-person-required",
            "Publishing at once takes a city admin's API token: submit the draft, and let a second person approve it.",
            "只有市局管理员的访问令牌可以直接发布；请提交审核，由另一人审核通过。",
        )


def no_zone() -> Problem:
    return not_found("zone", "禁用区")


async def locked(connection: Connection, account: Account, zone: int) -> dict[str, Any]:
    """The zone's version in force, else its newest, held against other editors until the transaction ends.

    Raises a 404 Problem where there is no such zone, a 403 one where its district is not the account's.
    """
    there = await zones.lock(connection, zone)
    row = await zones.find(connection, zone) if there else None
    if row is None:
        raise no_zone()
    check_district(account, row["district"])
    return row


class Drawn(NamedTuple):
    zone: int
    version: int
    ended: list[int]
    """Unpublished versions that gave way to this one."""


async def draw(
    connection: Connection, draft: ZoneDraft, *, author: str, zone: int | None = None, over_review: bool = False
) -> Drawn:
    """A new zone's first version, or the next of one that the caller has locked, as a draft.

    A draft that was there is retired. Raises a 409 Problem where a version is in review, unless ``over_review``: then
    that one is retired too, and its reviewer finds it gone.
    """
    await districts.ensure(connection, [draft.district])
    if zone is None:
        zone = await zones.create(connection)
    elif not over_review and (waiting := await zone_steps.unpublished(connection, zone, "in_review")) is not None:
        raise Problem(
            409,
            "in-review",
            f"Version {waiting} of this zone is in review: withdraw it first, or wait for the decision.",
            f"该禁用区第 {waiting} 版正在审核：请先撤回，或等待审核结果。",
            version=waiting,
        )
    ended = await zone_steps.drop(connection, zone, ["draft", "in_review"])
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
        merge_s=draft.merge_s,
        lost_s=draft.lost_s,
        lost_merge_s=draft.lost_merge_s,
        slow_terminals=draft.slow_terminals,
        valid_from=_time(draft.valid_from),
        valid_to=_time(draft.valid_to),
        author=author,
    )
    return Drawn(zone, version, ended)


async def put_in_force(
    connection: Connection, row: dict[str, Any], *, reviewer: str | None = None, note: str | None = None
) -> list[int]:
    """Publishes an unpublished version of a locked zone; answers with the versions that it ended.

    Without ``reviewer`` it is published at once, with no second person. Raises a 422 Problem without a notice's number,
    and a 409 Problem where the version would be over before it begins.
    """
    check_publishable(row["doc_no"])
    begins = await zone_steps.begins(connection, row["zone"], row["version"])
    if row["valid_to"] is not None and row["valid_to"] <= begins:
        raise Problem(
            409,
            "zone-over",
            f"Version {row['version']} would be over before it begins: its valid_to is {row['valid_to'].isoformat()}.",
            f"第 {row['version']} 版的截止时间（valid_to）已过，无法生效。",
        )
    return await zone_steps.publish(connection, row["zone"], row["version"], begins, reviewer=reviewer, note=note)


def _time(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)


_AS_STORED = (
    "name", "district", "tier", "state", "version", "doc_no", "rules", "guard_m", "halo_m", "unknown_policy", "merge_s",
    "lost_s", "lost_merge_s", "slow_terminals", "valid_from", "valid_to", "author", "created_at", "submitted_by",
    "submitted_at", "reviewed_by", "reviewed_at", "review_note", "published_at", "direct",
)  # fmt: skip


def feature(row: dict[str, Any]) -> dict[str, Any]:
    """A version as GeoJSON Feature. Its geometry is WGS-84, so `crs` says so; `source_crs` is how it was handed in."""
    properties = {name: row[name] for name in _AS_STORED}
    properties |= {"crs": "wgs84", "source_crs": row["crs"]}
    return {"type": "Feature", "id": row["zone"], "geometry": row["geometry"], "properties": properties}
