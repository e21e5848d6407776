"""Zones and their versions, drawn and read. `storage.queries.zone_steps` moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# The state is what the version is now: a day that comes needs nobody to write it down.
_VERSIONS = """
    SELECT zone, version, name, district, tier, zone_state(v) AS state, doc_no, crs, source, geometry, rules, guard_m,
        halo_m, unknown_policy, merge_s, lost_s, lost_merge_s, slow_terminals, valid_from, valid_to, author, created_at,
        submitted_by, submitted_at, reviewed_by, reviewed_at, review_note, published_at, direct
    FROM zone_version v
"""
# The version in force, else the newest that is not over, else the newest.
_FIRST = "state = 'active' DESC, state <> 'retired' DESC, version DESC"
_CURRENT = f"SELECT DISTINCT ON (zone) * FROM ({_VERSIONS}) AS every ORDER BY zone, {_FIRST}"  # noqa: S608 - our own
# A version that was rejected or retired is news until there is a newer one, and retired only where nothing is law.
_SHOWN = f"""
    SELECT every.*, version = max(version) OVER of_zone AS newest,
        bool_or(state IN ('active', 'approved')) OVER of_zone AS law
    FROM ({_VERSIONS}) AS every WINDOW of_zone AS (PARTITION BY zone)
"""  # noqa: S608


async def page(
    connection: AsyncConnection[DictRow], *, states: list[str], district: str | None, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """Of each zone that has a version in one of these states, that one: the one in force before the newest."""
    cursor = await connection.execute(
        f"SELECT DISTINCT ON (zone) * FROM ({_SHOWN}) AS shown WHERE state = ANY(%(states)s)"  # noqa: S608
        " AND (newest OR state NOT IN ('rejected', 'retired')) AND (state <> 'retired' OR NOT law)"
        " AND (%(district)s::text IS NULL OR district = %(district)s)"
        " AND (%(after)s::bigint IS NULL OR zone > %(after)s)"
        " ORDER BY zone, state = 'active' DESC, version DESC LIMIT %(limit)s",
        {"states": states, "district": district, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def find(connection: AsyncConnection[DictRow], zone: int, version: int | None = None) -> dict[str, Any] | None:
    """A version, or without one the version in force, else the newest that is not over, else the newest."""
    cursor = await connection.execute(
        f"SELECT * FROM ({_VERSIONS}) AS every"  # noqa: S608
        " WHERE zone = %(zone)s AND (%(version)s::int IS NULL OR version = %(version)s)"
        f" ORDER BY {_FIRST} LIMIT 1",
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
    """Every version, newest first."""
    cursor = await connection.execute(f"{_VERSIONS} WHERE zone = %s ORDER BY version DESC", (zone,))
    return await cursor.fetchall()


async def papers(connection: AsyncConnection[DictRow], zone: int) -> list[dict[str, Any]]:
    """Every step of the zone's versions, oldest first: id, at, actor, role, action, detail. From the audit."""
    cursor = await connection.execute(
        "SELECT id, at, actor, role, action, detail FROM audit WHERE object = %s AND action LIKE 'zone.%%' ORDER BY id",
        (f"zone/{zone}",),
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
    merge_s: float,
    lost_s: float,
    lost_merge_s: float,
    slow_terminals: str,
    valid_from: datetime | None,
    valid_to: datetime | None,
    author: str,
) -> int:
    """The zone's next version, as a draft. Answers with its number."""
    content = {
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
        "merge_s": merge_s,
        "lost_s": lost_s,
        "lost_merge_s": lost_merge_s,
        "slow_terminals": slow_terminals,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "author": author,
    }
    cursor = await connection.execute(
        f"INSERT INTO zone_version (zone, version, state, {', '.join(content)})"  # noqa: S608 - our own names
        " SELECT %(zone)s, 1 + coalesce(max(version), 0), 'draft',"
        f" {', '.join(f'%({column})s' for column in content)} FROM zone_version WHERE zone = %(zone)s"
        " RETURNING version",
        {**content, "zone": zone},
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return int(row["version"])
