"""Digests: machines that were inside already when a zone, a rule, an exemption's end or a record took effect.

Nobody moved, so nobody is paged: each district is told of all of them at once, a minute after the first, and then not
again for an hour. Every alarm is in one digest, or in none where a page told of it, or late data disproved it, before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]

FIRST_AFTER = "60 seconds"
THEN_EVERY = "1 hour"
MOST_NAMED = 100
"""Machines, and zones, that one digest names; `alarms` counts all."""
LOCK_KEY = 808_005

# A row that somebody works on is left for the next digest: a commit never waits here, nor this for a commit.
_DIGEST = f"""
    WITH waiting AS (SELECT id, district, created_at FROM alarm WHERE notice = 'digest' AND digested_at IS NULL),
    due AS (
        SELECT district FROM waiting w GROUP BY district HAVING min(created_at) <= now() - interval '{FIRST_AFTER}'
            AND NOT EXISTS (SELECT FROM alarm d WHERE d.district = w.district AND d.digested_at > now() - interval '{THEN_EVERY}')
    ),
    free AS (
        SELECT id FROM alarm WHERE id IN (SELECT id FROM waiting WHERE district IN (SELECT district FROM due))
            AND notice = 'digest' AND digested_at IS NULL FOR UPDATE SKIP LOCKED
    ),
    told AS (
        UPDATE alarm a SET digested_at = now() FROM free f WHERE a.id = f.id
        RETURNING a.id, a.district, a.cause, a.machine, a.zone, a.zone_version, a.created_at,
            a.merged_into IS NULL AND a.withdrawn_at IS NULL AS stands
    ),
    counted AS (
        SELECT t.*, z.name AS zone_name FROM told t
        LEFT JOIN zone_version z ON z.zone = t.zone AND z.version = t.zone_version WHERE stands
    )
    SELECT jsonb_build_object('kind', 'digest', 'district', c.district, 'data', jsonb_build_object(
        'district', c.district,
        'alarms', count(*),
        'machines', (array_agg(DISTINCT c.machine))[:{MOST_NAMED}],
        'causes', (SELECT jsonb_object_agg(cause, n) FROM (
            SELECT cause, count(*) AS n FROM counted WHERE district = c.district GROUP BY cause) AS causes),
        'zones', (SELECT jsonb_agg(jsonb_build_object('id', zone, 'name', name, 'alarms', n) ORDER BY n DESC, zone) FROM (
            SELECT zone, max(zone_name) AS name, count(*) AS n FROM counted WHERE district = c.district
            GROUP BY zone ORDER BY count(*) DESC, zone LIMIT {MOST_NAMED}) AS zones),
        'since', iso8601(min(c.created_at)),
        'until', iso8601(max(c.created_at))))
    FROM counted c GROUP BY c.district ORDER BY c.district
"""  # noqa: S608 - our own numbers


async def digest(conn: Connection) -> int:
    """Tells the districts whose time has come, one `digest` event each; how many. Of several workers one does it."""
    async with conn.transaction():
        row = await (await conn.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK_KEY])).fetchone()
        if row is None or not row[0]:
            return 0
        events = [event for (event,) in await (await conn.execute(_DIGEST)).fetchall()]
        if events:
            await conn.execute("SELECT emit_events(%s)", [Jsonb(events)])
    return len(events)
