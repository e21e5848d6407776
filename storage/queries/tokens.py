"""Tokens: bearer tokens, console sessions, one-time links. Only hashes are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# An account's token follows the account: its role, its district, and its end.
_FIND = """
SELECT t.kind, t.name, t.account, a.login, t.expires_at,
       CASE WHEN a.id IS NULL THEN t.role ELSE a.role END AS role,
       CASE WHEN a.id IS NULL THEN t.district ELSE a.district END AS district,
       ARRAY(
           WITH RECURSIVE below (code) AS (
               SELECT CASE WHEN a.id IS NULL THEN t.district ELSE a.district END
               UNION
               SELECT d.code FROM district d JOIN below ON d.parent = below.code
           )
           SELECT code FROM below WHERE code IS NOT NULL
       ) AS districts
FROM token t LEFT JOIN account a ON a.id = t.account
WHERE t.hash = %(hash)s AND t.kind = %(kind)s
  AND (t.expires_at IS NULL OR t.expires_at > now())
  AND (t.account IS NULL OR a.state = 'active')
"""


async def find(connection: AsyncConnection[DictRow], kind: str, digest: bytes) -> dict[str, Any] | None:
    """The token and whom it stands for, while it is good."""
    return await (await connection.execute(_FIND, {"hash": digest, "kind": kind})).fetchone()


async def add(
    connection: AsyncConnection[DictRow],
    *,
    digest: bytes,
    kind: str,
    name: str,
    role: str,
    district: str | None = None,
    account: int | None = None,
    lifetime: timedelta | None = None,
) -> None:
    await connection.execute(
        "INSERT INTO token (hash, kind, name, account, role, district, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, now() + %s::interval)",
        (digest, kind, name, account, role, district, lifetime),
    )


async def redeem_link(connection: AsyncConnection[DictRow], digest: bytes) -> dict[str, Any] | None:
    """The link's row, the first time only: two redeemers at once find one winner."""
    cursor = await connection.execute(
        "UPDATE token SET used_at = now() WHERE hash = %s AND kind = 'link' AND used_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > now()) RETURNING name, account, role, district",
        (digest,),
    )
    return await cursor.fetchone()


async def remove(connection: AsyncConnection[DictRow], digest: bytes) -> None:
    await connection.execute("DELETE FROM token WHERE hash = %s", (digest,))


async def remove_expired(connection: AsyncConnection[DictRow]) -> None:
    """Sessions and links that are over; bearer tokens are kept, since staff look for why one stopped working."""
    await connection.execute(
        "DELETE FROM token WHERE kind IN ('session', 'link') AND expires_at < now() - interval '1 day'"
    )
