"""Membership: which worker processes run and how many partitions each has, as advisory locks that end with their sessions.

Every process holds one shared lock on a number of its own from beginning to end, and one more in each session that owns a
partition. So who is counted is alive, without a table, a lease or a clock. Connections are in autocommit mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.load import LOCK_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    Connection = psycopg.AsyncConnection[Any]

MEMBER_CLASS = 809
"""First key of the processes' advisory locks; the second is a number that each draws."""
_LOOK = """
    SELECT classid::bigint, objid::bigint, count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid IN (%s, %s)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """held: second keys of the partitions' locks; owned: process -> partitions that it has."""

    held: frozenset[int]
    owned: Mapping[int, int]


async def join(conn: Connection, member: int) -> None:
    """Makes this session one of the process ``member`` for as long as it lives."""
    await conn.execute("SELECT pg_advisory_lock_shared(%s, %s)", [MEMBER_CLASS, member])


async def look(conn: Connection) -> Standing:
    """A process that has sessions of partitions and has lost its first one has one more than it is said to."""
    rows = await (await conn.execute(_LOOK, [LOCK_CLASS, MEMBER_CLASS])).fetchall()
    return Standing(
        frozenset(key for kind, key, _ in rows if kind == LOCK_CLASS),
        {key: n - 1 for kind, key, n in rows if kind == MEMBER_CLASS},
    )
