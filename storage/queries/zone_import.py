"""What an import of zones needs beyond `storage.queries.zones`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# Any number that no other advisory lock of one bigint has; ASCII "zoneimpo".
_LOCK = 0x7A6F6E65696D706F


async def alone(connection: AsyncConnection[DictRow]) -> None:
    """One import at a time until the transaction ends: two of the same file would each make every new zone."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
