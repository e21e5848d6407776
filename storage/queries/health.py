"""Numbers for /readyz and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow


async def partitions(connection: AsyncConnection[DictRow]) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        "SELECT partition, stream, sequence, stored, duplicate, quarantined, rejected, updated_at"
        " FROM log_offset ORDER BY partition"
    )
    return await cursor.fetchall()


async def alarms_by_state(connection: AsyncConnection[DictRow]) -> list[dict[str, Any]]:
    return await (await connection.execute("SELECT state, count(*) AS n FROM alarm GROUP BY state")).fetchall()


async def terminals_by_state(connection: AsyncConnection[DictRow]) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        "SELECT state, count(*) AS n FROM terminal GROUP BY state"
        " UNION ALL SELECT 'refused', count(*) FROM terminal_refused"
    )
    return await cursor.fetchall()


async def enrolment(connection: AsyncConnection[DictRow]) -> dict[str, int]:
    """quarantined: terminals now; dropped: refused ones that the bounded queue has forgotten so far."""
    cursor = await connection.execute(
        "SELECT (SELECT count(*) FROM terminal WHERE quarantined_until > now()) AS quarantined, dropped FROM enrolment_queue"
    )
    return await cursor.fetchone() or {"quarantined": 0, "dropped": 0}


async def dead_letters_by_reason(connection: AsyncConnection[DictRow]) -> list[dict[str, Any]]:
    """Those that nobody has replayed."""
    query = "SELECT reason, count(*) AS n FROM dead_letter WHERE replayed_at IS NULL GROUP BY reason"
    return await (await connection.execute(query)).fetchall()


async def dropped_by_kind(connection: AsyncConnection[DictRow]) -> list[dict[str, Any]]:
    """Rows that were dropped for their age so far."""
    return await (await connection.execute("SELECT kind, dropped FROM retention")).fetchall()


async def last_backup(connection: AsyncConnection[DictRow]) -> float | None:
    """When the newest verified backup was taken, Unix time."""
    row = await (await connection.execute("SELECT extract(epoch FROM max(taken_at)) AS at FROM backup")).fetchone()
    return float(row["at"]) if row and row["at"] is not None else None


async def rules_epoch(connection: AsyncConnection[DictRow]) -> int | None:
    row = await (await connection.execute("SELECT epoch FROM ruleset")).fetchone()
    return int(row["epoch"]) if row else None


async def schema_is_there(connection: AsyncConnection[DictRow]) -> bool:
    row = await (await connection.execute("SELECT to_regclass('alarm_view') IS NOT NULL AS there")).fetchone()
    return bool(row and row["there"])
