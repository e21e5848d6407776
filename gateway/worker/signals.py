"""Alarms of other kinds than an entry: tampering as rows for the commit, and a worker's looks at what else is wrong."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psycopg
import structlog

from geofence.tampering import Began
from storage import contradictions, digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.config import Settings
    from geofence.tampering import Ended
    from storage.work import Row

EVERY_S = 30.0
RETRY_S = 5.0
DELAYED_US = 60 * 1_000_000  # decided - received, as with entries: our own outage, which a page must own up to
log = structlog.get_logger()


def tampering_rows(changes: Iterable[Began | Ended], now: int) -> list[Row]:
    """What a commit writes of these; now: us UTC, when it is decided."""
    return [
        _began(change, now)
        if isinstance(change, Began)
        else {"kind": change.kind, "subject": str(change.device), "at": change.at, "reason": "cleared"}
        for change in changes
    ]


def _began(found: Began, now: int) -> Row:
    own = found.machine_district
    return {
        "kind": found.kind,
        "subject": str(found.device),
        "district": found.zone.district,
        "copied_to": own if own and own != found.zone.district else None,
        "machine": found.machine,
        "device": found.device,
        "zone": found.zone.id,
        "zone_version": found.zone.version,
        "lon": round(found.lon * 1e6),
        "lat": round(found.lat * 1e6),
        "at": found.at,
        "confirmed_at": found.at,
        "received": found.received,
        "paged_at": None if found.late else found.received,
        "page_reason": None if found.late else "delayed" if now - found.received > DELAYED_US else "prompt",
        "late": found.late,
        "detail": {"bits": found.bits, "inside": found.inside, "fixed": found.fixed, "verdict": found.verdict},
    }


async def watch_contradictions(database: str, settings: Settings, listens: Callable[[], bool]) -> None:
    """Looks at what contradicts itself, and sends digests, every half minute, for ever. One worker at a time does it.

    listens: whether reports are being taken in; a terminal's silence is counted only while they are.
    """
    since = time.time_ns() // 1000
    while True:
        wait = EVERY_S
        if not listens():
            since = time.time_ns() // 1000
        how = contradictions.Look(settings.silent_minutes, settings.silent_allowed, since)
        try:
            async with await psycopg.AsyncConnection.connect(
                database, autocommit=True, connect_timeout=5, application_name="lezgate-signals"
            ) as connection:
                for kind in contradictions.KINDS:
                    if kind != "silent" or settings.silent_minutes:
                        await contradictions.look(connection, kind, how)
                await digests.digest(connection)
        except Exception as error:  # noqa: BLE001  reports must be decided, whatever is wrong with a chore
            log.warning("contradictions not looked at yet", error=repr(error))
            since, wait = time.time_ns() // 1000, RETRY_S
        await asyncio.sleep(wait)
