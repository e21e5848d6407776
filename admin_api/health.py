"""Is it alive, is it ready and if not why, and how much went where: /livez, /readyz, /metrics."""

import asyncio
from typing import Any

import psycopg
from fastapi import APIRouter
from starlette.responses import Response

from admin_api.alarm_states import STATES
from admin_api.answers import Json
from admin_api.metrics import Family, render
from admin_api.state import Here, State
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
        return f"database: {type(error).__name__} | 数据库无法连接"
    return None


@router.get("/livez")
async def livez() -> Json:
    """The process runs."""
    return Json({"status": "ok"})


@router.get("/readyz")
async def readyz(state: Here) -> Json:
    """200 when reports are taken in, decided and stored; else 503 with the reasons."""
    reasons = [reason for reason in [await database_reason(state)] if reason]
    if not state.broadcaster.works:
        reasons.append("events: the live stream does not read the database | 实时事件尚未就绪")
    if state.options.health is not None:
        reasons += state.options.health.reasons()
    return Json({"status": "unready" if reasons else "ok", "reasons": reasons}, 503 if reasons else 200)


@router.get("/metrics")
async def metrics(state: Here) -> Response:
    """Prometheus text. Counts only, no position and no name, so a collector needs no token."""
    families: list[Family] = [
        Family("lezgate_streams", "gauge", "Live streams that are open.", [({}, len(state.broadcaster.subscriptions))]),
        Family("lezgate_last_event_id", "gauge", "Newest event handed out.", [({}, state.broadcaster.last or 0)]),
    ]
    try:
        async with asyncio.timeout(_PROBE_SECONDS), state.database() as connection:
            partitions = await health.partitions(connection)
            alarms = await health.alarms_by_state(connection)
            terminals = await health.terminals_by_state(connection)
            enrolment = await health.enrolment(connection)
    except (psycopg.Error, TimeoutError):
        families.append(Family("lezgate_database_up", "gauge", "1 while the database answers.", [({}, 0)]))
        return render(families)
    families.append(Family("lezgate_database_up", "gauge", "1 while the database answers.", [({}, 1)]))
    families += _positions(partitions)
    counted = {row["state"]: row["n"] for row in alarms}
    families.append(
        Family("lezgate_alarms", "gauge", "Alarms by state.", [({"state": s}, counted.get(s, 0)) for s in STATES])
    )
    families.append(
        Family(
            "lezgate_terminals",
            "gauge",
            "Terminals by state; refused ones wait for a machine.",
            [({"state": row["state"]}, row["n"]) for row in terminals],
        )
    )
    families += [
        Family("lezgate_terminals_quarantined", "gauge", "Terminals in quarantine.", [({}, enrolment["quarantined"])]),
        Family(
            "lezgate_enrolment_dropped_total",
            "counter",
            "Refused terminals that the bounded queue has forgotten.",
            [({}, enrolment["dropped"])],
        ),
    ]
    if state.options.health is not None:
        families.append(
            Family(
                "lezgate_process_ready",
                "gauge",
                "1 where this process says that it is ready.",
                [
                    ({"role": role, "pid": str(status.get("pid", ""))}, bool(status.get("ready")))
                    for role, status in state.options.health.statuses()
                ],
            )
        )
    return render(families)


def _positions(partitions: list[dict[str, Any]]) -> list[Family]:
    """Law 8: positions in = stored + duplicate + quarantined + rejected, per partition, from the offset's row."""
    samples = []
    rejects = []
    for row in partitions:
        partition = str(row["partition"])
        samples += [
            ({"partition": partition, "outcome": outcome}, row[outcome])
            for outcome in ("stored", "duplicate", "quarantined")
        ]
        rejects += [
            ({"partition": partition, "reason": reason}, int(count))
            for reason, count in sorted(row["rejected"].items())
        ]
    return [
        Family("lezgate_positions_total", "counter", "Position reports by what became of them.", samples),
        Family("lezgate_rejected_total", "counter", "What was refused, by reason.", rejects),
        Family(
            "lezgate_log_sequence",
            "gauge",
            "Last sequence of the log whose rows are in the database.",
            [({"partition": str(row["partition"])}, row["sequence"]) for row in partitions],
        ),
    ]
