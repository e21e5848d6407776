"""What is kept for a time only: tracks, events, dead letters, the audit. Dropped by one worker at a time, and counted.

Tracks go by whole UTC days, with their partition or chunk (0013_drop_tracks), and only when nothing wants them any more: what
alarms stand on is copied out (storage/evidence.py), the daily statistics are made (storage/daily.py). The rest goes row by row.
A report that comes when its day is gone is stored, and dropped by the next round.

The database itself refuses more than the worker's role needs: nothing else is deleted by it, and no audit of under three years.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from psycopg import errors

from storage import daily, evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    Connection = psycopg.AsyncConnection[Any]

_LOCK_KEY = 808_004
_log = structlog.get_logger()


async def keep(conn: Connection, days: Mapping[str, int]) -> dict[str, int] | None:
    """Makes the daily statistics, then drops what is older; rows dropped by kind, None: another worker does it.

    days: how many of each kind (position, event, dead_letter, audit) are kept. conn: in autocommit mode.
    """
    if not await _value(conn, "SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY]):
        return None
    try:
        await daily.bring_up(conn)
        while await evidence.copy_due(conn):
            pass
        dropped = {kind: await _drop(conn, kind, kept) for kind, kept in days.items()}
    finally:
        if not conn.closed:
            await conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_KEY])
    if any(dropped.values()):
        _log.info("dropped for their age", rows=dropped)
    return dropped


async def _drop(conn: Connection, kind: str, days: int) -> int:
    until = await _value(conn, "SELECT date_trunc('day', now() - %s * interval '1 day', 'UTC')", [days])
    dropped = 0
    while True:
        if kind == "position":
            try:
                rows = await _value(conn, "SELECT drop_tracks(%s)", [until])
            except errors.ObjectNotInPrerequisiteState as error:
                _log.warning("tracks kept for longer | 轨迹暂不清理", reason=error.diag.message_primary)
                return dropped
        else:
            rows = await _value(conn, "SELECT nullif(drop_old_rows(%s, %s), 0)", [kind, until])
        if rows is None:
            return dropped
        dropped += rows


async def _value(conn: Connection, statement: str, values: list[Any]) -> Any:
    row = await (await conn.execute(statement, values)).fetchone()
    assert row is not None  # noqa: S101 - one value
    return row[0]
