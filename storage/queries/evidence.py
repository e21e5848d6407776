"""The evidence of an alarm as staff and courts read it: the visit, the copied fixes, and the papers it was judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# The visit that has the alarm's time now: late data may have moved it, or joined it to another.
_VISIT = """
    WITH RECURSIVE chain AS (
        SELECT v.id, v.merged_into, 0 AS step FROM alarm a JOIN visit v ON v.id = a.visit WHERE a.id = %s
        UNION ALL SELECT v.id, v.merged_into, step + 1 FROM chain JOIN visit v ON v.id = chain.merged_into
    )
    SELECT v.id, v.machine, e.copied_at, to_jsonb(v) AS visit FROM visit v LEFT JOIN evidence e ON e.visit = v.id
    WHERE v.id = (SELECT id FROM chain ORDER BY step DESC LIMIT 1)
"""
_FIXES = """
    SELECT f.terminal AS device, t.phone, f.fingerprint, f.time, f.received, f.lon, f.lat, f.speed, f.course, f.altitude,
        f.serial, f.mileage, f.satellites, f.alarm & 4294967295::bigint AS alarm, f.status & 4294967295::bigint AS status,
        f.source, f.quality, b.machine, f.extras
    FROM evidence_span s JOIN evidence_fix f ON f.terminal = s.terminal AND f.time BETWEEN s.since AND s.until
    JOIN terminal t ON t.device = f.terminal
    LEFT JOIN binding b ON b.device = f.terminal AND b.during @> f.time
    WHERE s.visit = %s ORDER BY f.time, f.terminal, f.fingerprint LIMIT %s
"""
_PRESENCES = """
    SELECT to_jsonb(p) AS row FROM visit v JOIN presence p ON p.machine = v.machine AND p.verdict <> 'allowed' AND p.alarm
        AND p.began_at BETWEEN v.entered_at AND coalesce(v.exited_at, 'infinity')
    WHERE v.id = %s ORDER BY p.began_at, p.zone, p.device
"""
_ZONES = """
    SELECT to_jsonb(z) - '{changed,drawn}'::text[] AS row FROM zone_version z WHERE (z.zone, z.version) IN (
        SELECT p.zone, p.zone_version FROM visit v JOIN presence p ON p.machine = v.machine AND p.verdict <> 'allowed'
            AND p.alarm AND p.began_at BETWEEN v.entered_at AND coalesce(v.exited_at, 'infinity') WHERE v.id = %(visit)s
        UNION SELECT zone, zone_version FROM visit WHERE id = %(visit)s)
    ORDER BY z.zone, z.version
"""
_MACHINES = """
    SELECT to_jsonb(m) - 'changed' AS row FROM visit v JOIN machine_version m ON m.machine = v.machine
        AND m.valid_from <= coalesce(v.exited_at, 'infinity')
    WHERE v.id = %s ORDER BY m.valid_from
"""
_BINDINGS = """
    SELECT to_jsonb(b) - 'changed' AS row FROM evidence_span s JOIN binding b ON b.device = s.terminal
        AND b.during && tstzrange(s.since, s.until, '[]')
    WHERE s.visit = %s ORDER BY b.device, lower(b.during) NULLS FIRST
"""
_EXEMPTIONS = """
    SELECT to_jsonb(e) - 'changed' AS row FROM visit v JOIN exemption e ON (e.machine = v.machine
            OR e.owner = v.machine_snapshot ->> 'owner' OR e.project = v.machine_snapshot ->> 'project'
            OR e.purpose = v.machine_snapshot ->> 'purpose')
        AND e.during && tstzrange(v.entered_at - interval '1 day', v.exited_at)
    WHERE v.id = %s ORDER BY e.id
"""


async def visit(connection: AsyncConnection[DictRow], alarm: int) -> dict[str, Any] | None:
    """id, machine, copied_at (None: nothing is copied yet since it changed) and visit, as it is recorded."""
    return await (await connection.execute(_VISIT, (alarm,))).fetchone()


async def fixes(connection: AsyncConnection[DictRow], visit: str, most: int) -> list[dict[str, Any]]:
    """Up to ``most`` copied fixes in time order: the columns of a track, and phone, fingerprint, extras."""
    return await (await connection.execute(_FIXES, (visit, most))).fetchall()


async def papers(connection: AsyncConnection[DictRow], visit: str) -> dict[str, list[dict[str, Any]]]:
    """What the visit was judged by: its presences, the zones' versions, what the registry says of the machine and from
    when, the terminals' bindings, and exemptions that may have to do with it.
    """
    queries = {"presences": _PRESENCES, "machine_versions": _MACHINES, "bindings": _BINDINGS, "exemptions": _EXEMPTIONS}
    found = {"zone_versions": await (await connection.execute(_ZONES, {"visit": visit})).fetchall()}
    for name, query in queries.items():
        found[name] = await (await connection.execute(query, (visit,))).fetchall()
    return {name: [row["row"] for row in rows] for name, rows in found.items()}
