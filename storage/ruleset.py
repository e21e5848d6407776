"""Rules and machines, as a worker reads them: all at first, and after that what has changed since.

Every row that a verdict is made from is marked with the epoch that changed it (0008_machine_version.sql), so an edit of
one zone reads one row. Times are int64 us since 1970 UTC, None is open. Errors are psycopg's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]
    Rows = list[dict[str, Any]]

KEPT_DAYS = 31
"""How long ago a zone's version, a binding or an exemption may have ended and still be handed out: fixes come up to 30
days late, and a day is the worker's own."""

_ROWS_AT_ONCE = 1000  # some ms of work: a city's machines are read without holding up the loop


@dataclass(frozen=True, slots=True)
class Changes:
    """What is another than it was at ``since``; or everything.

    epoch       of the snapshot that all of this is from
    whole       everything: what is not here is not there
    zones       published versions: zone, version, name, district, tier, geometry (GeoJSON, WGS-84; None: as it was at
                ``since``, or it does not count), rules, guard_m, halo_m, unknown_policy, merge_s, lost_s, lost_merge_s,
                slow_terminals, valid_from, valid_to; counts (False: it never was in force, or ended long ago)
    devices     whose bindings changed
    bindings    of these devices, all of them: device, machine, phone, since, until
    machines    of every machine of which a version changed, all versions: id, registration_number, machine_type,
                registration_type, emission_stage, power_kw, energy, smoke_class, owner, project, purpose, district,
                status, since
    exemptions  id, kind, value (of a machine its id), zone (None: all), since, until, approver, reason, doc_no; one that
                was revoked before it began has until <= since
    """

    epoch: int
    whole: bool
    zones: Rows
    devices: list[int]
    bindings: Rows
    machines: Rows
    exemptions: Rows


def _us(moment: str) -> str:
    return f"CASE WHEN isfinite({moment}) THEN (extract(epoch FROM {moment}) * 1000000)::bigint END"


# In each, since is -1 for everything: every mark is above it.
_ZONES = f"""
    SELECT zone, version, name, district, tier, CASE WHEN counts AND drawn > %(since)s THEN geometry END AS geometry,
        rules, guard_m, halo_m, unknown_policy, merge_s, lost_s, lost_merge_s, slow_terminals,
        {_us("valid_from")} AS valid_from, {_us("valid_to")} AS valid_to, counts
    FROM (
        SELECT *, CASE WHEN valid_to IS NULL THEN state <> 'retired'
            ELSE valid_to > valid_from AND valid_to > now() - interval '{KEPT_DAYS} days' END AS counts
        FROM zone_version WHERE published_at IS NOT NULL AND changed > %(since)s
    ) AS published
    WHERE counts OR %(since)s >= 0
    ORDER BY zone, version
"""  # noqa: S608 - our own constants
_DEVICES = "SELECT DISTINCT device FROM binding WHERE changed > %(since)s"
_BINDINGS = f"""
    SELECT b.device, b.machine, t.phone, {_us("lower(b.during)")} AS since, {_us("upper(b.during)")} AS until
    FROM binding b JOIN terminal t USING (device)
    WHERE b.device IN ({_DEVICES}) AND NOT isempty(b.during)
        AND (upper_inf(b.during) OR upper(b.during) > now() - interval '{KEPT_DAYS} days')
    ORDER BY b.device, lower(b.during) NULLS FIRST
"""  # noqa: S608
_MACHINES = f"""
    SELECT machine AS id, registration_number, machine_type, registration_type, emission_stage, power_kw, energy,
        smoke_class, owner_name AS owner, project, purpose, district, status, {_us("valid_from")} AS since
    FROM machine_version
    WHERE machine IN (SELECT machine FROM machine_version WHERE changed > %(since)s)
    ORDER BY machine, valid_from
"""  # noqa: S608
_EXEMPTIONS = f"""
    SELECT id, kind, coalesce(to_jsonb(machine), to_jsonb(coalesce(owner, project, purpose))) AS value, zone,
        {_us("lower(during)")} AS since, {_us("least(upper(during), revoked_at)")} AS until, approver, reason, doc_no
    FROM exemption
    WHERE changed > %(since)s
        AND (%(since)s >= 0 OR coalesce(least(upper(during), revoked_at), 'infinity') > now() - interval '{KEPT_DAYS} days')
    ORDER BY id
"""  # noqa: S608


async def epoch(conn: Connection) -> int:
    """The epoch that the rules are at."""
    row = await (await conn.execute("SELECT epoch FROM ruleset")).fetchone()
    assert row is not None  # noqa: S101 - made with the table
    return int(row[0])


async def ruleset(conn: Connection, since: int = 0) -> Changes:
    """What changed after epoch ``since`` (0: everything), of one snapshot: an edit in between shows in all of it or in none.

    Everything also where that cannot be told: something was deleted, or the database is younger than ``since``. ``conn``
    is in autocommit mode.
    """
    async with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        at = await (await cursor.execute("SELECT epoch, whole_from FROM ruleset")).fetchone()
        assert at is not None  # noqa: S101 - made with the table
        whole = not at["whole_from"] <= since <= at["epoch"] or since == 0
        after = {"since": -1 if whole else since}

        async def rows(query: str) -> Rows:
            await cursor.execute(query, after)
            found: Rows = []
            while some := await cursor.fetchmany(_ROWS_AT_ONCE):
                found += some
                await asyncio.sleep(0)
            return found

        return Changes(
            at["epoch"], whole, await rows(_ZONES), [row["device"] for row in await rows(_DEVICES)],
            await rows(_BINDINGS), await rows(_MACHINES), await rows(_EXEMPTIONS),
        )  # fmt: skip


async def settle_machines(conn: Connection) -> int:
    """Makes `machine` say what is so by now, where the date of a change has come; how many said something else.

    For those who list machines without their versions: verdicts and the registry's own pages do not wait for it.
    """
    row = await (await conn.execute("SELECT settle_machines()")).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return int(row[0])
