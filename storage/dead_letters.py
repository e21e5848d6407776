"""Dead letters: what could not be decoded or stored, kept as bytes; listed, and marked as they are replayed. Never changed.

A letter is replayed once: before its batch is appended to the log it is noted which one that is (`claim`), after it that it
is done (`done`). One that is claimed and not done is appended again as the same batch. gateway/replaying.py does all this.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    import psycopg

    Connection = psycopg.AsyncConnection[Any]

AT_ONCE = 200
"""Letters of one page: a batch is 256 KiB at most."""
ACKNOWLEDGED = ("unreadable_batch", "failed", "refused")
"""Reasons of batches and parts of batches: terminals heard that they are stored, so nothing drops them before a replay."""
_LOCK_KEY = 808_006
_ABOUT = """
    SELECT d.id, d.at, d.partition, d.sequence, t.phone, nullif(d.received, 'epoch') AS received, d.reason,
        octet_length(d.data) AS bytes, d.replayed_at, d.replayed_by, d.outcome
    FROM dead_letter d LEFT JOIN terminal t ON t.device = d.device
"""
_WANTED = """
    (%(reason)s::text IS NULL OR d.reason = %(reason)s) AND (%(since)s::timestamptz IS NULL OR d.at >= %(since)s)
    AND (%(replayed)s::boolean IS NULL OR (d.replayed_at IS NOT NULL) = %(replayed)s)
"""
_LETTER = """
    SELECT d.id, d.partition, d.device, t.phone, us_of(d.received) AS received, d.reason, d.data,
        d.replay_boot, d.replay_partition, d.replay_number
    FROM dead_letter d LEFT JOIN terminal t ON t.device = d.device
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Which batch of the log a letter is, or is to be."""

    boot: str
    partition: int
    number: int


@dataclass(frozen=True, slots=True)
class Letter:
    """device: 0 where it is unknown; phone: the terminal's, where it is in the registry; received: us UTC, 0 unknown."""

    id: int
    partition: int
    device: int
    phone: str | None
    received: int
    reason: str
    data: bytes
    batch: Batch | None


async def page(
    conn: Connection, *, reason: str | None = None, since: datetime | None = None, replayed: bool | None = None,
    before: int | None = None, limit: int = 100,
) -> list[dict[str, Any]]:  # fmt: skip
    """About letters, newest first, without their bytes. conn: with rows as dicts."""
    values = {"reason": reason, "since": since, "replayed": replayed, "before": before, "limit": limit}
    cursor = await conn.execute(
        f"{_ABOUT} WHERE {_WANTED} AND (%(before)s::bigint IS NULL OR d.id < %(before)s) ORDER BY d.id DESC LIMIT %(limit)s",
        values,
    )
    return await cursor.fetchall()


async def about(conn: Connection, letter: int) -> dict[str, Any] | None:
    """The same of one letter, with its bytes as `data`. conn: with rows as dicts."""
    statement = _ABOUT.replace("d.outcome", "d.outcome, d.data", 1) + " WHERE d.id = %s"
    row: dict[str, Any] | None = await (await conn.execute(statement, [letter])).fetchone()
    return row


async def waiting(conn: Connection, *, ids: Sequence[int], reason: str | None, after: int) -> list[Letter]:
    """The next letters that were not replayed, oldest first; all of them where neither ids nor a reason is given."""
    return await _letters(
        conn,
        "d.replayed_at IS NULL AND d.replay_boot IS NULL AND d.id > %(after)s"
        " AND (%(reason)s::text IS NULL OR d.reason = %(reason)s) AND (%(ids)s::bigint[] IS NULL OR d.id = ANY(%(ids)s))"
        " ORDER BY d.id",
        {"ids": list(ids) or None, "reason": reason, "after": after},
    )


async def claimed(conn: Connection) -> list[Letter]:
    """Letters whose replay was cut off, in the order of their batches."""
    where = "d.replay_boot IS NOT NULL AND d.replayed_at IS NULL ORDER BY d.replay_boot, d.replay_partition, d.replay_number"
    return await _letters(conn, where, {})


async def claim(conn: Connection, letter: int, batch: Batch) -> None:
    await conn.execute(
        "UPDATE dead_letter SET replay_boot = %s, replay_partition = %s, replay_number = %s WHERE id = %s",
        [batch.boot, batch.partition, batch.number, letter],
    )


async def done(conn: Connection, letter: int, by: str, outcome: str) -> None:
    await conn.execute(
        "UPDATE dead_letter SET replayed_at = now(), replayed_by = %s, outcome = %s WHERE id = %s",
        [by, outcome, letter],
    )


async def failed(conn: Connection, letter: int, outcome: str) -> None:
    """It stays to be replayed; no batch is its own any more."""
    await conn.execute(
        "UPDATE dead_letter SET outcome = %s, replay_boot = NULL, replay_partition = NULL, replay_number = NULL WHERE id = %s",
        [outcome, letter],
    )


@asynccontextmanager
async def alone(conn: Connection) -> AsyncIterator[bool]:
    """Whether this session is the one that replays now. A session that is cut off is not any more. conn: autocommit."""
    cursor = await conn.execute("SELECT pg_try_advisory_lock(%s) AS ours", [_LOCK_KEY])
    row = await cursor.fetchone()
    ours = bool(row and row[0])
    try:
        yield ours
    finally:
        if ours and not conn.closed:
            await conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_KEY])


async def _letters(conn: Connection, where: str, values: dict[str, Any]) -> list[Letter]:
    cursor = await conn.execute(f"{_LETTER} WHERE {where} LIMIT {AT_ONCE}", values)  # ours
    return [_letter(row) for row in await cursor.fetchall()]


def _letter(row: tuple[Any, ...]) -> Letter:
    number, partition, device, phone, received, reason, data, boot, in_partition, in_boot = row
    batch = None if boot is None else Batch(boot, in_partition, in_boot)
    return Letter(number, partition, device, phone, received, reason, data, batch)
