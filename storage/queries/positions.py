"""Where every terminal was last seen, with the machine that it sits on now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_COLUMNS = """
SELECT l.terminal AS device, t.phone, l.lon, l.lat, l.speed, l.course, l.quality, l.status, l.time, l.received,
       m.id AS machine_id, m.registration_number, m.machine_type, m.emission_stage, m.district
FROM terminal_last l
JOIN terminal t ON t.device = l.terminal
LEFT JOIN binding b ON b.device = l.terminal AND b.during @> now()
LEFT JOIN machine m ON m.id = b.machine
"""

# Corners in degrees: west, south, east, north.
Box = tuple[float, float, float, float]


def _micro(degrees: float) -> int:
    return round(degrees * 1e6)


async def latest(
    connection: AsyncConnection[DictRow],
    *,
    box: Box | None,
    devices: Collection[int] | None,
    after: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    west, south, east, north = (None,) * 4 if box is None else map(_micro, box)
    cursor = await connection.execute(
        _COLUMNS
        + """
        WHERE (%(west)s::int IS NULL OR (l.lon BETWEEN %(west)s AND %(east)s AND l.lat BETWEEN %(south)s AND %(north)s))
          AND (%(devices)s::bigint[] IS NULL OR l.terminal = ANY(%(devices)s))
          AND (%(after)s::bigint IS NULL OR l.terminal > %(after)s)
        ORDER BY l.terminal LIMIT %(limit)s
        """,
        {
            "west": west,
            "south": south,
            "east": east,
            "north": north,
            "devices": None if devices is None else list(devices),
            "after": after,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def received_since(connection: AsyncConnection[DictRow], since: datetime | None) -> list[dict[str, Any]]:
    """Terminals whose newest report came in after ``since``; None: all."""
    cursor = await connection.execute(
        _COLUMNS + " WHERE %(since)s::timestamptz IS NULL OR l.received > %(since)s", {"since": since}
    )
    return await cursor.fetchall()
