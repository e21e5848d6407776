"""Back-tests over the API: one at a time in a process, with a purpose, written to the audit before it runs."""

import asyncio
import threading
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from admin_api.answers import Json
from admin_api.authentication import PREFIX, Asker, require
from admin_api.backtest_answers import document
from admin_api.backtesting import DEFAULT_DAYS, backtest, window
from admin_api.parameters import Id
from admin_api.permissions import Permission
from admin_api.problems import Problem
from admin_api.records import PurposeText, record, stated
from admin_api.state import Here
from admin_api.zone_editing import check_district, no_zone, refused
from admin_api.zones import Crs, Feature
from geofence.zones import ZoneError, parse_feature
from storage.queries import zones

router = APIRouter(prefix=PREFIX + "/zones", tags=["zones"])

MOST_SECONDS = 600.0
"""A back-test that takes longer is given up: its reader has gone home."""

# Each takes a core for as long as it runs, and one of the pool's connections.
_running = threading.Lock()


@router.post("/backtest", dependencies=[require(Permission.ZONES_WRITE), require(Permission.TRACKS_READ)])
async def run(
    request: Request,
    account: Asker,
    here: Here,
    body: Feature,
    crs: Crs = None,
    start: Annotated[
        str | None, Query(alias="from", description=f"ISO 8601; default: {DEFAULT_DAYS} days before `to`")
    ] = None,
    end: Annotated[str | None, Query(alias="to", description="ISO 8601, not included; default: now")] = None,
    zone: Annotated[
        Id | None, Query(description="Id of the zone that the draft is a new version of: the answer has the difference")
    ] = None,
    purpose: PurposeText = None,
) -> Json:
    """Whom a draft would have caught, had it been in force all the time: with the code that decides live, over stored fixes."""
    since, until = window(start, end)
    reason = stated(purpose)
    try:
        draft = await asyncio.to_thread(parse_feature, body, crs)
    except ZoneError as error:
        raise refused(error) from None
    check_district(account, draft.district)
    if not _running.acquire(blocking=False):
        raise Problem(
            429, "backtest-running", "Another back-test is running: try again when it is done.",
            "另有回测正在进行，请稍后再试。", headers={"Retry-After": "30"},
        )  # fmt: skip
    try:
        async with here.database() as connection:
            row = None
            if zone is not None:
                row = await zones.find(connection, zone)
                if row is None:
                    raise no_zone()
                check_district(account, row["district"])
            detail: dict[str, Any] = {
                "from": since.isoformat(), "to": until.isoformat(), "name": draft.name, "district": draft.district,
                "version": None if row is None else row["version"],
            }  # fmt: skip
            await record(
                connection, request, account, "backtest.run", "zone/draft" if zone is None else f"zone/{zone}",
                purpose=reason, detail=detail,
            )  # fmt: skip
            await connection.commit()
            async with asyncio.timeout(MOST_SECONDS):
                found = await backtest(connection, draft, row, since, until)
        return Json(await asyncio.to_thread(document, found))
    except TimeoutError:
        raise Problem(
            422, "backtest-too-long",
            f"The back-test was given up after {MOST_SECONDS / 60:.0f} minutes: shorten the range.",
            f"回测超过 {MOST_SECONDS / 60:.0f} 分钟，已中止：请缩短时间范围。",
        ) from None  # fmt: skip
    finally:
        _running.release()
