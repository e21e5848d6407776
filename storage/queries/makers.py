"""Makers of terminals, as 0x0100 names them, and whether their terminals' codes are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_SELECT = """
SELECT named.maker, coalesce(k.trust, 'strict') AS trust, k.note, k.changed_at, count(t.device) AS terminals
FROM (SELECT maker FROM maker_trust UNION SELECT maker FROM terminal WHERE maker <> '') named
LEFT JOIN maker_trust k USING (maker) LEFT JOIN terminal t USING (maker)
WHERE {condition} GROUP BY named.maker, k.maker ORDER BY named.maker LIMIT %(limit)s
"""
_PAGE = _SELECT.format(condition="%(after)s::text IS NULL OR named.maker > %(after)s")
_ONE = _SELECT.format(condition="named.maker = %(maker)s")


async def page(connection: AsyncConnection[DictRow], *, after: str | None, limit: int) -> list[dict[str, Any]]:
    """By name: those that somebody decided about, and those that a terminal of the registry has."""
    return await (await connection.execute(_PAGE, {"after": after, "limit": limit})).fetchall()


async def find(connection: AsyncConnection[DictRow], maker: str) -> dict[str, Any] | None:
    return await (await connection.execute(_ONE, {"maker": maker, "limit": 1})).fetchone()


async def put(connection: AsyncConnection[DictRow], maker: str, trust: str, note: str | None) -> None:
    await connection.execute(
        "INSERT INTO maker_trust (maker, trust, note) VALUES (%s, %s, %s)"
        " ON CONFLICT (maker) DO UPDATE SET trust = excluded.trust, note = excluded.note, changed_at = now()",
        (maker, trust, note),
    )
