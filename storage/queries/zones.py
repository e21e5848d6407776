"""Zones and their versions. A published version never changes; a new one ends its predecessor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_COLUMNS = (
    "zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules, guard_m, halo_m,"
    " unknown_policy, valid_from, valid_to, author, created_at"
)

# Of each zone the version in force, else the newest.
_CURRENT = f"SELECT DISTINCT ON (zone) {_COLUMNS} FROM zone_version ORDER BY zone, state = 'active' DESC, version DESC"  # noqa: S608


async def page(
    connection: AsyncConnection[DictRow], *, states: list[str], district: str | None, after: int | None, limit: int
) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        f"SELECT * FROM ({_CURRENT}) AS current WHERE state = ANY(%(states)s)"  # noqa: S608
        " AND (%(district)s::text IS NULL OR district = %(district)s)"
        " AND (%(after)s::bigint IS NULL OR zone > %(after)s) ORDER BY zone LIMIT %(limit)s",
        {"states": states, "district": district, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def find(connection: AsyncConnection[DictRow], zone: int, version: int | None = None) -> dict[str, Any] | None:
    """A version, or without one the version in force, else the newest."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM zone_version"  # noqa: S608
        " WHERE zone = %(zone)s AND (%(version)s::int IS NULL OR version = %(version)s)"
        " ORDER BY state = 'active' DESC, version DESC LIMIT 1",
        {"zone": zone, "version": version},
    )
    return await cursor.fetchone()


async def named(connection: AsyncConnection[DictRow], district: str, name: str) -> dict[str, Any] | None:
    """The zone of that name in the district that is not retired."""
    cursor = await connection.execute(
        f"SELECT * FROM ({_CURRENT}) AS current"  # noqa: S608
        " WHERE district = %s AND name = %s AND state <> 'retired' ORDER BY zone LIMIT 1",
        (district, name),
    )
    return await cursor.fetchone()


async def versions(connection: AsyncConnection[DictRow], zone: int) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM zone_version WHERE zone = %s ORDER BY version DESC",  # noqa: S608
        (zone,),
    )
    return await cursor.fetchall()


async def create(connection: AsyncConnection[DictRow]) -> int:
    row = await (await connection.execute("INSERT INTO zone DEFAULT VALUES RETURNING id")).fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return int(row["id"])


async def lock(connection: AsyncConnection[DictRow], zone: int) -> bool:
    """Holds the zone against other editors until the transaction ends; false where there is none."""
    cursor = await connection.execute("SELECT 1 FROM zone WHERE id = %s FOR UPDATE", (zone,))
    return await cursor.fetchone() is not None


async def add_draft(
    connection: AsyncConnection[DictRow],
    zone: int,
    *,
    name: str,
    district: str,
    tier: str,
    doc_no: str | None,
    crs: str,
    source: dict[str, Any],
    geometry: dict[str, Any],
    rules: list[dict[str, Any]],
    guard_m: float,
    halo_m: float,
    unknown_policy: str,
    valid_from: datetime | None,
    valid_to: datetime | None,
    author: str,
) -> int:
    """The next version, as a draft; a draft that was there is withdrawn. Answers with its number.

    Without ``valid_from`` it begins with the present day in China, as a notice that names no date does (自发布之日起);
    `publish` lets only a zone's first version reach back.
    """
    await withdraw_drafts(connection, zone)
    cursor = await connection.execute(
        "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
        " guard_m, halo_m, unknown_policy, valid_from, valid_to, author)"
        " SELECT %(zone)s, 1 + coalesce(max(version), 0), %(name)s, %(district)s, %(tier)s, 'draft', %(doc_no)s,"
        " %(crs)s, %(source)s, %(geometry)s, %(rules)s, %(guard_m)s, %(halo_m)s, %(unknown_policy)s,"
        " coalesce(%(valid_from)s, date_trunc('day', now(), 'Asia/Shanghai')), %(valid_to)s, %(author)s FROM zone_version WHERE zone = %(zone)s"
        " RETURNING version",
        {
            "zone": zone,
            "name": name,
            "district": district,
            "tier": tier,
            "doc_no": doc_no,
            "crs": crs,
            "source": Jsonb(source),
            "geometry": Jsonb(geometry),
            "rules": Jsonb(rules),
            "guard_m": guard_m,
            "halo_m": halo_m,
            "unknown_policy": unknown_policy,
            "valid_from": valid_from,
            "valid_to": valid_to,
            "author": author,
        },
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return int(row["version"])


async def withdraw_drafts(connection: AsyncConnection[DictRow], zone: int) -> None:
    """A draft that is retired was never in force: its time is empty."""
    await connection.execute(
        "UPDATE zone_version SET state = 'retired', valid_to = valid_from WHERE zone = %s AND state = 'draft'", (zone,)
    )


async def publish(connection: AsyncConnection[DictRow], zone: int, version: int) -> None:
    """Puts a draft in force and ends its predecessor where it begins.

    The first version may reach back as far as it says; a later one begins now at the earliest, since what was judged
    by its predecessor stays so (a correction of the past is a re-judgement, never a silent rewrite).
    """
    await connection.execute(
        """
        WITH published AS (
            SELECT bool_or(state = 'active' OR (state = 'retired' AND valid_to > valid_from)) AS before
            FROM zone_version WHERE zone = %(zone)s AND version < %(version)s
        ), begins AS (
            SELECT CASE WHEN published.before THEN greatest(v.valid_from, now()) ELSE v.valid_from END AS at
            FROM zone_version v, published WHERE v.zone = %(zone)s AND v.version = %(version)s
        )
        UPDATE zone_version SET valid_from = begins.at FROM begins
        WHERE zone = %(zone)s AND version = %(version)s AND valid_from < begins.at
        """,
        {"zone": zone, "version": version},
    )
    await connection.execute(
        """
        UPDATE zone_version old SET state = 'retired',
            valid_to = greatest(old.valid_from, least(coalesce(old.valid_to, 'infinity'), next.valid_from))
        FROM zone_version next
        WHERE next.zone = %(zone)s AND next.version = %(version)s AND old.zone = next.zone AND old.state = 'active'
        """,
        {"zone": zone, "version": version},
    )
    await connection.execute(
        "UPDATE zone_version SET state = 'active' WHERE zone = %s AND version = %s", (zone, version)
    )


async def retire(connection: AsyncConnection[DictRow], zone: int) -> None:
    """Ends the version in force now, and withdraws a draft. Nothing is deleted: visits name their version."""
    await withdraw_drafts(connection, zone)
    await connection.execute(
        "UPDATE zone_version SET state = 'retired', valid_to = greatest(valid_from, least(coalesce(valid_to, 'infinity'), now()))"
        " WHERE zone = %s AND state = 'active'",
        (zone,),
    )
