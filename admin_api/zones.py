"""Zones: GeoJSON Features with their rules, drawn, read and retired.

`admin_api.zone_review` is how a draft becomes law.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Id, Limit
from admin_api.permissions import Account, Permission
from admin_api.problems import invalid
from admin_api.records import record
from admin_api.state import Connection, Here
from admin_api.zone_editing import (
    Drawn,
    check_district,
    check_publishable,
    check_publisher,
    check_publishes_at_once,
    draw,
    feature,
    locked,
    no_zone,
    put_in_force,
    refused,
)
from admin_api.zone_states import STATES
from geofence.zones import ZoneDraft, ZoneError, parse_feature
from storage.queries import zone_steps, zones

router = APIRouter(prefix=PREFIX + "/zones", tags=["zones"])

Feature = Annotated[dict[str, Any], Body(description="GeoJSON Feature, Polygon or MultiPolygon")]
Crs = Annotated[
    str | None, Query(description="wgs84, cgcs2000, gcj02, bd09 or epsg:N, where the Feature doesn't state its own")
]
Publish = Annotated[
    bool, Query(description="Put it in force at once (a city_admin's bearer token, needs properties.doc_no)")
]

_SHOWN = ",".join(name for name in STATES if name != "retired")


@router.get("", dependencies=[require(Permission.ZONES_READ)])
async def list_zones(
    here: Here,
    state: Annotated[
        str | None, Query(description=f"{', '.join(STATES)}, comma between; default: all but retired")
    ] = None,
    district: Annotated[str | None, Query()] = None,
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Json:
    """Zones as Features in WGS-84: of each, among its versions in these states, the one in force, else the newest."""
    states = [name.strip() for name in (state or _SHOWN).split(",")]
    if unknown := [name for name in states if name not in STATES]:
        raise invalid("query.state", f"{unknown[0]!r} is not one of {', '.join(STATES)}.", "没有这种状态。")
    async with here.database() as connection:
        rows = await zones.page(
            connection, states=states, district=district or None, after=parameters.last_id(cursor), limit=limit
        )
    return page([feature(row) for row in rows], [rows[-1]["zone"]] if len(rows) == limit else None)


@router.post("", status_code=201, dependencies=[require(Permission.ZONES_WRITE)])
async def create(
    request: Request, account: Asker, here: Here, body: Feature, crs: Crs = None, publish: Publish = False
) -> Json:
    """A new zone: a draft, or with `publish` in force at once."""
    draft = await _draft(account, body, crs, publish=publish)
    async with here.database() as connection:
        drawn = await draw(connection, draft, author=account.actor)
        answer = await _saved(connection, request, account, drawn, publish=publish)
    answer.status_code = 201
    answer.headers["Location"] = f"{PREFIX}/zones/{drawn.zone}"
    return answer


@router.get("/{id}", dependencies=[require(Permission.ZONES_READ)])
async def get_zone(
    here: Here, zone: Annotated[Id, Path(alias="id")], version: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None
) -> Json:
    """One zone: the version in force, else the newest that is not over; or the version asked for."""
    async with here.database() as connection:
        row = await zones.find(connection, zone, version)
    if row is None:
        raise no_zone()
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
    """The zone's next version: a draft beside the version in force, or with `publish` in its place.

    While a version is in review nobody draws another.
    """
    draft = await _draft(account, body, crs, publish=publish)
    async with here.database() as connection:
        await locked(connection, account, zone)
        drawn = await draw(connection, draft, author=account.actor, zone=zone, over_review=publish)
        return await _saved(connection, request, account, drawn, publish=publish)


@router.delete("/{id}", status_code=204, dependencies=[require(Permission.ZONES_WRITE)])
async def retire(request: Request, account: Asker, here: Here, zone: Annotated[Id, Path(alias="id")]) -> Response:
    """Retires the zone: no version of it is in force any more, or will be; its versions and visits stay."""
    async with here.database() as connection:
        row = await locked(connection, account, zone)
        ended = await zone_steps.retire(connection, zone)
        if ended:
            check_publisher(account)  # a refusal rolls it back
        ended += await zone_steps.drop(connection, zone, ["draft", "in_review", "rejected"])
        if ended:
            detail = {"version": row["version"], "ended": sorted(ended)}
            await record(connection, request, account, "zone.retire", f"zone/{zone}", detail=detail)
    return Response(status_code=204)


async def _draft(account: Account, body: dict[str, Any], crs: str | None, *, publish: bool) -> ZoneDraft:
    if publish:
        check_publishes_at_once(account)
    try:
        # A province's border in a projection takes a while: other requests go on meanwhile.
        draft = await asyncio.to_thread(parse_feature, body, crs)
    except ZoneError as error:
        raise refused(error) from None
    check_district(account, draft.district)
    if publish:
        check_publishable(draft.doc_no)
    return draft


async def _saved(connection: Connection, request: Request, account: Account, drawn: Drawn, *, publish: bool) -> Json:
    """Puts what was drawn in force where that is asked for, and writes it down."""
    row = await zones.find(connection, drawn.zone, drawn.version)
    assert row is not None  # noqa: S101 - drawn just now
    detail: dict[str, Any] = {"version": drawn.version, "doc_no": row["doc_no"], "ended": drawn.ended}
    if publish:
        detail["ended"] = sorted([*drawn.ended, *await put_in_force(connection, row)])
        detail["note"] = "published at once by token, no second person"
        row = await zones.find(connection, drawn.zone, drawn.version)
        assert row is not None  # noqa: S101
    action = "zone.publish" if publish else "zone.draft"
    await record(connection, request, account, action, f"zone/{drawn.zone}", detail=detail)
    return Json(feature(row))
