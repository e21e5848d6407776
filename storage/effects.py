"""What a commit writes besides rows: dead letters, enrolments, media, messages, visits, alarms, tracks, days that are to be
computed again; events last.

Each is one statement over a JSON array or over columns, sent together in a pipeline, and only where there is something:
an ordinary batch has none of them and costs no round trip here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from columns.reason import Reason
from storage import daily, enrolment, media, signals, terminal_messages, visits
from storage.arrays import Bigints, Times

if TYPE_CHECKING:
    import psycopg

    from columns.batch import DeadLetters
    from storage.work import Work

_DEAD = """
    INSERT INTO dead_letter (partition, sequence, device, received, reason, data)
    SELECT %s, %s, * FROM unnest(%s, %s, %s::text[], %s::bytea[])
"""
_KEEP_TRACKS = """
    INSERT INTO worker_track AS known (partition, device, track)
    SELECT %s, device, track FROM jsonb_to_recordset(%s) AS changed (device bigint, track jsonb)
    WHERE track IS NOT NULL
    ON CONFLICT (partition, device) DO UPDATE SET track = excluded.track
"""
_DROP_TRACKS = "DELETE FROM worker_track WHERE partition = %s AND device = ANY(%s)"
_EMIT = "SELECT emit_alarms(%s::bigint[], %s)"


async def write_effects(conn: psycopg.AsyncConnection[Any], work: Work) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Inside the caller's transaction. Returns the ids of the alarms that were raised, changed or paged, and the phones of new terminals."""
    new = None
    enrolled = enrolment.read(work.sessions)
    recorded = media.rows(work.sessions)
    said = terminal_messages.rows(work.sessions)
    terminals, days = daily.other_days(work.positions, time.time_ns() // 1000)
    if enrolled or recorded or said or len(work.dead_letters) or work.tracks or len(days):
        async with conn.pipeline():
            if len(work.dead_letters):
                await conn.execute(_DEAD, [work.partition, work.sequence, *_dead_columns(work.dead_letters)])
            new = await enrolment.write(conn, enrolled)
            if len(days):
                await daily.mark(conn, terminals, days)
            if recorded:
                await media.write(conn, recorded)
            if said:
                await terminal_messages.write(conn, said)
            kept = [{"device": device, "track": track} for device, track in work.tracks if track is not None]
            dropped = [device for device, track in work.tracks if track is None]
            if kept:
                await conn.execute(_KEEP_TRACKS, [work.partition, orjson.dumps(kept).decode()])
            if dropped:
                await conn.execute(_DROP_TRACKS, [work.partition, dropped])
    alarms = [] if work.visits is None else await visits.write(conn, work.visits, work.epoch)
    if work.signals:
        alarms = sorted({*alarms, *await signals.write(conn, work.signals)})
    phones = await _first_column(new)
    events: list[dict[str, Any]] = [
        {"kind": "terminal", "district": None, "data": {"event": "enrolled", "phone": phone}} for phone in phones
    ]
    events += enrolled.events
    events += [{"kind": event.kind, "district": event.district, "data": event.data} for event in work.events]
    if alarms or events:
        await conn.execute(_EMIT, [alarms, _json(events)])
    return tuple(alarms), tuple(phones)


def _dead_columns(letters: DeadLetters) -> list[Any]:
    names = {reason.value: reason.name.lower() for reason in Reason}
    reasons = [names.get(reason, str(reason)) for reason in letters.reason.tolist()]
    data = [letters.data[i] for i in range(len(letters))]
    return [Bigints(letters.device), Times(letters.received), reasons, data]


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


async def _first_column(cursor: psycopg.AsyncCursor[Any] | None) -> list[Any]:
    return [] if cursor is None else [row[0] for row in await cursor.fetchall()]
