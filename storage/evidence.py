"""Evidence: the fixes that a visit stands on, copied out of the tracks while they are there, and kept longer.

Visits that alarm have it; nobody is asked about the others. A trigger (0010_evidence.sql) notes every such visit at every
change, and a worker copies what is due: of each terminal of the visit the time of its stays, ten minutes before and
after, and a few good fixes beyond, by which the state at both ends is known. A copy is repeated while the visit goes on,
after each change, and some days after the last one, so late reports come along.

A fix is kept once, however many visits stand on it, and goes with the last of them: when that visit ended long ago and
its case is closed.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.positions import Positions, Quality
from columns.ragged import Ragged
from storage.copy import COLUMNS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg

    Connection = psycopg.AsyncConnection[Any]

ROWS_AT_ONCE = 5000
"""Rows of one statement: some tens of ms."""
VISITS_AT_ONCE = 100
_LOCK_KEY = 808_003
_GOOD = 0xFFFF ^ int(Quality.UNVERIFIED)
# Two fixes settle where a terminal is, one more settles that the first of them is no jump; several may be of one second.
_BEYOND = 6

_DUE = "SELECT visit FROM evidence WHERE due_at <= now() ORDER BY due_at LIMIT %s"
# A stay may have begun long before the visit: an exempt machine's, say. A month of it is enough to know where it was.
_SPANS = """
    WITH v AS (
        SELECT *, CASE WHEN exited_at IS NULL AND merged_into IS NULL AND withdrawn_at IS NULL THEN 'infinity'
            ELSE coalesce(exited_at, last_inside_at) END AS ended_at
        FROM visit WHERE id = %(visit)s
    ), wanted AS (
        SELECT p.device AS terminal, greatest(p.entered_at, v.entered_at - interval '31 days') AS since, v.ended_at AS until
        FROM v JOIN presence p ON p.machine = v.machine AND p.verdict <> 'allowed' AND p.alarm
            AND p.began_at BETWEEN v.entered_at AND v.ended_at
        UNION ALL SELECT device, entered_at, ended_at FROM v
    )
    SELECT terminal, min(since) - interval '10 min',
        CASE WHEN isfinite(max(until)) THEN max(until) + interval '10 min' END  -- null: the visit goes on
    FROM wanted GROUP BY terminal
"""
# What was copied once stays wanted, and nothing in between may be missing.
_WIDEN = f"""
    INSERT INTO evidence_span AS s (visit, terminal, since, until)
    SELECT %(visit)s, %(terminal)s,
        coalesce((SELECT min(time) FROM (
            SELECT time FROM position WHERE terminal = %(terminal)s AND quality::int & {_GOOD} = 0
                AND time < %(since)s AND time > %(since)s::timestamptz - interval '31 days'
            ORDER BY time DESC LIMIT {_BEYOND}) AS before), %(since)s),
        CASE WHEN %(until)s::timestamptz IS NULL THEN greatest(%(since)s, (
            SELECT time FROM position WHERE terminal = %(terminal)s AND quality::int & {_GOOD} = 0
            ORDER BY time DESC LIMIT 1))
        ELSE greatest(%(until)s, (SELECT max(time) FROM (
            SELECT time FROM position WHERE terminal = %(terminal)s AND quality::int & {_GOOD} = 0 AND time > %(until)s
            ORDER BY time LIMIT {_BEYOND}) AS after))
        END
    ON CONFLICT (visit, terminal) DO UPDATE
        SET since = least(s.since, excluded.since), until = greatest(s.until, excluded.until)
    RETURNING since, until
"""  # noqa: S608 - our own numbers
_COPY = f"""
    WITH found AS MATERIALIZED (
        SELECT {COLUMNS} FROM position WHERE terminal = %(terminal)s AND time > %(after)s AND time <= %(until)s
        ORDER BY time FETCH FIRST {ROWS_AT_ONCE} ROWS WITH TIES
    ), added AS (
        INSERT INTO evidence_fix ({COLUMNS}) SELECT {COLUMNS} FROM found ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT count(*), max(time), (SELECT count(*) FROM added) FROM found
"""  # noqa: S608 - our own column names
_BEGIN = """
    SELECT e.changes, e.copied_at IS NULL OR v.exited_at IS NOT NULL,
        (SELECT max(f.time) FROM evidence_span s JOIN evidence_fix f ON f.terminal = s.terminal AND f.time >= s.since
            WHERE s.visit = e.visit) - interval '10 min'
    FROM evidence e JOIN visit v ON v.id = e.visit WHERE e.visit = %s
"""
# A visit that changed meanwhile stays due.
_DONE = """
    UPDATE evidence e SET copied_at = now(), due_at = CASE
        WHEN v.merged_into IS NOT NULL OR v.withdrawn_at IS NOT NULL THEN NULL
        WHEN v.exited_at IS NULL THEN now() + interval '5 min'
        WHEN v.changed_at > now() - interval '1 hour' THEN now() + interval '10 min'
        WHEN v.changed_at > now() - interval '1 day' THEN v.changed_at + interval '1 day'
        WHEN v.changed_at > now() - interval '7 days' THEN v.changed_at + interval '7 days'
        END
    FROM visit v WHERE v.id = e.visit AND e.visit = %s AND e.changes = %s
"""

# Over: it ended before the day that is given, and its case is closed; a visit that went into another one goes after it.
# Whom late data disproved before anybody began to work on it is no case.
_OVER = """
    SELECT e.visit FROM evidence e JOIN visit v ON v.id = e.visit
    WHERE coalesce(v.exited_at, CASE WHEN v.merged_into IS NOT NULL OR v.withdrawn_at IS NOT NULL THEN v.last_inside_at END)
            < now() - %s * interval '1 day'
        AND NOT EXISTS (SELECT FROM evidence heir WHERE heir.visit = v.merged_into)
        AND NOT EXISTS (
            SELECT FROM alarm a WHERE a.visit = v.id AND a.state <> 'closed'
                AND NOT (a.withdrawn_at IS NOT NULL AND a.state = 'new'))
    LIMIT %s
"""
_DROP = f"""
    DELETE FROM evidence_fix WHERE (terminal, time, fingerprint) IN (
        SELECT f.terminal, f.time, f.fingerprint FROM evidence_span s
        JOIN evidence_fix f ON f.terminal = s.terminal AND f.time BETWEEN s.since AND s.until
        WHERE s.visit = %(visit)s AND NOT EXISTS (
            SELECT FROM evidence_span o
            WHERE o.terminal = f.terminal AND f.time BETWEEN o.since AND o.until AND o.visit <> %(visit)s)
        LIMIT {ROWS_AT_ONCE})
"""  # noqa: S608

_COLUMNS = ("device", "time", "fingerprint", "received", "lon", "lat", "altitude", "speed", "course", "alarm", "status",
            "mileage", "satellites", "serial", "source", "quality")  # fmt: skip
_FIXES = """
    SELECT f.terminal, us_of(f.time), f.fingerprint, us_of(f.received), f.lon, f.lat, f.altitude, f.speed, f.course,
        f.alarm, f.status, f.mileage, f.satellites, f.serial, f.source, f.quality, f.extras
    FROM evidence_span s JOIN evidence_fix f ON f.terminal = s.terminal AND f.time BETWEEN s.since AND s.until
    WHERE s.visit = %s ORDER BY f.terminal, f.time, f.fingerprint
"""


async def copy_due(conn: Connection) -> int:
    """Copies what is due; the number of fixes that are new. Of several workers one at a time does it. conn: autocommit."""
    async with _alone(conn) as ours:
        if not ours:
            return 0
        visits = [row[0] for row in await (await conn.execute(_DUE, [VISITS_AT_ONCE])).fetchall()]
        return sum([await copy(conn, visit) for visit in visits])


async def copy(conn: Connection, visit: str) -> int:
    """Copies the fixes of one visit; the number that are new. Whoever does it at the same time does no harm.

    No statement takes more than ROWS_AT_ONCE rows, and no lock that a worker's commit waits for is held between two.
    """
    begun = await (await conn.execute(_BEGIN, [visit])).fetchone()
    if begun is None:
        return 0
    changes, whole, reached = begun
    added = 0
    for terminal, since, until in await (await conn.execute(_SPANS, {"visit": visit})).fetchall():
        wanted = {"visit": visit, "terminal": terminal, "since": since, "until": until}
        row = await (await conn.execute(_WIDEN, wanted)).fetchone()
        assert row is not None  # noqa: S101 - RETURNING gives one
        added += await _copy(conn, terminal, row[0] if whole or reached is None else max(reached, row[0]), row[1])
    await conn.execute(_DONE, [visit, changes])
    return added


async def _copy(conn: Connection, terminal: int, since: Any, until: Any) -> int:
    added, after = 0, await _value(conn, "SELECT %s::timestamptz - interval '1 us'", [since])
    while True:
        row = await (await conn.execute(_COPY, {"terminal": terminal, "after": after, "until": until})).fetchone()
        assert row is not None  # noqa: S101 - an aggregate
        found, latest, new = row
        added += int(new)
        if found < ROWS_AT_ONCE:
            return added
        after = latest


async def drop_old(conn: Connection, days: int) -> int:
    """Drops the evidence of visits that ended more than so many days ago, if their cases are closed; how many, up to
    VISITS_AT_ONCE. Of several workers one at a time does it. conn: autocommit.
    """
    async with _alone(conn) as ours:
        if not ours:
            return 0
        visits = [row[0] for row in await (await conn.execute(_OVER, [days, VISITS_AT_ONCE])).fetchall()]
        for visit in visits:
            while (await conn.execute(_DROP, {"visit": visit})).rowcount == ROWS_AT_ONCE:
                pass
            await conn.execute("DELETE FROM evidence WHERE visit = %s", [visit])
        return len(visits)


async def fixes(conn: Connection, visit: str) -> Positions:
    """The evidence of a visit, by terminal and time. conn: with rows as tuples."""
    rows = await (await conn.execute(_FIXES, [visit])).fetchall()
    if not rows:
        return Positions.empty()
    extras = Ragged.of([row[-1] for row in rows])
    table = dict(zip(_COLUMNS, np.array([row[:-1] for row in rows], np.int64).T, strict=True))
    return Positions(
        packet=np.zeros(len(rows), "<i4"), device=table["device"], time=table["time"], fingerprint=table["fingerprint"],
        received=table["received"], lon=table["lon"] / 1e6, lat=table["lat"] / 1e6,
        altitude=table["altitude"].astype("<i2"), speed=table["speed"].astype("<u2"),
        course=table["course"].astype("<u2"), alarm=(table["alarm"] & 0xFFFFFFFF).astype("<u4"),
        status=(table["status"] & 0xFFFFFFFF).astype("<u4"), mileage=table["mileage"].astype("<i4"),
        satellites=table["satellites"].astype("<i2"), serial=table["serial"].astype("<u2"),
        source=table["source"].astype("<u1"), quality=table["quality"].astype("<u2"), extras=extras,
    )  # fmt: skip


@asynccontextmanager
async def _alone(conn: Connection) -> AsyncIterator[bool]:
    """Whether this session is the one that keeps the evidence now. A session that is cut off is not any more."""
    ours = await _value(conn, "SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY])
    try:
        yield ours
    finally:
        if ours and not conn.closed:
            await conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_KEY])


async def _value(conn: Connection, statement: str, values: list[Any]) -> Any:
    row = await (await conn.execute(statement, values)).fetchone()
    assert row is not None  # noqa: S101 - one value
    return row[0]
