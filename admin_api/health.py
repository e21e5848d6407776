"""Is it alive, is it ready and if not why, and how much went where: /livez, /readyz, /metrics.

All three answer within seconds whatever is away: the database, the log, every other process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from fastapi import APIRouter
from starlette.responses import Response

from admin_api import database_metrics, log_metrics, process_metrics
from admin_api.answers import Json
from admin_api.metrics import Family, Sample, render
from admin_api.state import Connection, Here, State
from storage.queries import health

router = APIRouter(tags=["health"])

# A database that is up answers in milliseconds; a probe must not wait as long as a request may.
_PROBE_SECONDS = 2.0


async def database_reason(state: State) -> str | None:
    try:
        async with asyncio.timeout(_PROBE_SECONDS), state.database() as connection:
            if not await health.schema_is_there(connection):
                return "database: its schema is missing, run `lezgate db migrate` | 数据库结构缺失，请执行 lezgate db migrate"
    except (psycopg.Error, TimeoutError) as error:
        return (
            f"database: it does not answer ({type(error).__name__}); start it, or check LEZGATE_DATABASE_URL; terminals are"
            " still acknowledged, alarms wait | 数据库无响应：请启动数据库，或检查 LEZGATE_DATABASE_URL；终端仍可应答，报警将延迟"
        )
    return None


@router.get("/livez")
async def livez() -> Json:
    """The process runs."""
    return Json({"status": "ok"})


@router.get("/readyz")
async def readyz(state: Here) -> Json:
    """200 when reports are taken in, decided and stored; else 503 with the reasons, and what to do about each."""
    reasons = [reason for reason in [await database_reason(state)] if reason]
    if not reasons and not state.broadcaster.works:
        reasons.append("events: the live stream does not read the database yet | 实时事件尚未就绪，正在重试")
    warnings: list[str] = []
    if state.options.health is not None:
        reasons += state.options.health.reasons()
        warnings = state.options.health.warnings()
    answer = {"status": "unready" if reasons else "ok", "reasons": reasons, "warnings": warnings}
    return Json(answer, 503 if reasons else 200)


async def _asked(state: State, read: Callable[[Connection], Awaitable[dict[str, Any]]]) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(_PROBE_SECONDS), state.database() as connection:
            return await read(connection)
    except (psycopg.Error, TimeoutError):
        return None


@router.get("/metrics")
async def metrics(state: Here) -> Response:
    """Prometheus text. Counts only, no position and no name, so a collector needs no token."""
    hall = state.options.health
    known = await _asked(state, database_metrics.books)
    if known is not None:
        known |= await _asked(state, database_metrics.counts) or {}
    statuses = [] if hall is None else [("api", hall.own()), *hall.statuses()]
    unready = None if hall is None else len(hall.reasons()) + (known is None)
    return render(
        [
            Family("lezgate_unready_reasons", "gauge", "Reasons of /readyz against being ready; 0 where it is.",
                   [] if unready is None else [Sample({}, unready)]),
            Family("lezgate_streams", "gauge", "Live streams that are open.", [Sample({}, len(state.broadcaster.subscriptions))]),
            Family("lezgate_last_event_id", "gauge", "Newest event handed out.", [Sample({}, state.broadcaster.last or 0)]),
            *database_metrics.families(known),
            *log_metrics.families(None if hall is None else hall.log()),
            *process_metrics.families(statuses),
        ]
    )  # fmt: skip
