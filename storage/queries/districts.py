"""Districts: the city, its branches, their townships, as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# GB/T 2260 digits of a branch (county); a township's code begins with its branch's.
_BRANCH_DIGITS = 6


async def all_of(connection: AsyncConnection[DictRow]) -> list[dict[str, Any]]:
    cursor = await connection.execute("SELECT code, gb_code, name, level, parent FROM district ORDER BY code")
    return await cursor.fetchall()


async def ensure(connection: AsyncConnection[DictRow], codes: Iterable[str | None]) -> None:
    """Every code has a row from now on, so that a zone's district is always in the tree that scopes are read from.

    A new numeric code longer than a branch's is a township under that branch; anything else is a branch. Its name is
    its code until somebody gives it one.
    """
    wanted = {code for code in codes if code}
    branches = {code[:_BRANCH_DIGITS] if code.isdigit() and len(code) > _BRANCH_DIGITS else code for code in wanted}
    await connection.execute(
        "INSERT INTO district (code, name, level) SELECT code, code, 'branch' FROM unnest(%s::text[]) AS code"
        " ON CONFLICT DO NOTHING",
        (sorted(branches),),
    )
    townships = sorted(wanted - branches)
    await connection.execute(
        "INSERT INTO district (code, name, level, parent)"
        " SELECT code, code, 'township', left(code, %s) FROM unnest(%s::text[]) AS code ON CONFLICT DO NOTHING",
        (_BRANCH_DIGITS, townships),
    )
