"""A worker and its database in memory: the real decisions, and lists in place of the tables.

The steps are those of gateway/worker/partition.py and storage/visits.py; late rows go through the real rejudge_late,
whose three queries are answered from the lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from columns.positions import Positions, concatenate
from gateway.worker import rejudging
from gateway.worker.visiting import presence_of, presence_row, visit_changes
from geofence.presence import State, decide
from geofence.presences import CandidateSeen, Page, Presence
from geofence.retracing import retrace
from storage.visits import _connected, _touches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geofence.ruleset import Ruleset
    from storage.work import VisitChanges

MONTH = 31 * 86_400 * 1_000_000


@dataclass
class Alarm:
    visit: str
    paged: int | None = None
    reason: str | None = None
    merged_into: int | None = None
    withdrawn: bool = False


@dataclass
class Database:
    """Presences by key, visits by id, alarms by number, and every report of a terminal."""

    fixes: dict[int, list[Positions]] = field(default_factory=dict)
    presences: dict[tuple[int, int, int], Presence] = field(default_factory=dict)
    visits: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: dict[int, Alarm] = field(default_factory=dict)
    page: int = 3
    corrected: set[int] = field(default_factory=set)
    """Machines of which late data split, joined or removed visits that were there: a page is not moved with them."""

    def store(self, rows: Positions) -> None:
        for device in np.unique(rows.device).tolist():
            self.fixes.setdefault(device, []).append(rows.take(np.flatnonzero(rows.device == device)))

    def history(self, device: int) -> Positions:
        rows = concatenate(self.fixes.get(device, []))
        return rows.take(np.lexsort((rows.fingerprint, rows.time)))

    async def fixes_before(self, device: int, at: int, most: int) -> Positions:
        rows = self.history(device)
        return rows.take(np.flatnonzero(rows.time < at)[-most:])

    async def fixes_from(self, device: int, at: int, most: int) -> Positions:
        rows = self.history(device)
        return rows.take(np.flatnonzero(rows.time >= at)[:most])

    async def presences_of(self, device: int, since: int) -> list[dict[str, Any]]:
        found = [p for p in self.presences.values() if p.device == device]
        found = [p for p in found if p.ended_at is None or p.ended_at >= since]
        return [presence_row(p) for p in sorted(found, key=lambda p: (p.began_at, p.zone))]

    def rejudge(self, rules: Ruleset, device: int, arrivals: Positions) -> Any:
        store = SimpleNamespace(fixes_before=self.fixes_before, fixes_from=self.fixes_from, presences=self.presences_of)
        with mock.patch.object(rejudging, "FIRST_PAGE", self.page):
            judging = rejudging.rejudge_late(store, rules, device, arrivals)  # type: ignore[arg-type]
            try:
                judging.send(None)
            except StopIteration as done:
                return done.value
        raise AssertionError("nothing here waits")

    # ---- storage/visits.py -------------------------------------------------------------------------------------

    def write(
        self, changed: Iterable[Presence], before: Iterable[Presence], gone: list[Presence], pages: list[Page],
        rules: Ruleset,
    ) -> None:  # fmt: skip
        changes = visit_changes(changed, before, gone, pages, rules, 0)
        if changes is not None:
            self.write_changes(changes, rules)

    def write_changes(self, changes: VisitChanges, rules: Ruleset) -> None:
        for key in changes.gone:
            del self.presences[key]
        for row in changes.presences:
            presence = presence_of(row)
            self.presences[presence.key] = presence
        if changes.spans:
            self._revise(changes, rules)
        for page in sorted(changes.pages, key=lambda page: (page["received"], page["at"])):
            self._page(page)

    def _revise(self, changes: Any, rules: Ruleset) -> None:
        live = [row for row in self.visits.values() if row["merged_into"] is None and not row["withdrawn"]]
        visits, presences = [], []
        for machine, (since, until) in changes.spans.items():
            own = [row for row in live if row["machine"] == machine and row["entered_at"] <= until + MONTH]
            own = [row for row in own if row["exited_at"] is None or row["exited_at"] >= since - MONTH]
            times = [(row["entered_at"], row["exited_at"]) for row in own]
            span = _connected((since, until), times, changes.merge)
            visits += [row for row, each in zip(own, times, strict=True) if _touches(span, each, 0)]
            presences += [
                self._with_zone(p, rules) for p in self.presences.values()
                if p.machine == machine and p.reported and p.began_at <= span[1]
                and (p.ended_at is None or p.ended_at >= span[0])
            ]  # fmt: skip
        self._take(changes.form(presences, visits))
        self._check()

    def _with_zone(self, presence: Presence, rules: Ruleset) -> dict[str, Any]:
        zone = next(z for z in rules.fence.zones if (z.id, z.version) == (presence.zone, presence.zone_version))
        facts = {name: getattr(zone, name) for name in ("tier", "district", "merge_s", "lost_merge_s")}
        return {**presence_row(presence), **facts}

    def _note_corrections(self, revised: Any) -> None:
        gone = {*revised.merged, *revised.withdrawn}
        self.corrected |= {self.visits[visit]["machine"] for visit in gone}
        for row in revised.visits:
            others = [each for each in self.live_visits() if each["machine"] == row["machine"]]
            within = any(
                each["entered_at"] <= row["entered_at"]
                and (each["exited_at"] is None or row["entered_at"] < each["exited_at"])
                for each in others
            )
            if row["id"] not in self.visits and within:
                self.corrected.add(row["machine"])

    def _take(self, revised: Any) -> None:
        self._note_corrections(revised)
        for row in revised.visits:
            old = self.visits.get(row["id"], {})
            began = {"entered_at": old["entered_at"]} if old else {}
            assert not began or began["entered_at"] == row["entered_at"]
            self.visits[row["id"]] = {**old, **row, "merged_into": None, "withdrawn": False}
        for old, new in revised.merged.items():
            self.visits[old]["merged_into"] = new
        for visit in revised.withdrawn:
            self.visits[visit]["withdrawn"] = True
        for old, new in revised.merged_alarms.items():
            self.alarms[old].merged_into = new
        self._inherit_pages(revised.merged_alarms)
        for alarm in revised.withdrawn_alarms:
            self.alarms[alarm].withdrawn = True
        for row in revised.visits:
            if row["alarm"] is not None:
                self._move(self.alarms[row["alarm"]], row["id"])
        for row in revised.visits:
            if row["alarming"] and row["alarm"] is None:
                known = next((n for n, alarm in self.alarms.items() if alarm.visit == row["id"]), None)
                if known is None:
                    known = len(self.alarms) + 1
                    self.alarms[known] = Alarm(row["id"])
                self.alarms[known].merged_into, self.alarms[known].withdrawn = None, False
        of = {alarm.visit: number for number, alarm in self.alarms.items()}
        for row in self.visits.values():
            row["alarm"] = of.get(row["id"])

    def _inherit_pages(self, merged: dict[int, int]) -> None:
        for heir in set(merged.values()):
            others = [self.alarms[old] for old, new in sorted(merged.items()) if new == heir]
            told = [alarm for alarm in others if alarm.paged is not None]
            if told and self.alarms[heir].paged is None:
                first = min(told, key=lambda alarm: alarm.paged or 0)
                self.alarms[heir].paged, self.alarms[heir].reason = first.paged, first.reason

    def _move(self, alarm: Alarm, visit: str) -> None:
        """To this visit; an alarm that it had before gets the other's for it."""
        for other in self.alarms.values():
            if other is not alarm and other.visit == visit:
                other.visit = alarm.visit
        alarm.visit, alarm.withdrawn = visit, False

    def _check(self) -> None:
        """The constraints: an alarm has one visit, a visit one alarm, and no two alarming visits of a machine overlap."""
        assert len({alarm.visit for alarm in self.alarms.values()}) == len(self.alarms)
        live = sorted(
            (row["machine"], row["entered_at"], row["exited_at"] or MONTH**2)
            for row in self.live_visits() if row["alarming"]
        )  # fmt: skip
        for (machine, _, exited), (other, entered, _) in pairwise(live):
            assert machine != other or exited <= entered
        for row in self.live_visits():
            assert not row["alarming"] or row["alarm"] is not None
            if row["alarming"]:
                alarm = self.alarms[row["alarm"]]
                assert alarm.merged_into is None
                assert not alarm.withdrawn

    def _page(self, page: Any) -> None:
        for row in self.live_visits():
            here = row["machine"] == page["machine"] and row["alarming"] and row["entered_at"] <= page["at"]
            if here and (row["exited_at"] is None or row["exited_at"] >= page["at"]):
                alarm = self.alarms[row["alarm"]]
                if alarm.paged is None:
                    alarm.paged, alarm.reason = page["received"], page["reason"]

    # ---- what the tests look at --------------------------------------------------------------------------------

    def live_visits(self) -> list[dict[str, Any]]:
        return [row for row in self.visits.values() if row["merged_into"] is None and not row["withdrawn"]]

    def shown(self) -> list[dict[str, Any]]:
        """Visits as they are in the end, without what numbers them and what is not kept up to date."""
        hidden = ("alarm", "merged_into", "withdrawn", "crossed")
        rows = [{name: row[name] for name in row if name not in hidden} for row in self.live_visits()]
        rows = [{**row, "last_inside_at": row["last_inside_at"] if row["exited_at"] else 0} for row in rows]
        return sorted(rows, key=lambda row: row["id"])

    def paged(self) -> dict[str, tuple[int | None, str | None]]:
        """Visit -> (receipt of the fix that paged, why)."""
        found = {row["id"]: self.alarms[row["alarm"]] for row in self.live_visits() if row["alarming"]}
        return {visit: (alarm.paged, alarm.reason) for visit, alarm in found.items()}


class Worker:
    """Takes batches as they come; ``pages`` and ``candidates`` are all that it told, before the database's guard."""

    def __init__(self, rules: Ruleset, database: Database | None = None, *, retraces: bool = True) -> None:
        """retraces: whether trails are used; without, all that is late is judged with its history."""
        self.retraces, self.retraced = retraces, 0
        self.rules, self.database, self.state = rules, database or Database(), State()
        self.pages: list[Page] = []
        self.candidates: list[CandidateSeen] = []
        self.harmless = self.rejudged = 0
        self.tracks: dict[int, Any] = {}

    def take(self, rows: Positions) -> None:
        self.state.adopt(self.rules)
        decision = decide(self.state, self.rules, rows)
        self.harmless += decision.harmless
        changes = list(decision.changes)
        before: list[Presence] = []
        gone: list[Presence] = []
        tracks = self.state.records(decision.delta)
        states = []
        retraced = retrace(self.state, self.rules, rows, decision.late) if self.retraces else {}
        for device in decision.late.tolist():
            own = rows.take(np.flatnonzero(rows.device == device))
            found = retraced.get(device)
            if found is None:
                found = self.database.rejudge(self.rules, device, own)
                self.rejudged += 1
            else:
                self.retraced += 1
            changes += found.changes
            before += found.before
            gone += found.gone
            if found.state is not None:
                states.append(found.state)
                tracks.append(found.state.track_json())
        pages = [change for change in changes if isinstance(change, Page)]
        self.pages += pages
        self.candidates += [change for change in changes if isinstance(change, CandidateSeen)]
        presences = [change for change in changes if isinstance(change, Presence)]
        self.database.write(presences, before, gone, pages, self.rules)
        self.database.store(rows)
        for device, track in tracks:
            self.tracks[device] = track
        self.state.apply(decision.delta)
        for state in states:
            self.state.take_over(state)


def in_batches(rows: Positions, cuts: Iterable[int]) -> list[Positions]:
    """The rows cut at these places, in any order."""
    places = sorted({min(cut, len(rows)) for cut in cuts} | {0, len(rows)})
    return [rows.take(np.arange(a, b)) for a, b in pairwise(places)]
