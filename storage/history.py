"""History: what a late report is judged with - the terminal's fixes around it, and its presences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg.rows import dict_row

from columns.positions import Positions
from columns.ragged import Ragged

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]

_FIXES = """
    SELECT us_of(time), fingerprint, us_of(received), lon, lat, altitude, speed, course, alarm, status, mileage,
        satellites, serial, source, quality
    FROM position WHERE terminal = %(device)s AND {bound} ORDER BY time {order}, fingerprint {order} LIMIT %(most)s
"""
_BEFORE = _FIXES.format(bound="time < at_us(%(at)s)", order="DESC")
_FROM = _FIXES.format(bound="time >= at_us(%(at)s)", order="")
_COLUMNS = ("time", "fingerprint", "received", "lon", "lat", "altitude", "speed", "course", "alarm", "status", "mileage",
            "satellites", "serial", "source", "quality")  # fmt: skip
_PRESENCES = """
    SELECT device, zone, us_of(began_at) AS began_at, us_of(entered_at) AS entered_at, us_of(confirmed_at) AS confirmed_at,
        us_of(last_inside_at) AS last_inside_at, us_of(ended_at) AS ended_at, end_reason AS "end", cause, zone_version,
        machine, verdict, alarm, rule, machine_snapshot AS snapshot, grade, us_of(grade_at) AS grade_at, grade_speed, late,
        lon, lat, us_of(received_at) AS received
    FROM presence WHERE device = %s AND (ended_at IS NULL OR ended_at >= at_us(%s)) ORDER BY began_at, zone
"""


async def fixes_before(conn: Connection, device: int, at: int, most: int) -> Positions:
    """Up to ``most`` reports before ``at`` (us), ascending in time; reports of one second by fingerprint."""
    cursor = await conn.execute(_BEFORE, {"device": device, "at": at, "most": most})
    return _positions(device, (await cursor.fetchall())[::-1])


async def fixes_from(conn: Connection, device: int, at: int, most: int) -> Positions:
    """Up to ``most`` reports at or after ``at`` (us), ascending in time; reports of one second by fingerprint."""
    cursor = await conn.execute(_FROM, {"device": device, "at": at, "most": most})
    return _positions(device, await cursor.fetchall())


async def presences(conn: Connection, device: int, since: int) -> list[dict[str, Any]]:
    """The terminal's presences that end at or after ``since`` (us) or go on; lon and lat in 1e-6 degrees."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_PRESENCES, [device, since])
        return await cursor.fetchall()


def _positions(device: int, rows: list[tuple[Any, ...]]) -> Positions:
    if not rows:
        return Positions.empty()
    table = dict(zip(_COLUMNS, np.array(rows, np.int64).T, strict=True))
    n = len(rows)
    return Positions(
        packet=np.zeros(n, "<i4"), device=np.full(n, device, "<i8"), time=table["time"],
        fingerprint=table["fingerprint"], received=table["received"], lon=table["lon"] / 1e6, lat=table["lat"] / 1e6,
        altitude=table["altitude"].astype("<i2"), speed=table["speed"].astype("<u2"),
        course=table["course"].astype("<u2"), alarm=(table["alarm"] & 0xFFFFFFFF).astype("<u4"),
        status=(table["status"] & 0xFFFFFFFF).astype("<u4"), mileage=table["mileage"].astype("<i4"),
        satellites=table["satellites"].astype("<i2"), serial=table["serial"].astype("<u2"),
        source=table["source"].astype("<u1"), quality=table["quality"].astype("<u2"), extras=Ragged.empty(n),
    )  # fmt: skip
