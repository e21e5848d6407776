"""Exemptions: whom a zone's rules spare, from when to when. Added to and revoked, never edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_SELECT = """
SELECT id, kind, machine, owner, project, purpose, zone, lower(during) AS "from", upper(during) AS "to", approver, reason,
       doc_no, created_by, created_at, revoked_by, revoked_at, revocation,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN upper(during) <= now() THEN 'ended'
            WHEN lower(during) > now() THEN 'coming' ELSE 'in_force' END AS state
FROM exemption
"""


async def page(
    connection: AsyncConnection[DictRow],
    *,
    zone: int | None,
    machine: int | None,
    state: str | None,
    after: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Eldest first. ``zone``: those that count in it, of every zone too; ``machine``: those that name it."""
    cursor = await connection.execute(
        f"SELECT * FROM ({_SELECT}) AS known"  # noqa: S608 - our own query
        " WHERE (%(after)s::bigint IS NULL OR id > %(after)s) AND (%(state)s::text IS NULL OR state = %(state)s)"
        " AND (%(zone)s::bigint IS NULL OR zone IS NULL OR zone = %(zone)s)"
        " AND (%(machine)s::bigint IS NULL OR machine = %(machine)s) ORDER BY id LIMIT %(limit)s",
        {"zone": zone, "machine": machine, "state": state, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def find(connection: AsyncConnection[DictRow], exemption: int) -> dict[str, Any] | None:
    return await (await connection.execute(_SELECT + " WHERE id = %s", (exemption,))).fetchone()


async def zone_district(connection: AsyncConnection[DictRow], zone: int) -> str | None:
    """The district of the zone's newest version, None where there is no such zone. The zone stays until the transaction ends.

    It is held before an exemption takes the rules' row, in the order of those who edit a zone.
    """
    cursor = await connection.execute("SELECT FROM zone WHERE id = %s FOR KEY SHARE", (zone,))
    if await cursor.fetchone() is None:
        return None
    cursor = await connection.execute(
        "SELECT district FROM zone_version WHERE zone = %s ORDER BY version DESC LIMIT 1", (zone,)
    )
    row = await cursor.fetchone()
    return None if row is None else str(row["district"])


async def has_machine(connection: AsyncConnection[DictRow], machine: int) -> bool:
    """Whether there is such a machine; it stays until the transaction ends."""
    cursor = await connection.execute("SELECT FROM machine WHERE id = %s FOR KEY SHARE", (machine,))
    return await cursor.fetchone() is not None


async def create(
    connection: AsyncConnection[DictRow],
    *,
    kind: str,
    value: int | str,
    zone: int | None,
    since: datetime,
    until: datetime | None,
    approver: str,
    reason: str,
    doc_no: str | None,
    created_by: str,
) -> int:
    """``value``: the machine's id, or the owner, project or purpose in words."""
    cursor = await connection.execute(
        "INSERT INTO exemption (kind, machine, owner, project, purpose, zone, during, approver, reason, doc_no, created_by)"
        " VALUES (%(kind)s, %(machine)s, %(owner)s, %(project)s, %(purpose)s, %(zone)s, tstzrange(%(since)s, %(until)s),"
        " %(approver)s, %(reason)s, %(doc_no)s, %(created_by)s) RETURNING id",
        {
            "kind": kind, **{name: value if name == kind else None for name in ("machine", "owner", "project", "purpose")},
            "zone": zone, "since": since, "until": until, "approver": approver, "reason": reason, "doc_no": doc_no,
            "created_by": created_by,
        },
    )  # fmt: skip
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return int(row["id"])


async def revoke(connection: AsyncConnection[DictRow], exemption: int, by: str, why: str) -> bool:
    """Ends it now; false where it has ended or was revoked already."""
    cursor = await connection.execute(
        "UPDATE exemption SET revoked_by = %s, revoked_at = now(), revocation = %s"
        " WHERE id = %s AND revoked_at IS NULL AND (upper_inf(during) OR upper(during) > now())",
        (by, why, exemption),
    )
    return cursor.rowcount == 1
