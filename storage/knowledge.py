"""Knowledge: what zones, machines, bindings and exemptions said at any epoch, of the rows of today and the superseded ones.

Every row has ``changed`` and ``ended``: it was so for whoever decided with an epoch in [changed, ended), ended None: it
still is. Besides these the rows are those of storage.ruleset. Times are int64 us since 1970 UTC, None is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]
    Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Of all zones, of some terminals and their machines, and of all exemptions.

    epoch: of the snapshot that this is from; zones: versions that were ever published, with published_at, reviewed_by,
    author and doc_no; machines: with source, recorded_by, recorded_at (us) and sets, the attributes that this version
    changed; exemptions: with created_at (us), created_by, revoked_by.
    """

    epoch: int
    zones: Rows
    bindings: Rows
    machines: Rows
    exemptions: Rows


def _us(moment: str) -> str:
    return f"CASE WHEN isfinite({moment}) THEN us_of({moment}) END"


# Today's rows, and those of before, as rows of the same table; what is at hand replaces what was left out of the content.
_ZONES = f"""
    SELECT zone, version, name, district, tier, geometry, rules, guard_m, halo_m, unknown_policy, merge_s, lost_s,
        lost_merge_s, slow_terminals, {_us("valid_from")} AS valid_from, {_us("valid_to")} AS valid_to, doc_no, author,
        reviewed_by, {_us("published_at")} AS published_at,
        CASE WHEN valid_to IS NULL THEN state <> 'retired' ELSE valid_to > valid_from END AS counts,
        changed, ended
    FROM (
        SELECT z.*, NULL::bigint AS ended FROM zone_version z
        UNION ALL SELECT p.*, s.ended FROM superseded s
        JOIN zone_version z ON z.zone = s.subject AND z.version = (s.content ->> 'version')::int
        CROSS JOIN LATERAL jsonb_populate_record(z, s.content) p
        WHERE s.relation = 'zone_version'
    ) AS known WHERE published_at IS NOT NULL ORDER BY zone, version
"""  # noqa: S608 - our own column names
_BINDINGS = f"""
    SELECT b.device, b.machine, t.phone, {_us("lower(b.during)")} AS since, {_us("upper(b.during)")} AS until, b.changed,
        b.ended
    FROM (
        SELECT b.*, NULL::bigint AS ended FROM binding b
        UNION ALL SELECT p.*, s.ended FROM superseded s CROSS JOIN LATERAL jsonb_populate_record(NULL::binding, s.content) p
        WHERE s.relation = 'binding'
    ) AS b JOIN terminal t USING (device) WHERE b.device = ANY(%s) AND NOT isempty(b.during)
    ORDER BY b.device, lower(b.during) NULLS FIRST
"""  # noqa: S608
_MACHINES = f"""
    SELECT machine AS id, registration_number, machine_type, registration_type, emission_stage, power_kw, energy,
        smoke_class, owner_name AS owner, project, purpose, district, status, {_us("valid_from")} AS since, source,
        recorded_by, us_of(recorded_at) AS recorded_at, sets, changed, ended
    FROM (
        SELECT v.*, NULL::bigint AS ended FROM machine_version v WHERE machine = ANY(%s)
        UNION ALL SELECT p.*, s.ended FROM superseded s
        CROSS JOIN LATERAL jsonb_populate_record(NULL::machine_version, s.content) p
        WHERE s.relation = 'machine_version' AND s.subject = ANY(%s)
    ) AS known ORDER BY machine, valid_from, changed
"""  # noqa: S608
_EXEMPTIONS = f"""
    SELECT id, kind, coalesce(to_jsonb(machine), to_jsonb(coalesce(owner, project, purpose))) AS value, zone,
        {_us("lower(during)")} AS since, {_us("least(upper(during), revoked_at)")} AS until, approver, reason, doc_no,
        us_of(created_at) AS created_at, created_by, revoked_by, changed, ended
    FROM (
        SELECT e.*, NULL::bigint AS ended FROM exemption e
        UNION ALL SELECT p.*, s.ended FROM superseded s
        CROSS JOIN LATERAL jsonb_populate_record(NULL::exemption, s.content) p WHERE s.relation = 'exemption'
    ) AS known ORDER BY id, changed
"""  # noqa: S608


async def knowledge(conn: Connection, devices: list[int]) -> Knowledge:
    """What was ever known of these terminals; inside a snapshot of the caller's."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        at = await (await cursor.execute("SELECT epoch FROM ruleset")).fetchone()
        assert at is not None  # noqa: S101 - made with the table

        async def rows(query: str, *values: Any) -> Rows:
            return await (await cursor.execute(query, values)).fetchall()

        bindings = await rows(_BINDINGS, devices)
        machines = sorted({row["machine"] for row in bindings})
        return Knowledge(
            at["epoch"],
            await rows(_ZONES),
            bindings,
            await rows(_MACHINES, machines, machines),
            await rows(_EXEMPTIONS),
        )
