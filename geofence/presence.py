"""Deciding: a batch of positions against the rules, whole columns at a time. Pure: the state is read, never changed.

A row costs no Python where its terminal is *settled* (state.py): outside everything for most machines, parked or working
in the same zones for the rest. Only a terminal with a row that is not goes through the scalar machine (walking.py), from
that row on.

Fixes are judged in device-time order; of several in one second, the one with the smallest fingerprint counts. A terminal
with a row that is older than what was judged before (or than a row that arrived before it) is left alone where the row
may change anything, and named: late.py judges it, with its history. Most late rows change nothing, and cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.positions import Source
from geofence.grades import ranks
from geofence.jumps import NEVER, follow, shifted
from geofence.state import COLUMNS, PRIOR, Delta, SnapshotError, State
from geofence.trail import Pace, Passed, Place, trail_of, walk_on
from geofence.walking import Fix, Previous

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.presences import Change
    from geofence.ruleset import Ruleset
    from geofence.trail import Trail
    from geofence.walking import Track

__all__ = ["LATE_US", "Decision", "Delta", "SnapshotError", "State", "decide", "is_late"]

LATE_US = 5 * 60 * 1_000_000
"""Received - device time: an older fix does not page."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a batch means. judged + harmless + not_good + the rows of late terminals are its rows.

    changes: by terminal, in device-time order within each; of a presence that changed more than once, the last counts.
    delta: for ``state.apply`` once this is committed; late: terminals (int64) that were left alone; harmless: late rows,
    or further ones of the same second, that change nothing; not_good: rows that may not be judged; jumped: how many of
    the judged ones confirm nothing.
    """

    changes: tuple[Change, ...]
    delta: Delta
    late: NDArray[np.int64]
    judged: int
    jumped: int
    harmless: int
    not_good: int


def is_late(positions: Positions) -> NDArray[np.bool_]:
    """Which rows do not page by themselves: old at their receipt, or declared backfill."""
    late: NDArray[np.bool_] = positions.received - positions.time > LATE_US
    late |= positions.source == Source.BACKFILL
    return late


@dataclass(slots=True, eq=False)
class _Rows:
    """Rows of the batch by terminal and arrival. group: which of the batch's terminals; row: in the batch."""

    row: NDArray[np.int64]
    group: NDArray[np.int64]
    time: NDArray[np.int64]

    def take(self, index: NDArray[Any]) -> _Rows:
        return _Rows(self.row[index], self.group[index], self.time[index])

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Where a terminal's rows begin."""
        begins = np.ones(len(self.group), bool)
        begins[1:] = self.group[1:] != self.group[:-1]
        return begins


def decide(state: State, rules: Ruleset, positions: Positions, news: NDArray[np.bool_] | None = None) -> Decision:
    """Decides the rows of many terminals of one partition, in any order, each report once.

    news: None where the rows have just come; else which of them have: the others are history that is gone over again, in
    the order of device time whenever it was received, and that pages nobody.
    Raises ValueError where the state has not adopted these rules.
    """
    if state.rules is not rules:
        raise ValueError("the state knows other rules: call state.adopt(rules) first")
    good = np.flatnonzero(positions.good)
    keys = [positions.fingerprint[good], positions.time[good], positions.device[good]]
    if news is None:
        keys.insert(2, positions.received[good])
    order = good[np.lexsort(keys)]
    devices, group = np.unique(positions.device[order], return_inverse=True)
    slots = state.slots_of(devices)
    rows = _Rows(order, group, positions.time[order])
    batch = _Batch(state, rules, positions, slots, rows)
    late, harmless = batch.put_aside_late()
    batch.find_jumps()
    changes, walked = batch.walk(news)
    here = batch.here
    new = devices[here][slots[here] < 0]
    taken = slots[here].copy()
    taken[slots[here] < 0] = len(state) + np.arange(len(new))
    slots[here] = taken
    delta = Delta(
        state.revision, new, taken, {name: values[here] for name, values in batch.columns.items()},
        {int(taken[np.searchsorted(here, k)]): after for k, after in walked.items()}, slots[batch.passed_over],
    )  # fmt: skip
    return Decision(
        tuple(changes), delta, devices[late], len(batch.rows.row), int(batch.jumped.sum()), harmless,
        len(positions) - len(good),
    )  # fmt: skip


class _Batch:
    """The good rows of a batch, and the columns that their terminals will have."""

    def __init__(self, state: State, rules: Ruleset, positions: Positions, slots: NDArray[np.int64], rows: _Rows):
        self.state, self.rules, self.positions, self.slots, self.rows = state, rules, positions, slots, rows
        self.columns = {name: state.column(name, slots) for name in COLUMNS}
        lon, lat = positions.lon[rows.row], positions.lat[rows.row]
        self.sets = rules.fence.locate(lon, lat)
        self.grades = ranks(positions.status[rows.row], positions.speed[rows.row])
        self.here = np.empty(0, np.int64)
        self.jumped = np.empty(0, bool)
        self.gap = np.empty(0, np.int64)
        self.passed_over = np.zeros(len(slots), bool)
        """Terminals (groups) of which late rows were passed over."""

    def put_aside_late(self) -> tuple[NDArray[np.int64], int]:
        """Terminals (groups) whose rows go back in time: those that may change something, and how many rows can't.

        Afterwards the rows ascend in time, terminal by terminal.
        """
        if not self._back().any():
            return np.empty(0, np.int64), 0
        idle = self._drop_further_of_a_second()
        rows, c, back = self.rows, self.columns, self._back()
        disordered = np.zeros(len(self.slots), bool)
        disordered[rows.group[back]] = True
        suspect = np.flatnonzero(disordered[rows.group])
        g = rows.group[suspect]
        loud = np.zeros(len(self.slots), bool)
        loud[g[~self._quiet(suspect)]] = True
        self.passed_over = disordered & ~loud
        # Of a quiet terminal its latest row is kept, where that is later than what was known or stands in its place.
        keep = ~disordered[rows.group]
        calm = suspect[~loud[g]]
        if len(calm):
            by_time = calm[np.lexsort((rows.time[calm], rows.group[calm]))]
            last = by_time[np.append(rows.group[by_time][1:] != rows.group[by_time][:-1], True)]
            keep[last[rows.time[last] >= c["time"][rows.group[last]]]] = True
        harmless = len(calm) - int(keep[calm].sum())
        self._keep(np.flatnonzero(keep))
        return np.flatnonzero(loud), idle + harmless

    def _back(self) -> NDArray[np.bool_]:
        """Rows that are no later than the one before them, or than their terminal's last."""
        rows, begins = self.rows, self.rows.begins
        back: NDArray[np.bool_] = rows.time <= shifted(rows.time, begins, self.columns["time"][rows.group[begins]])
        return back

    def _keep(self, kept: NDArray[np.int64]) -> None:
        self.rows, self.sets, self.grades = self.rows.take(kept), self.sets[kept], self.grades[kept]

    def _drop_further_of_a_second(self) -> int:
        """Rows of a second that has one with a smaller fingerprint, here or known before: they count for nothing. How many."""
        rows, c = self.rows, self.columns
        fingerprint = self.positions.fingerprint[rows.row]
        order = np.lexsort((fingerprint, rows.time, rows.group))
        further = np.zeros(len(order), bool)
        group, time = rows.group[order], rows.time[order]
        further[1:] = (group[1:] == group[:-1]) & (time[1:] == time[:-1])
        further |= (time == c["time"][group]) & (fingerprint[order] >= c["fingerprint"][group])
        if further.any():
            self._keep(np.sort(order[~further]))
        return int(further.sum())

    def _quiet(self, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Rows that change nothing, whatever fixes of the stretch since ``since`` they fall between: all of these are in
        the same set, so whether one of them jumps doesn't matter.
        """
        rows, c = self.rows, self.columns
        g, t = rows.group[which], rows.time[which]
        quiet: NDArray[np.bool_] = (self.sets[which] == c["settled"][g]) & (self.grades[which] <= c["best"][g])
        quiet &= (t > c["since"][g]) & (t < c["until"][g])
        later = (t > c["time"][g]) & (c["time"][g] != NEVER)
        quiet[later] &= t[later] - c["time"][g[later]] <= c["lost"][g[later]]
        return quiet

    def find_jumps(self) -> None:
        """Which rows jump, and how long after the fix before each is; 0 where there is none."""
        rows, c, positions = self.rows, self.columns, self.positions
        first = rows.group[rows.begins]
        last = c["time"][first], c["lon"][first], c["lat"][first]
        lon, lat = positions.lon[rows.row], positions.lat[rows.row]
        self.jumped, self.gap = follow(rows.begins, rows.time, lon, lat, positions.speed[rows.row], last)

    def walk(self, news: NDArray[np.bool_] | None) -> tuple[list[Change], dict[int, tuple[Track, Trail]]]:
        """Judges the rows; changes, and the tracks and trails of terminals (groups) that were not settled all the way."""
        rows, c = self.rows, self.columns
        begins = rows.begins
        ends = np.append(begins[1:], True) if len(begins) else begins
        self.here = here = rows.group[ends]
        first = rows.group[begins]
        fresh = c["time"][first] == NEVER
        c["since"][first[fresh]] = rows.time[begins][fresh] - 1  # see trail.first_pace
        g = rows.group
        steady = (self.sets == c["settled"][g]) & (rows.time < c["until"][g])
        steady &= (self.grades <= c["best"][g]) & (self.gap <= c["lost"][g])
        restless = np.flatnonzero(~steady)
        changed, at = np.unique(g[restless], return_index=True)
        now = self._now()
        places = self._places(changed, restless[at], now) if len(changed) else []
        self._step_prior(ends, begins[ends], now)
        for name, column in now.items():
            c[name][here] = column[ends]
        if not len(changed):
            return [], {}
        stops = np.flatnonzero(ends)[np.searchsorted(here, changed)]
        fixes = self._fixes(restless[at], stops, news)
        devices = self.positions.device[rows.row[stops]].tolist()
        found: list[Change] = []
        walked: dict[int, tuple[Track, Trail]] = {}
        for k, device, its_fixes, place in zip(changed.tolist(), devices, fixes, places, strict=True):
            slot = int(self.slots[k])
            pace = Pace(self.state.track(slot), *(int(c[name][k]) for name in Pace._fields[1:]))
            before = Previous(None, 0) if place is None else Previous(place.time, place.set_id)
            passed = []
            for fix in its_fixes:
                earlier = pace
                pace, changes = walk_on(device, earlier, before, fix, self.rules)
                passed.append(Passed(earlier, fix, tuple(changes)))
                found += changes
                before = Previous(fix.time, fix.set_id)
            known = self.state.trails.get(slot)
            if known is not None and place is not None and known.ends_with(place.time, place.fingerprint):
                walked[k] = pace.track, known.extended(passed)
            else:
                walked[k] = pace.track, trail_of(place, passed)
            for name in Pace._fields[1:]:
                c[name][k] = getattr(pace, name)
        return found, walked

    def _step_prior(self, ends: NDArray[np.bool_], only: NDArray[np.bool_], now: dict[str, NDArray[Any]]) -> None:
        """The fix before each terminal's last; only: where the batch has one row of it."""
        c, here, before = self.columns, self.here, np.flatnonzero(ends) - 1
        for name, prior in zip(Place._fields, PRIOR, strict=True):
            c[prior][here] = np.where(only, c[name][here], now[name][before])

    def _now(self) -> dict[str, NDArray[Any]]:
        """What every row makes of its terminal's columns."""
        row, positions = self.rows.row, self.positions
        return {
            "time": self.rows.time, "lon": positions.lon[row], "lat": positions.lat[row], "set_id": self.sets,
            "fingerprint": positions.fingerprint[row], "heard": positions.received[row],
        }  # fmt: skip

    def _places(
        self, groups: NDArray[np.int64], rows: NDArray[np.int64], now: dict[str, NDArray[Any]]
    ) -> list[Place | None]:
        """The fix before each of these rows: in the batch, or as it was known; None where there is none."""
        first = self.rows.begins[rows]
        columns = [np.where(first, self.columns[name][groups], now[name][rows - 1]).tolist() for name in Place._fields]
        return [None if place[0] == NEVER else Place(*place) for place in zip(*columns, strict=True)]

    def _fixes(
        self, starts: NDArray[np.int64], stops: NDArray[np.int64], news: NDArray[np.bool_] | None
    ) -> list[list[Fix]]:
        """The rows starts[i] to stops[i] as objects, converted all at once: numpy's price is per call."""
        lengths = stops - starts + 1
        past = np.cumsum(lengths)
        taken = np.arange(int(lengths.sum())) + np.repeat(starts - (past - lengths), lengths)
        row, positions = self.rows.row[taken], self.positions
        columns = (
            self.rows.time[taken], self.sets[taken], positions.lon[row], positions.lat[row], positions.received[row],
            positions.speed[row], self.grades[taken], self.jumped[taken], is_late(positions)[row],
            np.ones(len(row), bool) if news is None else news[row], positions.fingerprint[row],
        )  # fmt: skip
        fixes = [Fix(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
        return [fixes[end - length : end] for end, length in zip(past.tolist(), lengths.tolist(), strict=True)]
