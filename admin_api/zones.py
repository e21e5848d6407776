"""Zones: GeoJSON Features with their rules, versioned, published by the city with the number of a notice."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Id, Limit
from admin_api.permissions import Account, Permission
from admin_api.problems import Problem, invalid, not_found
from admin_api.records import record
from admin_api.state import Connection, Here
from admin_api.zone_editing import check_publishable, feature, refused, save
from geofence.zones import ZoneDraft, ZoneError, parse_feature
from storage.queries import zones

router = APIRouter(prefix=PREFIX + "/zones", tags=["zones"])

Feature = Annotated[dict[str, Any], Body(description="GeoJSON Feature, Polygon or MultiPolygon")]
Crs = Annotated[
    str | None, Query(description="wgs84, cgcs2000, gcj02, bd09 or epsg:N, where the Feature doesn't state its own")
]
Publish = Annotated[bool, Query(description="Put it in force at once (city_admin, needs properties.doc_no)")]

STATES = ("draft", "active", "retired")


@router.get("", dependencies=[require(Permission.ZONES_READ)])
async def list_zones(
    here: Here,
    state: Annotated[
        str | None, Query(description="draft, active, retired, comma between; default: draft,active")
    ] = None,
    district: Annotated[str | None, Query()] = None,
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Json:
    """Zones as Features in WGS-84: of each the version in force, else the newest."""
    states = [name.strip() for name in (state or "draft,active").split(",")]
    if unknown := [name for name in states if name not in STATES]:
        raise invalid("query.state", f"{unknown[0]!r} is not one of {', '.join(STATES)}.", "没有这种状态。")
    async with here.database() as connection:
        rows = await zones.page(
            connection, states=states, district=district or None, after=parameters.last_id(cursor), limit=limit
        )
    return page([feature(row) for row in rows], [rows[-1]["zone"]] if len(rows) == limit else None)


@router.post("/backtest", status_code=501, dependencies=[require(Permission.ZONES_WRITE)])
async def backtest() -> Json:
    """What a draft would have caught: not there yet."""
    raise Problem(501, "not-yet", "Back-testing a zone is not there yet.", "禁用区回测功能尚未提供。")


@router.post("", status_code=201, dependencies=[require(Permission.ZONES_WRITE)])
async def create(
    request: Request, account: Asker, here: Here, body: Feature, crs: Crs = None, publish: Publish = False
) -> Json:
    """A new zone: a draft, or with `publish` in force at once."""
    draft = await _draft(account, body, crs, publish=publish)
    async with here.database() as connection:
        zone, version = await save(connection, draft, author=account.actor, publish=publish)
        answer = await _saved(connection, request, account, zone, version, publish=publish)
    answer.status_code = 201
    answer.headers["Location"] = f"{PREFIX}/zones/{zone}"
    return answer


@router.get("/{id}", dependencies=[require(Permission.ZONES_READ)])
async def get_zone(
    here: Here, zone: Annotated[Id, Path(alias="id")], version: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None
) -> Json:
    """One zone: the version in force, else the newest; or the version asked for."""
    async with here.database() as connection:
        row = await zones.find(connection, zone, version)
    if row is None:
        raise _no_zone()
    return Json(feature(row))


@router.put("/{id}", dependencies=[require(Permission.ZONES_WRITE)])
async def change(
    request: Request,
    account: Asker,
    here: Here,
    zone: Annotated[Id, Path(alias="id")],
    body: Feature,
    crs: Crs = None,
    publish: Publish = False,
) -> Json:
    """The zone's next version: a draft beside the version in force, or with `publish` in its place."""
    draft = await _draft(account, body, crs, publish=publish)
    async with here.database() as connection:
        await _locked(connection, account, zone)
        _, version = await save(connection, draft, author=account.actor, publish=publish, zone=zone)
        return await _saved(connection, request, account, zone, version, publish=publish)


@router.post("/{id}/publish", dependencies=[require(Permission.ZONES_PUBLISH)])
async def publish_draft(request: Request, account: Asker, here: Here, zone: Annotated[Id, Path(alias="id")]) -> Json:
    """Puts the zone's draft in force."""
    async with here.database() as connection:
        await _locked(connection, account, zone)
        drafts = [row for row in await zones.versions(connection, zone) if row["state"] == "draft"]
        if not drafts:
            raise Problem(409, "no-draft", "This zone has no draft to publish.", "该禁用区没有待发布的草稿。")
        check_publishable(drafts[0]["doc_no"])
        await zones.publish(connection, zone, drafts[0]["version"])
        return await _saved(connection, request, account, zone, drafts[0]["version"], publish=True)


@router.delete("/{id}", status_code=204, dependencies=[require(Permission.ZONES_WRITE)])
async def retire(request: Request, account: Asker, here: Here, zone: Annotated[Id, Path(alias="id")]) -> Response:
    """Retires the zone: it is in force no more; its versions and visits stay."""
    async with here.database() as connection:
        row = await _locked(connection, account, zone)
        if row["state"] == "active":
            _may_publish(account)
        await zones.retire(connection, zone)
        await record(connection, request, account, "zone.retire", f"zone/{zone}", detail={"version": row["version"]})
    return Response(status_code=204)


@router.get("/{id}/versions", dependencies=[require(Permission.ZONES_READ)])
async def list_versions(here: Here, zone: Annotated[Id, Path(alias="id")]) -> Json:
    """Every version, newest first."""
    async with here.database() as connection:
        rows = await zones.versions(connection, zone)
    if not rows:
        raise _no_zone()
    return page([feature(row) for row in rows], None)


def _no_zone() -> Problem:
    return not_found("zone", "禁用区")


def _may_publish(account: Account) -> None:
    if not account.may(Permission.ZONES_PUBLISH):
        raise Problem(
            403,
            "forbidden",
            "Only a city admin puts zones in and out of force.",
            "只有市局管理员可以发布或停用禁用区。",
        )


def _in_district(account: Account, district: str) -> None:
    if account.handles is not None and district not in account.handles:
        raise Problem(
            403, "other-district", "Your account edits zones of its own district only.", "只能编辑本辖区的禁用区。"
        )


async def _draft(account: Account, body: dict[str, Any], crs: str | None, *, publish: bool) -> ZoneDraft:
    if publish:
        _may_publish(account)
    try:
        # A province's border in a projection takes a while: other requests go on meanwhile.
        draft = await asyncio.to_thread(parse_feature, body, crs)
    except ZoneError as error:
        raise refused(error) from None
    _in_district(account, draft.district)
    if publish:
        check_publishable(draft.doc_no)
    return draft


async def _locked(connection: Connection, account: Account, zone: int) -> dict[str, Any]:
    there = await zones.lock(connection, zone)
    row = await zones.find(connection, zone) if there else None
    if row is None:
        raise _no_zone()
    _in_district(account, row["district"])
    return row


async def _saved(
    connection: Connection, request: Request, account: Account, zone: int, version: int, *, publish: bool
) -> Json:
    row = await zones.find(connection, zone, version)
    assert row is not None  # noqa: S101 - saved just now
    await record(
        connection,
        request,
        account,
        "zone.publish" if publish else "zone.draft",
        f"zone/{zone}",
        detail={"version": version, "doc_no": row["doc_no"]},
    )
    return Json(feature(row))
