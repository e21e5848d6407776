"""Accounts: real people, one login each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow


async def find(connection: AsyncConnection[DictRow], login: str) -> dict[str, Any] | None:
    cursor = await connection.execute(
        "SELECT id, login, role, district, password FROM account WHERE login = %s AND state = 'active'", (login,)
    )
    return await cursor.fetchone()


async def add(
    connection: AsyncConnection[DictRow], login: str, role: str, district: str | None, password: str
) -> int | None:
    """The new account's id, or None where the login is taken."""
    cursor = await connection.execute(
        "INSERT INTO account (login, role, district, password) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (login) DO NOTHING RETURNING id",
        (login, role, district, password),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row["id"])
