"""Presences, and the visits and alarms that they come to, inside the commit that found them.

A visit is a machine's, and a machine may carry two terminals whose partitions two workers own. So the machines whose
visits may change are locked, their presences written, and what all presences of the machine come to is formed anew and
written: by whoever commits, with the same result. Constraints (0009_presence.sql) would refuse a second open alarm.

What a visit is, storage does not know: ``VisitChanges.form`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from storage.work import Revised, Row, Span, VisitChanges

    Connection = psycopg.AsyncConnection[Any]

LOCK_CLASS = 809
"""First key of the machines' advisory locks; the second is the low half of the machine's id."""

_LOCK = "SELECT pg_advisory_xact_lock(%s::int, key) FROM (SELECT DISTINCT (k & 2147483647)::int AS key FROM unnest(%s::bigint[]) k ORDER BY 1) keys"
_PRESENCE = """(device bigint, zone bigint, began_at bigint, entered_at bigint, confirmed_at bigint, last_inside_at bigint,
    ended_at bigint, "end" text, cause text, zone_version int, machine bigint, verdict text, alarm boolean, rule jsonb,
    snapshot jsonb, grade text, grade_at bigint, grade_speed int, late boolean, lon int, lat int, received bigint)"""
_WRITE = f"""
    INSERT INTO presence (device, zone, began_at, entered_at, confirmed_at, last_inside_at, ended_at, end_reason, cause,
        zone_version, machine, verdict, alarm, rule, machine_snapshot, grade, grade_at, grade_speed, late, lon, lat,
        received_at, epoch)
    SELECT device, zone, at_us(began_at), at_us(entered_at), at_us(confirmed_at), at_us(last_inside_at), at_us(ended_at),
        "end", cause, zone_version, machine, verdict, alarm, rule, snapshot, grade, at_us(grade_at), grade_speed, late,
        lon, lat, at_us(received), %s
    FROM jsonb_to_recordset(%s) AS r {_PRESENCE}
    ON CONFLICT (device, zone, began_at) DO UPDATE SET entered_at = excluded.entered_at,
        confirmed_at = excluded.confirmed_at, last_inside_at = excluded.last_inside_at, ended_at = excluded.ended_at,
        end_reason = excluded.end_reason, cause = excluded.cause, zone_version = excluded.zone_version,
        machine = excluded.machine, verdict = excluded.verdict, alarm = excluded.alarm, rule = excluded.rule,
        machine_snapshot = excluded.machine_snapshot, grade = excluded.grade, grade_at = excluded.grade_at,
        grade_speed = excluded.grade_speed, late = excluded.late, lon = excluded.lon, lat = excluded.lat,
        received_at = excluded.received_at, epoch = excluded.epoch
"""  # noqa: S608 - our own column names
_REMOVE = """
    DELETE FROM presence p USING unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS gone (device, zone, began_at)
    WHERE p.device = gone.device AND p.zone = gone.zone AND p.began_at = at_us(gone.began_at)
"""
_ASKED = "unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS asked (machine, since, until)"
# As far around as a merge time may reach (geofence.zones: 30 days), so that one reading has all that may be connected.
_VISITS = f"""
    SELECT v.id, v.machine, v.alarming, v.device, v.zone, v.zone_version, v.copied_to, v.verdict, v.rule,
        v.machine_snapshot AS snapshot, v.cause, us_of(v.entered_at) AS entered_at, us_of(v.confirmed_at) AS confirmed_at,
        us_of(v.last_inside_at) AS last_inside_at, us_of(v.exited_at) AS exited_at, v.exit_reason, v.grade,
        us_of(v.grade_at) AS grade_at, v.grade_speed, v.late, v.lon, v.lat, us_of(v.received_at) AS received, v.district,
        a.id AS alarm
    FROM {_ASKED} JOIN visit v ON v.machine = asked.machine
    LEFT JOIN alarm a ON a.visit = v.id
    WHERE v.merged_into IS NULL AND v.withdrawn_at IS NULL AND v.grade IS NOT NULL
        AND v.entered_at <= at_us(asked.until) + interval '31 days'
        AND (v.exited_at IS NULL OR v.exited_at >= at_us(asked.since) - interval '31 days')
"""  # noqa: S608
_PRESENCES = f"""
    SELECT p.device, p.zone, us_of(p.began_at) AS began_at, us_of(p.entered_at) AS entered_at,
        us_of(p.confirmed_at) AS confirmed_at, us_of(p.last_inside_at) AS last_inside_at, us_of(p.ended_at) AS ended_at,
        p.end_reason AS "end", p.cause, p.zone_version, p.machine, p.verdict, p.alarm, p.rule,
        p.machine_snapshot AS snapshot, p.grade, us_of(p.grade_at) AS grade_at, p.grade_speed, p.late, p.lon, p.lat,
        us_of(p.received_at) AS received, z.tier, z.district, z.merge_s, z.lost_merge_s
    FROM {_ASKED} JOIN presence p ON p.machine = asked.machine
    JOIN zone_version z ON z.zone = p.zone AND z.version = p.zone_version
    WHERE p.verdict <> 'allowed' AND p.began_at <= at_us(asked.until)
        AND (p.ended_at IS NULL OR p.ended_at >= at_us(asked.since))
"""  # noqa: S608
_VISIT = """(id text, machine bigint, alarming boolean, device bigint, zone bigint, zone_version int, district text,
    copied_to text, verdict text, rule jsonb, snapshot jsonb, cause text, entered_at bigint, confirmed_at bigint,
    last_inside_at bigint, exited_at bigint, exit_reason text, grade text, grade_at bigint, grade_speed int, late boolean,
    lon int, lat int, received bigint, crossed boolean, alarm bigint)"""
_WRITE_VISITS = f"""
    INSERT INTO visit (id, machine, alarming, device, zone, zone_version, district, copied_to, verdict, rule,
        machine_snapshot, cause, entered_at, confirmed_at, last_inside_at, exited_at, exit_reason, grade, grade_at,
        grade_speed, late, lon, lat, received_at, epoch)
    SELECT id, machine, alarming, device, zone, zone_version, district, copied_to, verdict, rule, snapshot, cause,
        at_us(entered_at), at_us(confirmed_at), at_us(last_inside_at), at_us(exited_at), exit_reason, grade,
        at_us(grade_at), grade_speed, late, lon, lat, at_us(received), %s
    FROM jsonb_to_recordset(%s) AS r {_VISIT}
    ON CONFLICT (id) DO UPDATE SET device = excluded.device, zone = excluded.zone, zone_version = excluded.zone_version,
        district = excluded.district, copied_to = excluded.copied_to, verdict = excluded.verdict, rule = excluded.rule,
        machine_snapshot = excluded.machine_snapshot, cause = excluded.cause, confirmed_at = excluded.confirmed_at,
        last_inside_at = excluded.last_inside_at, exited_at = excluded.exited_at, exit_reason = excluded.exit_reason,
        grade = excluded.grade, grade_at = excluded.grade_at, grade_speed = excluded.grade_speed, late = excluded.late,
        lon = excluded.lon, lat = excluded.lat, received_at = excluded.received_at, epoch = excluded.epoch,
        merged_into = NULL, withdrawn_at = NULL, changed_at = now()
"""  # noqa: S608
_MERGE_VISITS = """
    UPDATE visit v SET merged_into = r.into_, changed_at = now()
    FROM jsonb_to_recordset(%s) AS r (id text, into_ text) WHERE v.id = r.id
"""
_WITHDRAW_VISITS = "UPDATE visit SET withdrawn_at = now(), changed_at = now() WHERE id = ANY(%s)"
_MERGE_ALARMS = """
    UPDATE alarm a SET merged_into = r.into_, state = 'closed' FROM jsonb_to_recordset(%s) AS r (id bigint, into_ bigint)
    WHERE a.id = r.id RETURNING a.id
"""
# Staff were told of what is one visit now: they are not told again.
_INHERIT_PAGE = """
    UPDATE alarm a SET paged_at = p.paged_at, page_reason = p.page_reason, notice = 'page'
    FROM (
        SELECT DISTINCT ON (r.into_) r.into_, old.paged_at, old.page_reason
        FROM jsonb_to_recordset(%s) AS r (id bigint, into_ bigint) JOIN alarm old ON old.id = r.id
        WHERE old.paged_at IS NOT NULL ORDER BY r.into_, old.paged_at, old.id
    ) p
    WHERE a.id = p.into_ AND a.paged_at IS NULL RETURNING a.id
"""
_WITHDRAW_ALARMS = "UPDATE alarm SET withdrawn_at = now() WHERE id = ANY(%s) RETURNING id"
# An alarm goes on with a visit that had one before, merged or withdrawn since: these two exchange their visits. A visit has
# one alarm at any moment, so this takes three steps.
_FORMER = "SELECT id, visit FROM alarm WHERE visit = ANY(%s) ORDER BY id"
_VACATE = "UPDATE alarm SET visit = NULL WHERE id = ANY(%s)"
_SETTLE = """
    UPDATE alarm a SET visit = r.visit FROM jsonb_to_recordset(%s) AS r (id bigint, visit text) WHERE a.id = r.id
"""
# Those that are over first: of two visits of a machine only one may be open at any moment. Whom staff have begun to work
# on stays with its district.
_KEEP_ALARMS = f"""
    UPDATE alarm a SET visit = r.id, device = r.device, zone = r.zone, zone_version = r.zone_version, rule = r.rule,
        district = CASE WHEN a.state = 'new' THEN r.district ELSE a.district END, copied_to = r.copied_to,
        cause = r.cause, grade = r.grade, grade_at = at_us(r.grade_at), grade_speed = r.grade_speed, late = r.late,
        lon = r.lon, lat = r.lat, entered_at = at_us(r.entered_at), confirmed_at = at_us(r.confirmed_at),
        exited_at = at_us(r.exited_at), exit_reason = r.exit_reason, received_at = at_us(r.received),
        withdrawn_at = NULL
    FROM jsonb_to_recordset(%s) AS r {_VISIT}
    WHERE a.id = r.alarm AND (r.exited_at IS NULL) = %s RETURNING a.id
"""  # noqa: S608
# A visit that comes back has its old alarm, in the state in which that was when it was merged.
_RAISE = f"""
    INSERT INTO alarm (visit, kind, district, copied_to, machine, device, zone, zone_version, rule, cause, notice, grade,
        grade_at, grade_speed, late, lon, lat, entered_at, confirmed_at, exited_at, exit_reason, received_at)
    SELECT r.id, 'zone_entry', r.district, r.copied_to, r.machine, r.device, r.zone, r.zone_version, r.rule, r.cause,
        CASE WHEN r.crossed THEN 'page' ELSE 'digest' END, r.grade, at_us(r.grade_at), r.grade_speed, r.late, r.lon, r.lat,
        at_us(r.entered_at), at_us(r.confirmed_at), at_us(r.exited_at), r.exit_reason, at_us(r.received)
    FROM jsonb_to_recordset(%s) AS r {_VISIT}
    WHERE r.alarming AND r.alarm IS NULL ORDER BY r.exited_at NULLS LAST, r.confirmed_at, r.id
    ON CONFLICT (visit) DO UPDATE SET exited_at = excluded.exited_at, exit_reason = excluded.exit_reason,
        state = CASE WHEN alarm.merged_into IS NULL THEN alarm.state ELSE coalesce(
            (SELECT "from" FROM alarm_action n WHERE n.alarm = alarm.id AND n.action = 'merged' ORDER BY n.id DESC LIMIT 1),
            'new') END,
        merged_into = NULL, withdrawn_at = NULL
    RETURNING id
"""  # noqa: S608
_PAGE = """
    UPDATE alarm a SET paged_at = at_us(p.received), page_reason = p.reason, notice = 'page'
    FROM (
        SELECT DISTINCT ON (v.id) v.id, r.received, r.reason
        FROM jsonb_to_recordset(%s) AS r (machine bigint, at bigint, received bigint, reason text)
        JOIN visit v ON v.machine = r.machine AND v.alarming AND v.merged_into IS NULL AND v.withdrawn_at IS NULL
            AND v.entered_at <= at_us(r.at) AND (v.exited_at IS NULL OR v.exited_at >= at_us(r.at))
        ORDER BY v.id, r.received, r.at
    ) p
    WHERE a.visit = p.id AND a.paged_at IS NULL RETURNING a.id
"""
_ANNOTATE = """
    INSERT INTO alarm_action (alarm, action, "from", "to", actor, payload)
    SELECT a.id, r.action, a.state, CASE r.action WHEN 'merged' THEN 'closed' ELSE a.state END, 'system', r.payload
    FROM jsonb_to_recordset(%s) AS r (alarm bigint, action text, payload jsonb) JOIN alarm a ON a.id = r.alarm
"""


async def write(conn: Connection, changes: VisitChanges, epoch: int) -> list[int]:
    """Inside the caller's transaction. Returns the ids of the alarms that were raised, changed or paged."""
    machines = sorted(changes.spans)
    async with conn.pipeline():
        if machines:
            await conn.execute(_LOCK, [LOCK_CLASS, machines])
        if changes.gone:
            await conn.execute(_REMOVE, [list(column) for column in zip(*changes.gone, strict=True)])
        if changes.presences:
            await conn.execute(_WRITE, [epoch, _json(changes.presences)])
    touched: set[int] = set()
    if machines:
        touched |= await _revise(conn, changes, epoch)
    if changes.pages:
        cursor = await conn.execute(_PAGE, [_json(changes.pages)])
        touched |= {row[0] for row in await cursor.fetchall()}
    return sorted(touched)


async def _revise(conn: Connection, changes: VisitChanges, epoch: int) -> set[int]:
    spans = dict(changes.spans)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_VISITS, _columns(spans))
        visits = await cursor.fetchall()
        for machine, span in spans.items():
            own = [(row["entered_at"], row["exited_at"]) for row in visits if row["machine"] == machine]
            spans[machine] = _connected(span, own, changes.merge)
        visits = [row for row in visits if _touches(spans[row["machine"]], (row["entered_at"], row["exited_at"]), 0)]
        await cursor.execute(_PRESENCES, _columns(spans))
        presences = await cursor.fetchall()
    revised = changes.form(presences, visits)
    return await _write_revision(conn, revised, await _former(conn, revised, visits), epoch)


async def _former(conn: Connection, revised: Revised, visits: Sequence[Row]) -> dict[int, str]:
    """Alarms that give up their visit to another one, and that other one's visit, which they get for it."""
    visit_of = {row["alarm"]: row["id"] for row in visits}
    leaves = {row["id"]: visit_of[row["alarm"]] for row in revised.visits if row["alarm"] is not None}
    leaves = {new: old for new, old in leaves.items() if new != old}
    if not leaves:
        return {}
    cursor = await conn.execute(_FORMER, [list(leaves)])
    return {alarm: leaves[visit] for alarm, visit in await cursor.fetchall()}


async def _write_revision(conn: Connection, revised: Revised, former: Mapping[int, str], epoch: int) -> set[int]:
    statements: list[tuple[str, list[Any]]] = []
    answers = []
    if revised.annotations:  # before the states that it copies change
        statements.append((_ANNOTATE, [_json(revised.annotations)]))
    if revised.visits:
        statements.append((_WRITE_VISITS, [epoch, _json(revised.visits)]))
    if revised.merged:
        statements.append((_MERGE_VISITS, [_json([{"id": old, "into_": new} for old, new in revised.merged.items()])]))
    if revised.withdrawn:
        statements.append((_WITHDRAW_VISITS, [list(revised.withdrawn)]))
    if revised.merged_alarms:
        merged = [{"id": old, "into_": new} for old, new in revised.merged_alarms.items()]
        statements += [(_MERGE_ALARMS, [_json(merged)]), (_INHERIT_PAGE, [_json(merged)])]
    if revised.withdrawn_alarms:
        statements.append((_WITHDRAW_ALARMS, [list(revised.withdrawn_alarms)]))
    if former:
        statements.append((_VACATE, [list(former)]))
    if revised.visits:
        visits = _json(revised.visits)
        statements += [(_KEEP_ALARMS, [visits, False]), (_KEEP_ALARMS, [visits, True]), (_RAISE, [visits])]
    if former:
        statements.append((_SETTLE, [_json([{"id": alarm, "visit": visit} for alarm, visit in former.items()])]))
    async with conn.pipeline():
        for statement, values in statements:
            answers.append((statement, await conn.execute(statement, values)))
    return {row[0] for statement, answer in answers if "RETURNING" in statement for row in await answer.fetchall()}


def _connected(span: Span, visits: list[tuple[int, int | None]], merge: int) -> Span:
    """The span and all visits that may be connected with it, over any number of others."""
    while True:
        near = [visit for visit in visits if _touches(span, visit, merge)]
        since = min([span[0], *(begin for begin, _ in near)])
        until = max([span[1], *(_FOREVER if end is None else end for _, end in near)])
        if (since, until) == span:
            return span
        span = since, until


_FOREVER = 4_102_444_800_000_000  # 2100: beyond every device time, and a timestamp


def _touches(span: Span, visit: tuple[int, int | None], merge: int) -> bool:
    begin, end = visit
    return begin <= span[1] + merge and (end is None or end >= span[0] - merge)


def _columns(spans: dict[int, Span]) -> list[list[int]]:
    return [list(spans), [since for since, _ in spans.values()], [until for _, until in spans.values()]]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
