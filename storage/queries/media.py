"""Media of terminals: what was uploaded, when and where it was taken. The bytes are in the blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_COLUMNS = """
m.id, m.device, m.media_id, m.sha256, m.size, m.kind, m.format, m.trigger, m.channel, m.received, m.time, m.lon, m.lat,
m.at
"""
# Where a page ended: at, device, id.
Place = tuple["datetime", int, int]


async def of_terminal(
    connection: AsyncConnection[DictRow], device: int, start: datetime, end: datetime, after: Place | None, limit: int
) -> list[dict[str, Any]]:
    """Taken (or, where the device told no time, received) in [start, end), oldest first, with the machine of then."""
    at, _, number = after or (None, None, None)
    cursor = await connection.execute(
        f"""
        SELECT {_COLUMNS}, b.machine FROM media m LEFT JOIN binding b ON b.device = m.device AND b.during @> m.at
        WHERE m.device = %(device)s AND m.at >= %(start)s AND m.at < %(end)s
          AND (%(at)s::timestamptz IS NULL OR (m.at, m.id) > (%(at)s, %(number)s::bigint))
        ORDER BY m.at, m.id LIMIT %(limit)s
        """,  # noqa: S608 - constants of this file only
        {"device": device, "start": start, "end": end, "at": at, "number": number, "limit": limit},
    )
    return await cursor.fetchall()


async def newest(
    connection: AsyncConnection[DictRow], sha256: str, devices: Collection[int] | None
) -> dict[str, Any] | None:
    """The newest upload of these bytes, of any of ``devices`` (None: of any at all), with its terminal's phone."""
    cursor = await connection.execute(
        f"""
        SELECT {_COLUMNS}, t.phone FROM media m JOIN terminal t ON t.device = m.device
        WHERE m.sha256 = %(sha256)s AND (%(devices)s::bigint[] IS NULL OR m.device = ANY(%(devices)s))
        ORDER BY m.id DESC LIMIT 1
        """,  # noqa: S608
        {"sha256": sha256, "devices": None if devices is None else list(devices)},
    )
    return await cursor.fetchone()
