"""Machines as they were: bindings, versions and exemptions of a stretch of the past, however long ago it ended.

(What a worker decides with, and how it hears of changes: storage/ruleset.py, which forgets what ended a month ago.)
Times are int64 us since 1970 UTC, None is open. Errors are psycopg's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from storage.arrays import Bigints

if TYPE_CHECKING:
    import psycopg
    from numpy.typing import NDArray

    Connection = psycopg.AsyncConnection[Any]
    Rows = list[dict[str, Any]]

_BINDINGS = """
    SELECT b.device, b.machine, t.phone, CASE WHEN isfinite(lower(b.during)) THEN us_of(lower(b.during)) END AS since,
        CASE WHEN isfinite(upper(b.during)) THEN us_of(upper(b.during)) END AS until
    FROM binding b JOIN terminal t USING (device)
    WHERE b.device = ANY(%(devices)s) AND b.during && tstzrange(at_us(%(since)s), at_us(%(until)s))
    ORDER BY b.device, lower(b.during) NULLS FIRST
"""
_VERSIONS = """
    SELECT machine AS id, registration_number, machine_type, registration_type, emission_stage, power_kw, energy,
        smoke_class, owner_name AS owner, project, purpose, district, status,
        CASE WHEN isfinite(valid_from) THEN us_of(valid_from) END AS since
    FROM machine_version WHERE machine = ANY(%(machines)s) ORDER BY machine, valid_from
"""
_EXEMPTIONS = """
    SELECT id, kind, coalesce(to_jsonb(machine), to_jsonb(coalesce(owner, project, purpose))) AS value, zone,
        us_of(lower(during)) AS since,
        CASE WHEN isfinite(least(upper(during), revoked_at)) THEN us_of(least(upper(during), revoked_at)) END AS until,
        approver, reason, doc_no
    FROM exemption
    WHERE (zone IS NULL OR zone = %(zone)s) AND during && tstzrange(at_us(%(since)s), at_us(%(until)s))
        AND (revoked_at IS NULL OR revoked_at > greatest(lower(during), at_us(%(since)s)))
    ORDER BY id
"""


async def bindings(conn: Connection, devices: NDArray[Any], since: int, until: int) -> Rows:
    """Of these devices, those that hold at any time in [since, until): device, machine, phone, since, until."""
    return await _rows(conn, _BINDINGS, {"devices": Bigints(devices), "since": since, "until": until})


async def versions(conn: Connection, machines: list[int]) -> Rows:
    """All versions of these machines; the columns are the fields of `geofence.machines.Machine`."""
    return await _rows(conn, _VERSIONS, {"machines": machines})


async def exemptions(conn: Connection, zone: int, since: int, until: int) -> Rows:
    """Of this zone and of all zones, those in force at any time in [since, until)."""
    return await _rows(conn, _EXEMPTIONS, {"zone": zone, "since": since, "until": until})


async def _rows(conn: Connection, query: str, values: dict[str, Any]) -> Rows:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()
