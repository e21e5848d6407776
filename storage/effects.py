"""What a commit writes besides rows: dead letters, enrolments, media, messages, visits, alarms, tracks; events last.

Each is one statement over a JSON array or over columns, sent together in a pipeline, and only where there is something:
an ordinary batch has none of them and costs no round trip here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from columns.reason import Reason
from storage import enrolment, media, terminal_messages
from storage.arrays import Bigints, Times
from storage.copy import microdegrees

if TYPE_CHECKING:
    import psycopg

    from columns.batch import DeadLetters
    from storage.work import VisitOpening, Work

_DEAD = """
    INSERT INTO dead_letter (partition, sequence, device, received, reason, data)
    SELECT %s, %s, * FROM unnest(%s, %s, %s::text[], %s::bytea[])
"""
_OPENING = """(id text, device bigint, machine bigint, zone bigint, zone_version int, verdict text, rule jsonb,
    machine_snapshot jsonb, cause text, entered_at timestamptz, confirmed_at timestamptz, last_inside_at timestamptz,
    alarm boolean, kind text, district text, grade text, late boolean, lon int, lat int, received_at timestamptz)"""
_OPEN = f"""
    INSERT INTO visit (id, device, machine, zone, zone_version, verdict, rule, machine_snapshot, cause,
        entered_at, confirmed_at, last_inside_at, epoch)
    SELECT id, device, machine, zone, zone_version, verdict, rule, machine_snapshot, cause,
        entered_at, confirmed_at, last_inside_at, %s
    FROM jsonb_to_recordset(%s) AS r {_OPENING}
    ON CONFLICT (id) DO NOTHING
"""  # noqa: S608
_RAISE = f"""
    INSERT INTO alarm (visit, kind, district, machine, device, zone, zone_version, rule, grade, late, lon, lat,
        entered_at, confirmed_at, received_at)
    SELECT r.id, r.kind, coalesce(r.district, z.district, ''), r.machine, r.device, r.zone, r.zone_version, r.rule,
        r.grade, r.late, r.lon, r.lat, r.entered_at, r.confirmed_at, r.received_at
    FROM jsonb_to_recordset(%s) AS r {_OPENING}
    LEFT JOIN zone_version z ON z.zone = r.zone AND z.version = r.zone_version
    WHERE r.alarm
    ORDER BY r.confirmed_at, r.id
    ON CONFLICT (visit) DO UPDATE SET late = false WHERE alarm.late AND NOT excluded.late
    RETURNING id
"""  # noqa: S608
_CHANGE = "(id text, last_inside_at timestamptz, exited_at timestamptz, grade text, merged_into text)"
_CHANGE_VISITS = f"""
    UPDATE visit v SET last_inside_at = r.last_inside_at, exited_at = r.exited_at,
        merged_into = coalesce(r.merged_into, v.merged_into)
    FROM jsonb_to_recordset(%s) AS r {_CHANGE} WHERE v.id = r.id
"""  # noqa: S608
_CHANGE_ALARMS = f"""
    UPDATE alarm a SET exited_at = r.exited_at, grade = coalesce(r.grade, a.grade)
    FROM jsonb_to_recordset(%s) AS r {_CHANGE}
    WHERE a.visit = r.id AND (a.exited_at, a.grade) IS DISTINCT FROM (r.exited_at, coalesce(r.grade, a.grade))
    RETURNING a.id
"""  # noqa: S608
_KEEP_TRACKS = """
    INSERT INTO worker_track AS known (partition, device, track)
    SELECT %s, device, track FROM jsonb_to_recordset(%s) AS changed (device bigint, track jsonb)
    WHERE track IS NOT NULL
    ON CONFLICT (partition, device) DO UPDATE SET track = excluded.track
"""
_DROP_TRACKS = "DELETE FROM worker_track WHERE partition = %s AND device = ANY(%s)"
_EMIT = "SELECT emit_alarms(%s::bigint[], %s)"


async def write_effects(conn: psycopg.AsyncConnection[Any], work: Work) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Inside the caller's transaction. Returns the ids of raised alarms and the phones of new terminals."""
    raised = changed = new = None
    enrolled = enrolment.read(work.sessions)
    recorded = media.rows(work.sessions)
    said = terminal_messages.rows(work.sessions)
    if work.opened or work.changed or enrolled or recorded or said or len(work.dead_letters) or work.tracks:
        async with conn.pipeline():
            if len(work.dead_letters):
                await conn.execute(_DEAD, [work.partition, work.sequence, *_dead_columns(work.dead_letters)])
            new = await enrolment.write(conn, enrolled)
            if recorded:
                await media.write(conn, recorded)
            if said:
                await terminal_messages.write(conn, said)
            if work.opened:
                opened = _json([_opening(visit) for visit in work.opened])
                await conn.execute(_OPEN, [work.epoch, opened])
                raised = await conn.execute(_RAISE, [opened])
            if work.changed:
                changes = _json([
                    {"id": visit.id, "last_inside_at": _iso(visit.last_inside_at), "exited_at": _iso(visit.exited_at),
                     "grade": visit.grade, "merged_into": visit.merged_into}
                    for visit in work.changed
                ])  # fmt: skip
                await conn.execute(_CHANGE_VISITS, [changes])
                changed = await conn.execute(_CHANGE_ALARMS, [changes])
            kept = [{"device": device, "track": track} for device, track in work.tracks if track is not None]
            dropped = [device for device, track in work.tracks if track is None]
            if kept:
                await conn.execute(_KEEP_TRACKS, [work.partition, orjson.dumps(kept).decode()])
            if dropped:
                await conn.execute(_DROP_TRACKS, [work.partition, dropped])
    new_alarms = await _first_column(raised)
    phones = await _first_column(new)
    events: list[dict[str, Any]] = [
        {"kind": "terminal", "district": None, "data": {"event": "enrolled", "phone": phone}} for phone in phones
    ]
    events += enrolled.events
    events += [{"kind": event.kind, "district": event.district, "data": event.data} for event in work.events]
    alarms = sorted({*new_alarms, *await _first_column(changed)})
    if alarms or events:
        await conn.execute(_EMIT, [alarms, _json(events)])
    return tuple(new_alarms), tuple(phones)


def _opening(visit: VisitOpening) -> dict[str, Any]:
    lon, lat = microdegrees(np.array([visit.lon, visit.lat])).tolist()
    return {
        "id": visit.id, "device": visit.device, "machine": visit.machine.get("id"), "zone": visit.zone,
        "zone_version": visit.zone_version, "verdict": visit.verdict, "rule": visit.rule,
        "machine_snapshot": visit.machine, "cause": visit.cause, "entered_at": _iso(visit.entered_at),
        "confirmed_at": _iso(visit.confirmed_at), "last_inside_at": _iso(visit.last_inside_at), "alarm": visit.alarm,
        "kind": visit.kind, "district": visit.district, "grade": visit.grade, "late": visit.late,
        "lon": lon, "lat": lat,
        "received_at": _iso(visit.received_at),
    }  # fmt: skip


def _dead_columns(letters: DeadLetters) -> list[Any]:
    names = {reason.value: reason.name.lower() for reason in Reason}
    reasons = [names.get(reason, str(reason)) for reason in letters.reason.tolist()]
    data = [letters.data[i] for i in range(len(letters))]
    return [Bigints(letters.device), Times(letters.received), reasons, data]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _iso(time_us: int | None) -> str | None:
    return None if time_us is None else (_EPOCH + timedelta(microseconds=time_us)).isoformat()


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


async def _first_column(cursor: psycopg.AsyncCursor[Any] | None) -> list[Any]:
    return [] if cursor is None else [row[0] for row in await cursor.fetchall()]
