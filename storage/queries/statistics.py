"""Statistics by day, from the daily roll-up and from visits: the same on both servers, and there when tracks are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# A terminal is its machine's district's on the days on which it sat on the machine, the machine's today's.
_DAYS = """
    WITH RECURSIVE district_and_below (code) AS (
        SELECT code FROM district WHERE code = ANY(%(districts)s::text[])
        UNION SELECT d.code FROM district d JOIN district_and_below above ON d.parent = above.code
    ), reported AS (
        SELECT day, count(*) FILTER (WHERE reports > 0) AS terminals, sum(reports)::bigint AS reports,
            sum(quarantined)::bigint AS quarantined, sum(moving_s)::bigint AS moving_s
        FROM terminal_day d
        WHERE day BETWEEN %(first)s AND %(last)s AND (%(districts)s::text[] IS NULL OR EXISTS (
            SELECT FROM binding b JOIN machine m ON m.id = b.machine JOIN district_and_below w ON w.code = m.district
            WHERE b.device = d.terminal AND b.during && tstzrange(
                d.day::timestamp AT TIME ZONE 'Asia/Shanghai', (d.day + 1)::timestamp AT TIME ZONE 'Asia/Shanghai')))
        GROUP BY day
    ), visited AS (
        SELECT (v.entered_at AT TIME ZONE 'Asia/Shanghai')::date AS day, count(*) AS visits,
            count(*) FILTER (WHERE v.alarming) AS alarming, count(DISTINCT v.machine) AS machines
        FROM visit v
        WHERE v.merged_into IS NULL AND v.withdrawn_at IS NULL
            AND v.entered_at >= %(first)s::timestamp AT TIME ZONE 'Asia/Shanghai'
            AND v.entered_at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'Asia/Shanghai'
            AND (%(districts)s::text[] IS NULL OR v.district IN (SELECT code FROM district_and_below))
        GROUP BY 1
    )
    SELECT each::date AS day, each::date <= s.through AS complete, coalesce(r.terminals, 0) AS terminals,
        coalesce(r.reports, 0) AS reports, coalesce(r.quarantined, 0) AS quarantined, coalesce(r.moving_s, 0) AS moving_s,
        coalesce(v.visits, 0) AS visits, coalesce(v.alarming, 0) AS alarming_visits, coalesce(v.machines, 0) AS visiting_machines
    FROM terminal_day_state s CROSS JOIN generate_series(%(first)s::timestamp, %(last)s::timestamp, '1 day') AS each
    LEFT JOIN reported r ON r.day = each::date LEFT JOIN visited v ON v.day = each::date
    ORDER BY each
"""


async def days(
    connection: AsyncConnection[DictRow], first: date, last: date, districts: Collection[str] | None
) -> list[dict[str, Any]]:
    """One row for each day (Asia/Shanghai), both included; of these districts and what lies below them, None: of the city."""
    values = {"first": first, "last": last, "districts": None if districts is None else sorted(districts)}
    return await (await connection.execute(_DAYS, values)).fetchall()
