"""Daily partitions of `position`, made ahead of the day. On TimescaleDB there is nothing to do: chunks make themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from datetime import date

    import psycopg

BEHIND_DAYS, AHEAD_DAYS = 1, 3

_log = structlog.get_logger()
_told: set[date] = set()


def window(now_us: int) -> tuple[date, date]:
    """The days that should have a partition at ``now_us`` (us since 1970 UTC): first and last, both included."""
    today = datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
    return today - timedelta(days=BEHIND_DAYS), today + timedelta(days=AHEAD_DAYS)


async def ensure_partitions(conn: psycopg.AsyncConnection[Any], first_day: date, last_day: date) -> list[date]:
    """Makes the missing partitions of these days (UTC) and returns the days that stay in the default partition.

    A day that has rows in the default partition already stays there: correct, only slower to read and to drop. It is
    logged once. Raises psycopg.errors.LockNotAvailable where a long query holds the default partition: try later.
    """
    cursor = await conn.execute("SELECT day FROM ensure_partitions(%s, %s) AS day", [first_day, last_day])
    left = [day for (day,) in await cursor.fetchall()]
    for day in left:
        if day not in _told:
            _told.add(day)
            _log.warning("position.day_in_default_partition", day=day.isoformat())
    return left
