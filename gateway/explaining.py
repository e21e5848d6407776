"""Explaining an alarm: its inputs read from where they are kept, its visit made again, and what comes of it.

The verdict's inputs are the copied fixes and what zones, machines, bindings and exemptions said; of what was recorded as
the result nothing is used but when a presence began, since only the record says at which fix a worker had learnt of an
edit (an edit may date back, and counts for what comes after it).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from psycopg.rows import dict_row

from gateway.worker.rules import renewed
from geofence.explain import (
    ConfirmingFix,
    Difference,
    Phase,
    confirming,
    counterpart,
    differences,
    presences_of,
    visits_of,
)
from storage import evidence
from storage.knowledge import Knowledge, knowledge
from storage.ruleset import Changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import psycopg

    from columns.positions import Positions
    from geofence.ruleset import Ruleset
    from geofence.visits import Visit
    from geofence.zones import Zone

    Connection = psycopg.AsyncConnection[Any]
    Row = dict[str, Any]

# An edit or two while a machine is in a zone; more of them, each of which concerns it, are not looked for.
_MOST_PHASES = 4
_MOST_TRIES = 200
_MARGIN = 0.02  # degrees: more than the widest halo, 1000 m, at any latitude of ours
_ALARM = """
    SELECT a.id, a.kind, a.visit, a.merged_into, us_of(a.withdrawn_at) AS withdrawn_at, a.state, a.district, a.notice,
        us_of(a.paged_at) AS paged_at, a.page_reason, us_of(a.created_at) AS created_at, t.phone
    FROM alarm a LEFT JOIN terminal t USING (device) WHERE a.id = %s
"""
# The visit that has its time now: late data may have moved it, or joined it to another.
_VISIT = """
    WITH RECURSIVE chain AS (
        SELECT id, merged_into, 0 AS step FROM visit WHERE id = %s
        UNION ALL SELECT v.id, v.merged_into, step + 1 FROM chain JOIN visit v ON v.id = chain.merged_into
    )
    SELECT v.id, v.machine, v.alarming, v.device, v.zone, v.zone_version, v.district, v.copied_to, v.verdict, v.rule,
        v.machine_snapshot AS snapshot, v.cause, us_of(v.entered_at) AS entered_at, us_of(v.confirmed_at) AS confirmed_at,
        us_of(v.last_inside_at) AS last_inside_at, us_of(v.exited_at) AS exited_at, v.exit_reason, v.grade,
        us_of(v.grade_at) AS grade_at, v.grade_speed, v.late, v.lon / 1e6::float8 AS lon, v.lat / 1e6::float8 AS lat,
        us_of(v.received_at) AS received, v.epoch, us_of(v.made_at) AS made_at, us_of(v.changed_at) AS changed_at,
        v.withdrawn_at IS NOT NULL AS withdrawn, e.first_epoch, us_of(e.copied_at) AS copied_at
    FROM visit v LEFT JOIN evidence e ON e.visit = v.id
    WHERE v.id = (SELECT id FROM chain ORDER BY step DESC LIMIT 1)
"""
_BEGINNINGS = """
    SELECT us_of(p.began_at) AS at, p.epoch FROM evidence_span s JOIN presence p ON p.device = s.terminal
        AND p.began_at BETWEEN s.since AND s.until
    WHERE s.visit = %s ORDER BY 1
"""


class NoEvidenceError(Exception):
    """What the verdict was made from is not there; the message says why, in two languages."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """alarm, visit: as recorded; fixes: the evidence; phases: with which it comes out as recorded, or the last ones;
    found: the visit as it was made again, None where the fixes come to none; differs: against the record; today,
    differs_today: the same with what is known now.
    """

    alarm: Row
    visit: Row
    fixes: Positions
    known: Knowledge
    phases: tuple[tuple[int, int | None], ...]
    rules: tuple[Phase, ...]
    found: Visit | None
    differs: list[Difference]
    today: Visit | None
    differs_today: list[Difference]

    @property
    def agrees(self) -> bool:
        return not self.differs

    @cached_property
    def zone(self) -> Zone | None:
        """The version that leads the visit."""
        if self.found is None:
            return None
        zones = (zone for phase in self.rules for zone in phase.rules.fence.zones)
        wanted = self.found.zone, self.found.zone_version
        return next(zone for zone in zones if (zone.id, zone.version) == wanted)

    @cached_property
    def confirmed_by(self) -> list[ConfirmingFix]:
        if self.found is None or self.zone is None:
            return []
        return confirming(self.zone, self.found, presences_of(self.rules, self.fixes), self.fixes)

    @cached_property
    def machine_version(self) -> Row | None:
        """What the registry said of the machine at the visit's beginning, and on whose word."""
        if self.found is None:
            return None
        epoch = self.phases[-1][0]
        rows = [row for row in _at(self.known.machines, epoch) if row["id"] == self.found.machine]
        rows = [row for row in rows if row["since"] is None or row["since"] <= self.found.entered_at]
        return max(rows, key=lambda row: (row["since"] is not None, row["since"] or 0), default=None)

    @cached_property
    def learnt_since(self) -> list[tuple[str, Row]]:
        """(relation, row) of what was recorded after the visit was last judged and counts for its time."""
        until = self.visit["exited_at"] or int(self.fixes.time.max())
        new = []
        relations = {"machine": self.known.machines, "binding": self.known.bindings, "exemption": self.known.exemptions,
                     "zone": self.known.zones}  # fmt: skip
        for relation, rows in relations.items():
            for row in rows:
                since = row["valid_from"] if relation == "zone" else row["since"]
                if row["ended"] is None and row["changed"] > self.visit["epoch"] and (since is None or since <= until):
                    new.append((relation, row))
        return new


async def explain(conn: Connection, alarm: int) -> Explanation | None:
    """Makes the alarm's visit again; None: there is no such alarm. conn: in autocommit mode, as the owner.

    Raises NoEvidenceError where there is nothing to make it from.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        found = await (await cursor.execute(_ALARM, [alarm])).fetchone()
        if found is None:
            return None
        if found["visit"] is None:
            raise NoEvidenceError(
                f"alarm {alarm} is of the kind {found['kind']}: it has no visit to explain"
                f" | 报警 {alarm} 的类型为 {found['kind']}，没有可复算的进区记录"
            )
        visit = await (await cursor.execute(_VISIT, [found["visit"]])).fetchone()
        assert visit is not None  # noqa: S101 - a foreign key
        await evidence.copy(conn, visit["id"])  # what has come since a worker last looked, where it is still there
        async with conn.transaction():
            await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            visit = await (await cursor.execute(_VISIT, [found["visit"]])).fetchone()
            assert visit is not None  # noqa: S101
            beginnings = await (await cursor.execute(_BEGINNINGS, [visit["id"]])).fetchall()
            fixes = await evidence.fixes(conn, visit["id"])
            known = await knowledge(conn, np.unique(fixes.device).tolist())
    if visit["first_epoch"] is None or not fixes.good.any():
        raise NoEvidenceError(
            f"no fixes are kept of visit {visit['id']}: its evidence was dropped, or is older than evidence is kept for"
            f" | 进区记录 {visit['id']} 的定位证据未留存：已按保存期限清除，或早于证据留存功能"
        )
    return _explained(found, visit, fixes, known, beginnings)


def _explained(alarm: Row, visit: Row, fixes: Positions, known: Knowledge, beginnings: list[Row]) -> Explanation:
    known = _concerned(known, fixes)
    rulesets: dict[int, Ruleset] = {}

    def rules_at(epoch: int) -> Ruleset:
        if epoch not in rulesets:
            rulesets[epoch] = _ruleset(known, epoch)
        return rulesets[epoch]

    def made(plan: tuple[tuple[int, int | None], ...]) -> tuple[tuple[Phase, ...], Visit | None, list[Difference]]:
        phases = tuple(Phase(rules_at(epoch), since) for epoch, since in plan)
        found = counterpart(visits_of(phases, fixes, visit["machine"]), visit)
        return phases, found, differences(found, visit)

    plan: tuple[tuple[int, int | None], ...] = ((visit["epoch"], None),)
    phases, found, differs = made(plan)
    if differs:
        for _, other in zip(range(_MOST_TRIES), _plans(visit, known, beginnings), strict=False):
            tried = made(other)
            if not tried[2]:
                plan, (phases, found, differs) = other, tried
                break
    _, today, differs_today = made(((known.epoch, None),))
    return Explanation(alarm, visit, fixes, known, plan, phases, found, differs, today, differs_today)


def _plans(visit: Row, known: Knowledge, beginnings: list[Row]) -> Iterator[tuple[tuple[int, int | None], ...]]:
    """Ways in which what was known may have changed meanwhile: at which presences, from which epochs to which.

    What comes before and after the visit counts too: whether it is one with a neighbour depends on that.
    """
    rows = (*known.zones, *known.bindings, *known.machines, *known.exemptions)
    marks = sorted({mark for row in rows for mark in (row["changed"], row["ended"]) if mark is not None})
    written = [visit["first_epoch"], visit["epoch"], *(row["epoch"] for row in beginnings)]
    first, last = bisect_right(marks, min(written)), bisect_right(marks, max(written))
    epochs = marks[max(first - 1, 0) : last]
    edges = sorted({row["at"] for row in beginnings})[1:]
    for changes in range(min(len(epochs), len(edges) + 1, _MOST_PHASES)):
        for chosen in combinations(epochs, changes + 1):
            for places in combinations(edges, changes):
                yield tuple(zip(chosen, (None, *places), strict=True))


def _concerned(known: Knowledge, fixes: Positions) -> Knowledge:
    """Without the zones and exemptions of a city that have no part in this."""
    names = {("machine", row["id"]) for row in known.machines}
    names |= {(kind, row[kind]) for row in known.machines for kind in ("owner", "project", "purpose")}
    exemptions = [row for row in known.exemptions if (row["kind"], row["value"]) in names]
    return replace(known, zones=_near(known.zones, fixes), exemptions=exemptions)


def _near(zones: list[Row], fixes: Positions) -> list[Row]:
    """The zones that any good fix may be in or near: a city's other zones have no part in this."""
    good = fixes.take(np.flatnonzero(fixes.good))
    west, east = float(good.lon.min()) - _MARGIN, float(good.lon.max()) + _MARGIN
    south, north = float(good.lat.min()) - _MARGIN, float(good.lat.max()) + _MARGIN
    view = shapely.box(west, south, east, north)
    return [row for row in zones if view.intersects(shapely.box(*shapely.geometry.shape(row["geometry"]).bounds))]


def _at(rows: Iterable[Row], epoch: int) -> list[Row]:
    return [row for row in rows if row["changed"] <= epoch and (row["ended"] is None or epoch < row["ended"])]


_NOT_THE_RULES: Mapping[str, frozenset[str]] = {
    "zones": frozenset({"changed", "ended", "author", "reviewed_by", "published_at"}),
    "bindings": frozenset({"changed", "ended"}),
    "machines": frozenset({"changed", "ended", "source", "recorded_by", "recorded_at", "sets"}),
    "exemptions": frozenset({"changed", "ended", "created_at", "created_by", "revoked_by"}),
}


def _ruleset(known: Knowledge, epoch: int) -> Ruleset:
    """What a worker would have read at this epoch."""
    rows = {
        name: [{key: value for key, value in row.items() if key not in left_out} for row in _at(getattr(known, name), epoch)]
        for name, left_out in _NOT_THE_RULES.items()
    }  # fmt: skip
    rows["zones"] = [row for row in rows["zones"] if row["counts"]]
    ruleset, _ = renewed(None, {}, Changes(epoch, whole=True, devices=[], **rows))
    return ruleset
