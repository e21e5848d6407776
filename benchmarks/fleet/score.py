"""Alarms against truth. docs/detection.md has the definitions in words.

true entry    a true visit that is at least the guard inside for two report intervals on end
right         the first alarm of a true entry
repeat        another alarm of the same true entry
neither       an alarm of a visit that is inside the line, and not a true entry: between the line and the guard, or short
false         an alarm with no truth inside the line, within the tolerance
precision     right / (right + repeat + false)
recall        true entries that could be seen and have an alarm / true entries that could be seen
could be seen at least two good fixes taken in one of its stretches beyond the guard were delivered, ever
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fleet.paths import Spans, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.fleet.paths import Paths
    from benchmarks.fleet.world import Area

    Floats = NDArray[np.float64]

MERGE_S = 480.0
"""Re-entry within this long is the same true visit. The zones' merge time is 600 s, from the halo to the guard and at the
times of reports: with a gap between the two, one alarm and two are both right.
"""
_TOLERANCE_INTERVALS = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """An alarm in true time: begin, end, and paged in s since the run's start (paged is None where nobody was)."""

    machine: int
    begin: float
    end: float
    paged: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """visits: of each machine in the zones that ban it, gaps up to MERGE_S joined; deep: stretches of at least two report
    intervals beyond the guard; visit_of: the visit of each, ascending. A visit with such a stretch is a true entry.
    """

    visits: Spans
    deep: Spans
    visit_of: NDArray[np.int64]


def truth(paths: Paths, areas: Sequence[Area], stages: Sequence[str], interval_s: Floats, seconds: float) -> Truth:
    """interval_s: report interval by machine. Visits that begin less than two intervals before the end are left out."""
    lines, inners = [], []
    for area in areas:
        banned = np.array([area.bans(stage) for stage in stages])
        lines.append(paths.within(area.shape, banned))
        inners.append(paths.within(area.inner, banned))
    visits = together(lines).joined(MERGE_S)
    visits = visits.take(np.flatnonzero(visits.begin < seconds))
    # A zone within another one: the guard may be reached in either, so runs of both count as one.
    deep = together(inners).joined()
    deep = Spans(deep.machine, deep.begin, np.minimum(deep.end, seconds))
    deep = deep.take(np.flatnonzero(deep.end - deep.begin >= 2 * interval_s[deep.machine]))
    of = [visits.touching(*each)[0] for each in zip(deep.machine.tolist(), deep.begin, deep.end, strict=True)]
    return Truth(visits, deep, np.array(of, np.int64))


@dataclass(slots=True)
class Score:
    """Counts, and what the percentiles are of. Scores of parts of a fleet add up."""

    entries: int = 0
    seen: int = 0
    found: int = 0
    paged: int = 0
    right: int = 0
    repeat: int = 0
    neither: int = 0
    false: int = 0
    machine_days: float = 0.0
    delays_s: list[float] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        return Score(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def precision(self) -> float:
        return _share(self.right, self.right + self.repeat + self.false)

    @property
    def recall(self) -> float:
        return _share(self.found, self.seen)

    def delay(self, percent: float) -> float:
        """Percentile of seconds from the true crossing of the guard to the arrival of the fix that paged."""
        return float(np.percentile(self.delays_s, percent)) if self.delays_s else float("nan")


def score(known: Truth, alarms: Sequence[Seen], good: Sequence[Floats], interval_s: Floats, days: float) -> list[Score]:
    """Scores by machine. good: by machine, the true times of its delivered good fixes, ascending; days: of each."""
    scores = [Score(machine_days=days) for _ in good]
    entries, first_run = np.unique(known.visit_of, return_index=True)
    crossed = dict(zip(entries.tolist(), known.deep.begin[first_run].tolist(), strict=True))
    first: dict[int, Seen] = {}
    for alarm in sorted(alarms, key=lambda each: each.begin):
        of = scores[alarm.machine]
        slack = _TOLERANCE_INTERVALS * interval_s[alarm.machine]
        touched = known.visits.touching(alarm.machine, alarm.begin - slack, alarm.end + slack).tolist()
        touched_entries = [visit for visit in touched if visit in crossed]
        fresh = [visit for visit in touched_entries if visit not in first]
        if fresh:
            of.right += 1
            first.update(dict.fromkeys(fresh, alarm))
            if alarm.paged is not None:
                of.delays_s.append(alarm.paged - crossed[fresh[0]])
        elif touched_entries:
            of.repeat += 1
        elif touched:
            of.neither += 1
        else:
            of.false += 1
    seen = _seen(known, good)
    for visit in entries.tolist():
        of = scores[int(known.visits.machine[visit])]
        of.entries += 1
        if visit in seen:
            of.seen += 1
            of.found += visit in first
            of.paged += visit in first and first[visit].paged is not None
    return scores


def _seen(known: Truth, good: Sequence[Floats]) -> set[int]:
    """Visits with two delivered good fixes in one stretch beyond the guard."""
    deep = known.deep
    found = set()
    for machine, begin, end, visit in zip(
        deep.machine.tolist(), deep.begin, deep.end, known.visit_of.tolist(), strict=True
    ):
        low, high = np.searchsorted(good[machine], (begin, end))
        if high - low >= 2:
            found.add(visit)
    return found


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
