"""Events of the live stream. Ids follow commit order, because every writer holds lock 808 until it commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

CHANNEL = "event"


async def newest(connection: AsyncConnection[DictRow]) -> int:
    row = await (await connection.execute("SELECT coalesce(max(id), 0) AS id FROM event")).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return int(row["id"])


async def between(
    connection: AsyncConnection[DictRow], after: int, until: int | None, limit: int
) -> list[dict[str, Any]]:
    """Events with after < id <= until, oldest first."""
    cursor = await connection.execute(
        "SELECT id, kind, district, copied_to, data FROM event"
        " WHERE id > %(after)s AND (%(until)s::bigint IS NULL OR id <= %(until)s) ORDER BY id LIMIT %(limit)s",
        {"after": after, "until": until, "limit": limit},
    )
    return await cursor.fetchall()


async def terminal(connection: AsyncConnection[DictRow], event: str, phone: str) -> None:
    """What staff did to a terminal. The LAST statement of its transaction, as `emit_events` wants it."""
    one = {"kind": "terminal", "data": {"event": event, "phone": phone}}
    await connection.execute("SELECT emit_events(%s)", (Jsonb([one]),))
