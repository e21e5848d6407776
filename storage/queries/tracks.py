"""Tracks: position rows of one terminal, or of one machine over its dated bindings, in time order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_COLUMNS = """
p.terminal AS device, p.fingerprint, p.time, p.received, p.lon, p.lat, p.speed, p.course, p.altitude, p.serial,
p.mileage, p.satellites, p.alarm & 4294967295::bigint AS alarm, p.status & 4294967295::bigint AS status, p.source,
p.quality, b.machine
"""

_WINDOW = """
p.time >= %(start)s AND p.time < %(end)s
AND (%(after)s::timestamptz IS NULL
     OR (p.time, p.terminal, p.fingerprint) > (%(after)s, %(after_device)s::bigint, %(after_print)s::bigint))
ORDER BY p.time, p.terminal, p.fingerprint LIMIT %(limit)s
"""

# The terminal's few bindings are read once; without that the join would meet every binding for every row.
_OF_TERMINAL = f"""
WITH b AS MATERIALIZED (SELECT machine, during FROM binding WHERE device = %(device)s)
SELECT {_COLUMNS} FROM position p LEFT JOIN b ON b.during @> p.time
WHERE p.terminal = %(device)s AND {_WINDOW}
"""  # noqa: S608 - constants of this file only

_OF_MACHINE = f"""
WITH b AS MATERIALIZED (SELECT device, machine, during FROM binding WHERE machine = %(machine)s)
SELECT {_COLUMNS}, t.phone FROM b JOIN position p ON p.terminal = b.device AND b.during @> p.time
JOIN terminal t ON t.device = p.terminal
WHERE {_WINDOW}
"""  # noqa: S608

# Where a page ended: time, device, fingerprint.
Place = tuple["datetime", int, int]


def _parameters(start: datetime, end: datetime, after: Place | None, limit: int) -> dict[str, Any]:
    time, device, fingerprint = after or (None, None, None)
    return {
        "start": start,
        "end": end,
        "after": time,
        "after_device": device,
        "after_print": fingerprint,
        "limit": limit,
    }


async def of_terminal(
    connection: AsyncConnection[DictRow], device: int, start: datetime, end: datetime, after: Place | None, limit: int
) -> list[dict[str, Any]]:
    cursor = await connection.execute(_OF_TERMINAL, {"device": device, **_parameters(start, end, after, limit)})
    return await cursor.fetchall()


async def of_machine(
    connection: AsyncConnection[DictRow], machine: int, start: datetime, end: datetime, after: Place | None, limit: int
) -> list[dict[str, Any]]:
    cursor = await connection.execute(_OF_MACHINE, {"machine": machine, **_parameters(start, end, after, limit)})
    return await cursor.fetchall()
