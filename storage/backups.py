"""What backups ask of the database: a hold on the log's trimming, where each partition is, verified backups, a restored offset.

A backup holds an advisory lock from before it reads the snapshots until it is recorded; `trimmable`, which a worker asks
*after* it has stored a snapshot, sees the lock and answers 0. So whatever was trimmed lies below a snapshot that the backup
has read, and no message that it needs can go while it runs. The lock ends with its session: a backup that is killed holds
nothing.

It copies nothing and knows no files: gateway/backup does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from storage.load import LOCK_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

HOLD = -2
"""Second key of the advisory lock; partitions have theirs from 0, ensure_partitions -1."""
HOLD_WAIT_S = 5

_TRIMMABLE = """
    SELECT CASE
        WHEN NOT pg_try_advisory_xact_lock_shared(%(lock)s, %(hold)s) THEN 0
        WHEN NOT %(after_backup)s THEN greatest(0, %(sequence)s - 1)
        ELSE greatest(0, least(%(sequence)s, coalesce((
            SELECT (needs ->> %(partition)s::text)::bigint FROM backup
            WHERE stream = %(stream)s ORDER BY taken_at DESC LIMIT 1), 0)) - 1)
    END
"""


async def trimmable(
    conn: psycopg.AsyncConnection[Any], partition: int, stream: str, sequence: int, *, after_backup: bool
) -> int:
    """Up to where the log may lose a partition's messages, given that a snapshot of ``sequence`` is stored; 0: nowhere.

    The message at the snapshot itself stays: where it is still there, nothing behind it was trimmed.
    after_backup: nothing that the newest verified backup of this log needs for a restore.
    """
    values = {
        "lock": LOCK_CLASS, "hold": HOLD, "after_backup": after_backup,
        "sequence": sequence, "partition": partition, "stream": stream,
    }  # fmt: skip
    row = await (await conn.execute(_TRIMMABLE, values)).fetchone()
    assert row is not None  # noqa: S101 - SELECT of an expression
    return int(row[0])


def hold_trimming(conn: psycopg.Connection[Any]) -> bool:
    """Nothing is trimmed from now on for as long as this session lives; False where another backup runs.

    ``conn`` is in autocommit mode. Workers have the lock for the length of a statement: they are waited for.
    """
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", [f"{HOLD_WAIT_S}s"])
            conn.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, HOLD])
    except psycopg.errors.LockNotAvailable:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a partition is: stored up to ``sequence``, remembered (a worker's snapshot) up to ``snapshot``."""

    stream: str
    sequence: int
    snapshot: int


def places(conn: psycopg.Connection[Any]) -> dict[int, Place]:
    """Of every partition that was ever worked on."""
    rows = conn.execute(
        "SELECT partition, o.stream, o.sequence, coalesce(s.sequence, 0)"
        " FROM log_offset o LEFT JOIN worker_snapshot s USING (partition) ORDER BY partition"
    )
    return {partition: Place(stream, sequence, snapshot) for partition, stream, sequence, snapshot in rows}


@dataclass(frozen=True, slots=True)
class Verified:
    """A row of `backup`."""

    id: str
    stream: str
    needs: dict[str, int]
    taken_at: datetime
    verified_at: datetime
    bytes: int
    place: str
    actor: str


def record(
    conn: psycopg.Connection[Any],
    *,
    id_: str,
    stream: str,
    needs: Mapping[int, int],
    taken_at: datetime,
    size: int,
    place: str,
    actor: str,
) -> None:
    """A backup that was read back whole: workers may trim what it does not need."""
    conn.execute(
        "INSERT INTO backup (id, stream, needs, taken_at, bytes, place, actor) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            id_,
            stream,
            Jsonb({str(partition): first for partition, first in needs.items()}),
            taken_at,
            size,
            place,
            actor,
        ],
    )


def recorded(conn: psycopg.Connection[Any]) -> list[Verified]:
    """Newest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            "SELECT id, stream, needs, taken_at, verified_at, bytes, place, actor FROM backup ORDER BY taken_at DESC"
        )
        return [Verified(**row) for row in cursor]


def repoint(
    conn: psycopg.Connection[Any], stream: str, places: Mapping[int, tuple[int, int]], accepted: int = 0
) -> None:
    """The database goes on with another log that holds the same batches: (offset, snapshot) of each partition there.

    accepted: batches that are missing up to this sequence are given up.

    The numbers that were seen of each edge boot stay, so a batch that is met again is still known.
    """
    for partition, (sequence, snapshot) in places.items():
        conn.execute(
            "UPDATE log_offset SET stream = %s, sequence = %s, accepted = %s, updated_at = now() WHERE partition = %s",
            [stream, sequence, accepted, partition],
        )
        conn.execute("UPDATE worker_snapshot SET sequence = %s WHERE partition = %s", [snapshot, partition])


def note(conn: psycopg.Connection[Any], *, actor: str, action: str, object_: str, detail: Mapping[str, Any]) -> None:
    """A row of the audit: who made, restored or gave up what."""
    conn.execute(
        "INSERT INTO audit (actor, role, action, object, detail) VALUES (%s, 'command', %s, %s, %s)",
        [actor, action, object_, Jsonb(dict(detail))],
    )
