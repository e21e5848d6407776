"""The audit: who did or read what, why, from where. Rows are only ever added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow


async def add(
    connection: AsyncConnection[DictRow],
    *,
    actor: str,
    role: str,
    action: str,
    object_: str,
    purpose: str | None = None,
    detail: dict[str, Any] | None = None,
    address: str | None = None,
) -> int:
    """Adds one row; its id, which an order to an edge names."""
    cursor = await connection.execute(
        "INSERT INTO audit (actor, role, action, object, purpose, detail, address) VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " RETURNING id",
        (actor, role, action, object_, purpose, Jsonb(detail or {}), address),
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  RETURNING gives one
    return int(row["id"])


async def page(
    connection: AsyncConnection[DictRow], *, before: int | None, limit: int, actor: str | None, action: str | None
) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        "SELECT id, at, actor, role, action, object, purpose, detail, address FROM audit"
        " WHERE (%(before)s::bigint IS NULL OR id < %(before)s)"
        " AND (%(actor)s::text IS NULL OR actor = %(actor)s) AND (%(action)s::text IS NULL OR action = %(action)s)"
        " ORDER BY id DESC LIMIT %(limit)s",
        {"before": before, "limit": limit, "actor": actor, "action": action},
    )
    return await cursor.fetchall()
