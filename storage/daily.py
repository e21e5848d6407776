"""The daily roll-up: one row a terminal and day, from which statistics are made long after the tracks are gone.

A day (Asia/Shanghai, of the device's time) is computed whole once it is over, from its rows. A commit that stores rows of
another day than that of the moment notes the terminal and the day as due, in its own transaction; so the hot path costs one
comparison of columns, and what comes late, or was quarantined with a time far away, is computed again. Computing a day is a
function of its rows: doing it twice changes nothing, and no crash leaves a wrong sum.

Days of which tracks were dropped stay as they are: a report that comes even later is in no statistics, only in the count of
what was dropped. One worker at a time does this; no commit waits for it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.arrays import Bigints
from storage.work import QUARANTINED

if TYPE_CHECKING:
    import psycopg
    from numpy.typing import NDArray

    from columns.positions import Positions

    Connection = psycopg.AsyncConnection[Any]

SHANGHAI_US = 8 * 3600 * 1_000_000
DAY_US = 86_400 * 1_000_000
SETTLES_S = 3 * 3600
"""After its end, before a day is computed: a server's clock may jump by an hour, and a commit takes seconds."""
SLICES = 64
"""Of the terminals, which are spread evenly over 63 bits: a city's day is 120 million rows, 2 million a statement."""
DUE_AT_ONCE = 1000

_MARK = """
    INSERT INTO terminal_day_due (terminal, day)
    SELECT terminal, date '1970-01-01' + day::int FROM unnest(%s, %s) AS away (terminal, day)
"""
_GOOD = f"quality::int & {QUARANTINED} = 0"
_COMPUTE = f"""
    INSERT INTO terminal_day AS known (terminal, day, reports, first_at, last_at, moving_s, quarantined)
    SELECT terminal, day, sum(good), min(time) FILTER (WHERE good > 0), max(time) FILTER (WHERE good > 0),
        coalesce(sum(gap) FILTER (WHERE good > 0 AND speed >= 10 AND gap <= 300000000), 0) / 1000000, sum(bad)
    FROM (
        SELECT *, us_of(time) - us_of(lag(time) OVER (PARTITION BY terminal, day, good > 0 ORDER BY time)) AS gap
        FROM (
            SELECT p.terminal, w.day, p.time, count(*) FILTER (WHERE {_GOOD}) AS good,
                count(*) FILTER (WHERE NOT {_GOOD}) AS bad, max(speed) FILTER (WHERE {_GOOD}) AS speed
            FROM %s
            GROUP BY p.terminal, w.day, p.time
        ) AS moment
    ) AS step
    GROUP BY terminal, day
    ON CONFLICT (terminal, day) DO UPDATE SET reports = excluded.reports, first_at = excluded.first_at,
        last_at = excluded.last_at, moving_s = excluded.moving_s, quarantined = excluded.quarantined
"""  # noqa: S608 - our own numbers
_WHOLE = _COMPUTE.replace(
    "%s",
    """(SELECT %(day)s::date AS day) AS w JOIN position p
                ON p.time >= w.day::timestamp AT TIME ZONE 'Asia/Shanghai'
                AND p.time < (w.day + 1)::timestamp AT TIME ZONE 'Asia/Shanghai'
                AND p.terminal BETWEEN %(first)s AND %(last)s""",
)
_AGAIN = _COMPUTE.replace(
    "%s",
    """unnest(%(terminals)s::bigint[], %(days)s::date[]) AS w (terminal, day) JOIN position p
                ON p.terminal = w.terminal
                AND p.time >= w.day::timestamp AT TIME ZONE 'Asia/Shanghai'
                AND p.time < (w.day + 1)::timestamp AT TIME ZONE 'Asia/Shanghai'""",
)
_TAKE_DUE = """
    WITH taken AS (
        DELETE FROM terminal_day_due WHERE id IN (SELECT id FROM terminal_day_due ORDER BY id LIMIT %s)
        RETURNING terminal, day
    )
    SELECT DISTINCT terminal, day, (day::timestamp AT TIME ZONE 'Asia/Shanghai') >= before
    FROM taken, retention WHERE kind = 'position'
"""
_NEXT = f"""
    SELECT through + 1, (through + 1)::timestamp AT TIME ZONE 'Asia/Shanghai' >= before
    FROM terminal_day_state, retention
    WHERE kind = 'position' AND through + 1 < ((now() - interval '{SETTLES_S} s') AT TIME ZONE 'Asia/Shanghai')::date
"""  # noqa: S608


def other_days(positions: Positions, now: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Terminals and days (since 1970) of the rows that are of another day than ``now`` (us UTC), each pair once."""
    today = (now + SHANGHAI_US) // DAY_US * DAY_US - SHANGHAI_US
    time = positions.time
    if not len(time) or (time.min() >= today and time.max() < today + DAY_US):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    away = np.flatnonzero((time < today) | (time >= today + DAY_US))
    pairs = np.stack((positions.device[away], (time[away] + SHANGHAI_US) // DAY_US), 1)
    devices, days = np.unique(pairs, axis=0).T
    return devices, days


async def mark(conn: Connection, devices: NDArray[np.int64], days: NDArray[np.int64]) -> None:
    """Inside the transaction that stores the rows."""
    await conn.execute(_MARK, [Bigints(devices), Bigints(days)])


async def bring_up(conn: Connection) -> None:
    """Computes the days that are over and what is due. One at a time (storage/retention.py); conn: in autocommit mode."""
    while (row := await (await conn.execute(_NEXT)).fetchone()) is not None:
        day, whole = row
        if whole:
            await compute_day(conn, day)
        await conn.execute("UPDATE terminal_day_state SET through = %s", [day])
    while await compute_due(conn):
        pass


async def compute_day(conn: Connection, day: Any) -> None:
    """All terminals of one day."""
    edges = [-(2**63), *(2**63 // SLICES * i for i in range(1, SLICES)), 2**63]
    for first, end in itertools.pairwise(edges):
        await conn.execute(_WHOLE, {"day": day, "first": first, "last": end - 1})


async def compute_due(conn: Connection) -> bool:
    """The oldest notes of what is due; whether there were any.

    What is noted was committed with its rows, so a statement that comes after the notes were taken sees the rows.
    """
    async with conn.transaction():
        found = await (await conn.execute(_TAKE_DUE, [DUE_AT_ONCE])).fetchall()
        whole = [(terminal, day) for terminal, day, whole in found if whole]
        if whole:
            await conn.execute(_AGAIN, {"terminals": [row[0] for row in whole], "days": [row[1] for row in whole]})
    return bool(found)
