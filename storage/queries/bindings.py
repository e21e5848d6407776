"""Bindings: which machine a terminal sits on, from when to when. The table's constraint keeps a terminal on one at a time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

Conflict = Literal["past", "overlap", "raced"]
"""past: would begin before what it would end; overlap: the terminal sits elsewhere then; raced: somebody was quicker."""


async def of_terminal(connection: AsyncConnection[DictRow], device: int) -> list[dict[str, Any]]:
    """Newest first; None is an open end."""
    cursor = await connection.execute(
        'SELECT b.id, b.machine AS machine_id, m.registration_number, lower(b.during) AS "from", upper(b.during) AS "to"'
        " FROM binding b JOIN machine m ON m.id = b.machine WHERE b.device = %s AND NOT isempty(b.during)"
        " ORDER BY lower(b.during) DESC NULLS LAST",
        (device,),
    )
    return await cursor.fetchall()


_KNOWN = """
SELECT count(*) FILTER (WHERE device = %(device)s) AS own,
       bool_or(device = %(device)s AND machine = %(machine)s AND upper_inf(during)
               AND (%(since)s::timestamptz IS NULL OR during @> %(since)s)) AS same,
       bool_or(%(since)s::timestamptz <= lower(during)
               OR (device = %(device)s AND NOT upper_inf(during) AND %(since)s < upper(during))) AS past,
       bool_or(made_at > %(heard_at)s::timestamptz) AS raced
FROM binding
WHERE (device = %(device)s OR (machine = %(machine)s AND upper_inf(during) AND NOT %(beside)s)) AND NOT isempty(during)
"""
_END = """
UPDATE binding SET during = during * tstzrange(NULL, coalesce(%(since)s, now()))
WHERE (device = %(device)s OR (machine = %(machine)s AND NOT %(beside)s))
  AND during && tstzrange(coalesce(%(since)s, now()), NULL)
"""
_OVERLAPPING = """
SELECT FROM binding WHERE device = %(device)s AND during && tstzrange(coalesce(%(since)s, now()), %(until)s)
"""
_INSERT = """
INSERT INTO binding (device, machine, during)
VALUES (%(device)s, %(machine)s,
        tstzrange(CASE WHEN %(ever)s THEN NULL ELSE coalesce(%(since)s, now()) END, %(until)s))
"""


async def bind(
    connection: AsyncConnection[DictRow],
    device: int,
    machine: int,
    since: datetime | None = None,
    *,
    until: datetime | None = None,
    beside: bool = False,
    heard: float | None = None,
) -> Conflict | None:
    """Puts the terminal on the machine from ``since`` on, and answers with what forbids it, or None.

    Without ``until``: what the terminal has ends there and then, and what the machine has too, unless the new one is to sit
    ``beside`` it. With ``until`` nothing is ended: the terminal must be free from the one to the other.
    Without ``since``: now, or from ever where the terminal never sat on anything, so that what it reported before
    anybody registered it is the machine's.
    A binding that was made since the wish was ``heard`` (time.monotonic) is not undone: who wished did not know of it.
    """
    await connection.execute("SELECT FROM terminal WHERE device = %s FOR UPDATE", (device,))
    await connection.execute("SELECT FROM machine WHERE id = %s FOR UPDATE", (machine,))
    heard_at = None if heard is None else await _database_time(connection, heard)
    values = {"device": device, "machine": machine, "since": since, "until": until, "beside": beside,
              "heard_at": heard_at}  # fmt: skip
    known = await (await connection.execute(_KNOWN, values)).fetchone()
    assert known is not None  # noqa: S101 - an aggregate always has a row
    if until is not None:
        if await (await connection.execute(_OVERLAPPING, values)).fetchone() is not None:
            return "overlap"
    elif known["same"]:
        return None
    elif known["raced"]:
        return "raced"
    elif known["past"]:
        return "past"
    else:
        await connection.execute(_END, values)
    await connection.execute(_INSERT, {**values, "ever": since is None and until is None and not known["own"]})
    return None


async def _database_time(connection: AsyncConnection[DictRow], monotonic: float) -> datetime:
    """A moment of ours by the database's clock, which need not be this machine's; early by the answer's way at most."""
    row = await (await connection.execute("SELECT clock_timestamp() AS clock")).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    clock: datetime = row["clock"]
    return clock - timedelta(seconds=time.monotonic() - monotonic)


async def unbind(connection: AsyncConnection[DictRow], device: int, at: datetime | None = None) -> bool:
    """Ends the open binding, now or ``at``; false where the terminal sits on nothing then."""
    cursor = await connection.execute(
        "UPDATE binding SET during = during * tstzrange(NULL, coalesce(%(at)s, now()))"
        " WHERE device = %(device)s AND upper_inf(during) AND during @> coalesce(%(at)s::timestamptz, now())",
        {"device": device, "at": at},
    )
    return cursor.rowcount == 1
