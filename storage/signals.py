"""Alarms of other kinds than an entry: raised and ended, by a commit that finds them or by a chore.

Each kind is open at most once per subject (0009_presence.sql): a terminal for `power_cut`, `antenna_cut`, `displacement`,
`silent` and `identity`, a machine for `cancelled` and `two_places`, a partition of the log for `parked`. What comes back within MERGE after its end is the same
alarm again, unless staff have closed it. An end is not a state: staff handle what is over, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import psycopg

    from storage.work import Row

    Connection = psycopg.AsyncConnection[Any]

MERGE = "10 minutes"

_SIGNAL = """(kind text, subject text, district text, copied_to text, machine bigint, device bigint, zone bigint,
    zone_version int, lon int, lat int, at bigint, confirmed_at bigint, received bigint, paged_at bigint, page_reason text,
    late boolean, detail jsonb)"""
# A moment within an alarm that has ended was told already. ON CONFLICT: it is open.
_RAISE = f"""
    WITH asked AS (SELECT * FROM jsonb_to_recordset(%s) AS r {_SIGNAL}),
    known AS (
        SELECT DISTINCT ON (r.kind, r.subject) r.kind, r.subject, a.id, a.exited_at < at_us(r.at) AS again
        FROM asked r JOIN alarm a ON a.kind = r.kind AND a.subject = r.subject AND a.kind <> 'zone_entry'
        WHERE a.exited_at IS NOT NULL AND at_us(r.at) BETWEEN a.entered_at AND a.exited_at + interval '{MERGE}'
            AND (at_us(r.at) <= a.exited_at OR a.state <> 'closed')
        ORDER BY r.kind, r.subject, a.id DESC
    ),
    reopened AS (
        UPDATE alarm a SET exited_at = NULL, exit_reason = NULL FROM known k
        WHERE a.id = k.id AND k.again AND NOT EXISTS (
            SELECT FROM alarm o WHERE o.kind = a.kind AND o.subject = a.subject AND o.kind <> 'zone_entry'
                AND o.exited_at IS NULL)
        RETURNING a.id
    ),
    raised AS (
        INSERT INTO alarm (kind, subject, district, copied_to, machine, device, zone, zone_version, lon, lat, entered_at,
            confirmed_at, received_at, paged_at, page_reason, late, detail)
        SELECT kind, subject, district, copied_to, machine, device, zone, zone_version, lon, lat, at_us(at),
            at_us(confirmed_at), at_us(received), at_us(paged_at), page_reason, late, detail
        FROM asked r WHERE NOT EXISTS (SELECT FROM known k WHERE k.kind = r.kind AND k.subject = r.subject)
        ON CONFLICT (kind, subject) WHERE kind <> 'zone_entry' AND exited_at IS NULL DO NOTHING RETURNING id
    )
    SELECT id FROM reopened UNION ALL SELECT id FROM raised
"""  # noqa: S608 - our own column names
_END = """
    UPDATE alarm SET exited_at = greatest(at_us(%(at)s), entered_at), exit_reason = %(reason)s
    WHERE kind = %(kind)s AND kind <> 'zone_entry' AND subject = %(subject)s AND exited_at IS NULL RETURNING id
"""
_OPEN = """
    SELECT subject::bigint, kind, us_of(entered_at) FROM alarm
    WHERE kind = ANY(%s) AND kind <> 'zone_entry' AND exited_at IS NULL
"""


async def write(conn: Connection, signals: Sequence[Row]) -> list[int]:
    """Inside the caller's transaction, in this order; the ids of the alarms that were raised or ended.

    A row that ends one has `kind`, `subject`, `at` (us) and `reason`; one that raises has the columns of _SIGNAL instead,
    with lon and lat in 1e-6 degrees.
    """
    answers = []
    async with conn.pipeline():
        for row in signals:
            if "reason" in row:
                answers.append(await conn.execute(_END, dict(row)))
            else:
                answers.append(await conn.execute(_RAISE, [orjson.dumps([row]).decode()]))
    return sorted({row[0] for answer in answers for row in await answer.fetchall()})


async def raise_all(conn: Connection, rows: Sequence[Row]) -> list[int]:
    """Raises alarms of different subjects at once; the ids of those that are new, or open again."""
    if not rows:
        return []
    cursor = await conn.execute(_RAISE, [orjson.dumps(list(rows)).decode()])
    return [row[0] for row in await cursor.fetchall()]


async def open_of(conn: Connection, kinds: Collection[str]) -> list[tuple[int, str, int]]:
    """(device, kind, since in us) of the open alarms of these kinds, whose subject is a terminal."""
    return await (await conn.execute(_OPEN, [list(kinds)])).fetchall()
