"""Contradictions: what the registry and the last reports say together, looked at every half minute, by one worker.

    silent      a terminal that is inside a zone has sent no position for some time
    cancelled   a machine that is cancelled in the registry reports, live and with a good fix
    two_places  two terminals of one machine are further apart than any transport explains
    identity    several devices speak as one terminal (its quarantine)

Each is one query for the situations that hold now. One that is `fresh` is raised where no alarm is open; an alarm whose
situation holds no more is ended. A situation that holds without being fresh is too uncertain to raise and to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from psycopg.rows import dict_row

from storage import signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    Connection = psycopg.AsyncConnection[Any]

MOST_AT_ONCE = 1000
"""New alarms of one kind and one look: the rest comes with the next one."""
OURSELVES_FROM = 20
"""So many terminals that fall silent while fewer still speak are an outage of ours, not of theirs."""
LOCK_KEY = 808_004

FAR_M = 5000
TOGETHER_S = 600
TRANSPORT_M_S = 28  # 100 km/h: a low loader on a motorway
SLACK_M = 200
LIVE = "5 minutes"
CANCELLED_QUIET = "1 day"

_GOOD = "(l.quality & ~128) = 0"
_SITTING = "upper_inf(b.during) AND lower(b.during) <= now()"
_SILENT = f"""
    SELECT DISTINCT ON (p.device) p.device::text AS subject, p.machine, p.device, m.district, l.lon, l.lat,
        l.received AS at, l.received, greatest(l.received, at_us(%(listening)s)) < now() - make_interval(mins => %(silent)s) AS fresh,
        jsonb_build_object('last_seen', iso8601(l.received), 'verdict', p.verdict) AS detail
    FROM presence p
    JOIN terminal_last l ON l.terminal = p.device
    JOIN terminal t ON t.device = p.device AND t.state = 'registered'
    JOIN binding b ON b.device = p.device AND b.machine = p.machine AND {_SITTING}
    JOIN machine m ON m.id = p.machine AND m.status = 'in_use'
    WHERE p.ended_at IS NULL AND (p.verdict <> 'allowed' OR %(allowed)s)
        AND l.received < now() - make_interval(mins => %(silent)s)
        AND EXISTS (SELECT FROM zone_version z WHERE z.zone = p.zone AND z.published_at IS NOT NULL
                    AND z.valid_from <= now() AND (z.valid_to IS NULL OR z.valid_to > now()))
    ORDER BY p.device, p.verdict = 'allowed'
"""  # noqa: S608 - our own text
_CANCELLED = f"""
    SELECT DISTINCT ON (m.id) m.id::text AS subject, m.id AS machine, b.device, m.district, l.lon, l.lat, l.time AS at,
        l.received, true AS fresh,
        jsonb_build_object('last_seen', iso8601(l.received), 'cancelled_at', iso8601(nullif(v.valid_from, '-infinity'))) AS detail
    FROM machine m
    JOIN binding b ON b.machine = m.id AND {_SITTING}
    JOIN terminal_last l ON l.terminal = b.device AND l.time >= lower(b.during)
    CROSS JOIN LATERAL (SELECT status, valid_from FROM machine_version v WHERE v.machine = m.id AND v.valid_from <= l.time
                        ORDER BY valid_from DESC LIMIT 1) v
    WHERE m.status = 'cancelled' AND v.status = 'cancelled' AND {_GOOD} AND l.received - l.time <= interval '{LIVE}'
        AND l.received > now() - interval '{CANCELLED_QUIET}'
    ORDER BY m.id, l.time DESC
"""  # noqa: S608
_TWO_PLACES = f"""
    WITH pair AS (
        SELECT b.machine, b.device AS one, o.device AS other FROM binding b
        JOIN binding o ON o.machine = b.machine AND o.device > b.device
            AND upper_inf(o.during) AND lower(o.during) <= now()
        WHERE {_SITTING}
    ),
    apart AS (
        SELECT pair.machine, l.*, CASE WHEN l.terminal = one THEN other ELSE one END AS other_device,
            abs(extract(epoch FROM x.time - y.time)) AS apart_s,
            111320 * sqrt(((x.lat - y.lat) / 1e6) ^ 2 + ((x.lon - y.lon) / 1e6 * cos(radians(x.lat / 1e6))) ^ 2) AS apart_m,
            (x.quality & ~128) = 0 AND (y.quality & ~128) = 0 AND greatest(x.received - x.time, y.received - y.time) <= interval '{LIVE}'
                AND greatest(x.received, y.received) > now() - interval '{TOGETHER_S} seconds' AS live
        FROM pair JOIN terminal_last x ON x.terminal = one JOIN terminal_last y ON y.terminal = other
        JOIN terminal_last l ON l.terminal = CASE WHEN x.time >= y.time THEN one ELSE other END
    )
    SELECT DISTINCT ON (a.machine) a.machine::text AS subject, a.machine, a.terminal AS device, m.district, a.lon, a.lat,
        a.time AS at, a.received, live AND apart_s <= {TOGETHER_S} AND apart_m > {FAR_M}
            AND apart_m > {SLACK_M} + {TRANSPORT_M_S} * apart_s AS fresh,
        jsonb_build_object('other_terminal', t.phone, 'distance_m', round(apart_m), 'apart_s', round(apart_s)) AS detail
    FROM apart a JOIN machine m ON m.id = a.machine JOIN terminal t ON t.device = a.other_device
    WHERE apart_s > {TOGETHER_S} OR apart_m > {FAR_M}
    ORDER BY a.machine, fresh DESC, a.terminal
"""  # noqa: S608
_IDENTITY = f"""
    SELECT t.device::text AS subject, m.id AS machine, t.device, m.district, l.lon, l.lat, now() AS at,
        coalesce(l.received, now()) AS received, true AS fresh,
        jsonb_build_object('last_seen', iso8601(l.received), 'quarantined_until', iso8601(t.quarantined_until)) AS detail
    FROM terminal t
    LEFT JOIN terminal_last l ON l.terminal = t.device
    LEFT JOIN binding b ON b.device = t.device AND {_SITTING}
    LEFT JOIN machine m ON m.id = b.machine
    WHERE t.quarantined_until > now()
"""  # noqa: S608

# Who is inside a zone is that zone's district's; the machine's own has a copy. presence_open is the zone's, hence LATERAL.
_NEW = """
    WITH situation AS ({situation}),
    fresh AS (
        SELECT s.* FROM situation s
        WHERE s.fresh AND NOT EXISTS (SELECT FROM alarm a WHERE a.kind = %(kind)s AND a.kind <> 'zone_entry'
                                      AND a.subject = s.subject AND a.exited_at IS NULL)
        ORDER BY s.at LIMIT %(most)s
    )
    SELECT %(kind)s AS kind, s.subject, coalesce(z.district, s.district, '') AS district,
        CASE WHEN z.district <> s.district THEN s.district END AS copied_to, s.machine, s.device, z.zone, z.zone_version,
        s.lon, s.lat, us_of(s.at) AS at, us_of(now()) AS confirmed_at, us_of(s.received) AS received,
        us_of(now()) AS paged_at, 'prompt' AS page_reason, false AS late, s.detail
    FROM fresh s LEFT JOIN LATERAL (
        SELECT p.zone, p.zone_version, v.district FROM presence p
        JOIN zone_version v ON v.zone = p.zone AND v.version = p.zone_version
        WHERE p.device = s.device AND p.ended_at IS NULL
        ORDER BY coalesce(p.verdict, 'allowed') = 'allowed', v.tier <> 'core', p.zone LIMIT 1
    ) z ON true
"""
_OVER = """
    WITH situation AS ({situation})
    UPDATE alarm a SET exited_at = greatest(now(), a.entered_at), exit_reason = %(reason)s
    WHERE a.kind = %(kind)s AND a.kind <> 'zone_entry' AND a.exited_at IS NULL
        AND NOT EXISTS (SELECT FROM situation s WHERE s.subject = a.subject)
    RETURNING a.id
"""
_HEARD = "SELECT count(*) FROM terminal_last WHERE received >= now() - make_interval(mins => %(silent)s)"


@dataclass(frozen=True, slots=True)
class _Kind:
    situation: str
    reason: str
    """Why one ends."""


KINDS: Mapping[str, _Kind] = {
    "silent": _Kind(_SILENT, "reported"),
    "cancelled": _Kind(_CANCELLED, "resolved"),
    "two_places": _Kind(_TWO_PLACES, "resolved"),
    "identity": _Kind(_IDENTITY, "resolved"),
}
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """silent_minutes: without a position; silent_allowed: of machines that the zone allows, too.

    listening: since when (us UTC) reports have been taken in without a break: an outage of ours is nobody's silence.
    """

    silent_minutes: int
    silent_allowed: bool
    listening: int


async def look(conn: Connection, kind: str, how: Look) -> list[int]:
    """Raises and ends the alarms of one kind; their ids. One transaction; of several workers at a time one does it."""
    values = {
        "kind": kind, "reason": KINDS[kind].reason, "most": MOST_AT_ONCE, "silent": how.silent_minutes,
        "allowed": how.silent_allowed, "listening": how.listening,
    }  # fmt: skip
    situation = KINDS[kind].situation
    async with conn.transaction():
        if not await _value(conn, "SELECT pg_try_advisory_xact_lock(%(key)s)", {"key": LOCK_KEY}):
            return []
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_NEW.format(situation=situation), values)
            found = await cursor.fetchall()
        if kind == "silent" and len(found) >= OURSELVES_FROM and await _value(conn, _HEARD, values) < len(found):
            log.warning("nobody is heard: the silence is ours", terminals=len(found))
            found = []
        over = await (await conn.execute(_OVER.format(situation=situation), values)).fetchall()
        changed = sorted({*await signals.raise_all(conn, found), *(row[0] for row in over)})
        if changed:
            await conn.execute("SELECT emit_alarms(%s::bigint[])", [changed])
    return changed


async def _value(conn: Connection, statement: str, values: Mapping[str, Any]) -> Any:
    row = await (await conn.execute(statement, values)).fetchone()
    assert row is not None  # noqa: S101 - one value
    return row[0]
