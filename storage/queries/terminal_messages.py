"""What terminals said besides positions, as it was read; the bytes are beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# Where a page ended: received, device, id.
Place = tuple["datetime", int, int]

_OF_TERMINAL = """
SELECT m.id, m.device, m.message, m.serial, m.received, m.edition, m.body, m.said, m.reason, b.machine
FROM terminal_message m LEFT JOIN binding b ON b.device = m.device AND b.during @> m.received
WHERE m.device = %(device)s AND m.received >= %(start)s AND m.received < %(end)s {kind}
  AND (%(at)s::timestamptz IS NULL OR (m.received, m.id) > (%(at)s, %(number)s::bigint))
ORDER BY m.received, m.id LIMIT %(limit)s
"""
_EVERY, _ONE = _OF_TERMINAL.format(kind=""), _OF_TERMINAL.format(kind="AND m.message = %(message)s")


async def of_terminal(
    connection: AsyncConnection[DictRow],
    device: int,
    start: datetime,
    end: datetime,
    message: int | None,
    after: Place | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Received in [start, end), of one id or (None) of all, oldest first, with the machine of then."""
    at, _, number = after or (None, None, None)
    cursor = await connection.execute(
        _EVERY if message is None else _ONE,
        {"device": device, "start": start, "end": end, "message": message, "at": at, "number": number, "limit": limit},
    )
    return await cursor.fetchall()
