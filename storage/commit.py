"""The one transaction of a worker: offset, rows, visits, alarms and events, all or nothing.

Order: offset and owner are compared first, so of two owners of a partition the older stops before it writes anything; rows
next; events last, because their lock is held until the commit is done (storage/migrations/0003_alarm_view.sql).

The COPY is optimistic: reports are new but for the resends that crossed a crash. On a duplicate key only the COPY is
done again, through a temporary table and ON CONFLICT DO NOTHING; what was decided stays decided.

It does not retry: storage/errors.py says what the caller does about each failure.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import psycopg
from psycopg import errors

from storage.copy import COLUMNS, COPY, rows
from storage.effects import write_effects
from storage.errors import EpochChangedError, OffsetMovedError, RefusedError, UnavailableError
from storage.work import Committed, Work

if TYPE_CHECKING:
    from columns.positions import Positions

_ADVANCE = """
    BEGIN;
    UPDATE log_offset SET
        sequence = %(sequence)s, epoch = %(epoch)s, boots = %(boots)s, updated_at = now(),
        stored = stored + %(stored)s, duplicate = duplicate + %(duplicate)s, quarantined = quarantined + %(quarantined)s,
        rejected = CASE WHEN %(rejected)s::jsonb = '{}' THEN rejected ELSE add_counts(rejected, %(rejected)s) END
    FROM ruleset
    WHERE partition = %(partition)s AND stream = %(stream)s AND sequence = %(previous)s AND owner = %(owner)s
    RETURNING ruleset.epoch;
    SAVEPOINT copy
"""
_RECOUNT = """
    UPDATE log_offset SET stored = stored - %(stored)s, quarantined = quarantined - %(quarantined)s,
        duplicate = duplicate + %(stored)s + %(quarantined)s
    WHERE partition = %(partition)s
"""
_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS position_staging (LIKE position) ON COMMIT DELETE ROWS"
_COPY_STAGED = COPY.replace("position", "pg_temp.position_staging", 1)
_MERGE = f"""
    WITH added AS (
        INSERT INTO position ({COLUMNS}) SELECT {COLUMNS} FROM pg_temp.position_staging
        ON CONFLICT DO NOTHING RETURNING quality
    )
    SELECT count(*) FILTER (WHERE quality & %(mask)s = 0), count(*) FILTER (WHERE quality & %(mask)s <> 0) FROM added
"""  # noqa: S608 - our own column names


async def commit(conn: psycopg.AsyncConnection[Any], work: Work, *, owner: int = 0, trial: bool = False) -> Committed:
    """Writes ``work``, or nothing. trial: it is rolled back at the end, so all that is known is whether it would go.

    owner: as load.own_offset() said to the session that made the offset or took it over; 0 is the one that made it.

    ``conn`` is in autocommit mode, idle, and the session that holds the partition's lock. Raises a CommitError (see
    storage/errors.py); after UnavailableError or a cancellation, close the connection.
    """
    if not conn.autocommit:
        raise ValueError("commit() begins and ends its own transaction: connect with autocommit=True")
    committing = False
    try:
        await _advance(conn, work, owner)
        duplicate = await _store(conn, work)
        alarms, enrolled = await write_effects(conn, work)
        committing = True
        await conn.execute("ROLLBACK" if trial else "COMMIT")
    except psycopg.Error as error:
        await _abandon(conn)
        if isinstance(error, (psycopg.DataError, psycopg.IntegrityError)):
            raise RefusedError(str(error)) from error
        raise UnavailableError.of(error, known=not committing) from error
    except BaseException:
        await _abandon(conn)
        raise
    return Committed(len(work.positions) - duplicate, duplicate, alarms, enrolled)


async def _advance(conn: psycopg.AsyncConnection[Any], work: Work, owner: int) -> None:
    quarantined = int(np.count_nonzero(work.positions.quality & work.quarantined))
    values = {
        "partition": work.partition,
        "stream": work.stream,
        "previous": work.previous,
        "owner": owner,
        "sequence": work.sequence,
        "epoch": work.epoch,
        "boots": orjson.dumps(work.boots).decode(),
        "stored": len(work.positions) - quarantined,
        "duplicate": work.duplicate,
        "quarantined": quarantined,
        "rejected": orjson.dumps(work.rejected).decode(),
    }
    # Client-side parameters: three statements in one message and one wake-up, a third of what a pipeline costs here.
    async with psycopg.AsyncClientCursor(conn) as cursor:
        await cursor.execute(_ADVANCE, values)
        cursor.nextset()
        row = await cursor.fetchone()
    if row is None:
        raise OffsetMovedError(work.partition, work.stream, work.previous)
    if row[0] != work.epoch:
        raise EpochChangedError(work.epoch, row[0])


async def _store(conn: psycopg.AsyncConnection[Any], work: Work) -> int:
    """Copies the rows; the number of those that were there already."""
    if not len(work.positions):
        return 0
    try:
        await _copy(conn, COPY, work.positions)
    except errors.UniqueViolation:
        return await _store_new(conn, work)
    return 0


async def _store_new(conn: psycopg.AsyncConnection[Any], work: Work) -> int:
    async with conn.pipeline():
        await conn.execute("ROLLBACK TO SAVEPOINT copy")
        await conn.execute(_STAGE)
    await _copy(conn, _COPY_STAGED, work.positions)
    cursor = await conn.execute(_MERGE, {"mask": work.quarantined})
    added = await cursor.fetchone()
    assert added is not None  # noqa: S101 - an aggregate has a row
    quarantined = int(np.count_nonzero(work.positions.quality & work.quarantined))
    missed = {
        "partition": work.partition,
        "stored": len(work.positions) - quarantined - added[0],
        "quarantined": quarantined - added[1],
    }
    await conn.execute(_RECOUNT, missed)
    return int(missed["stored"] + missed["quarantined"])


async def _copy(conn: psycopg.AsyncConnection[Any], statement: str, positions: Positions) -> None:
    async with conn.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(b"".join(rows(positions)))  # every write is a wake-up


async def _abandon(conn: psycopg.AsyncConnection[Any]) -> None:
    """Rolls back where the connection still can; where it cannot, the server does."""
    with contextlib.suppress(psycopg.Error):
        await conn.rollback()
