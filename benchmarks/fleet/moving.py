"""The part of the fleet that moves: trips at borders, healthy terminals and faulty ones, every report through the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fleet.encoding import SECOND, START, arrivals
from benchmarks.fleet.faults import FAULTS, Reports
from benchmarks.fleet.noise import Errors, Excursions, receivers
from benchmarks.fleet.score import Score, Seen, score, truth
from benchmarks.fleet.system import System
from benchmarks.fleet.trips import days
from benchmarks.fleet.world import areas, degrees, published

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.fleet.book import Alarm
    from columns.positions import Positions

    Floats = NDArray[np.float64]

INTERVALS_S = (10, 30, 60)
GUARD_M = 30.0
_TICK_S = 10
_HEALTHY_SHARE = 0.5
_DAY_S = 86_400.0
_NETWORK_S = (0.2, 2.0)


@dataclass(frozen=True, slots=True)
class Terminal:
    """What is known of a machine's terminal."""

    stage: str
    interval_s: int
    fault: str


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """scores: by machine, in the order of the terminals."""

    terminals: list[Terminal]
    scores: list[Score]
    reports: int

    def total(self, *, fault: str | None = None, interval_s: int | None = None) -> Score:
        """Of the machines with this fault and report interval (None: any)."""
        chosen = [
            each
            for terminal, each in zip(self.terminals, self.scores, strict=True)
            if fault in {None, terminal.fault} and interval_s in {None, terminal.interval_s}
        ]
        return sum(chosen, Score())


class Fleet:
    """Machines with their truth, and the system that is told of them. ``reports`` of ``machine``, in any order."""

    def __init__(
        self, seed: int, machines: int, hours: float, faults: Sequence[str], intervals_s: Sequence[int]
    ) -> None:
        """faults: the first one is what half of the terminals have."""
        self._rng = rng = np.random.default_rng(seed)
        self._seconds = hours * 3_600
        self._areas = areas(GUARD_M)
        self._paths, self._stages = days(rng, self._areas, machines, self._seconds)
        others = rng.integers(min(1, len(faults) - 1), len(faults), machines)
        fault = np.where(rng.random(machines) < _HEALTHY_SHARE, 0, others).tolist()
        self._terminals = [
            Terminal(stage, int(rng.choice(intervals_s)), faults[kind])
            for stage, kind in zip(self._stages, fault, strict=True)
        ]
        errors = Errors(rng, *receivers(rng, machines), _TICK_S, Excursions())
        self._noise = errors.steps(int(self._seconds / _TICK_S) + 2)
        self._kmh = self._paths.speeds_kmh()
        self.system = System(published(self._areas, GUARD_M), self._stages)
        made = [self._reports(i, terminal) for i, terminal in enumerate(self._terminals)]
        self.reports = joined(made)
        self.machine = np.repeat(np.arange(machines), [len(each) for each in made])
        self._late_additions: list[tuple[int, Reports]] = []
        self._good: set[tuple[int, int]] = set()

    def _reports(self, machine: int, terminal: Terminal) -> Reports:
        first = int(self._rng.integers(terminal.interval_s))
        measured = self.measured(machine, np.arange(first, int(self._seconds), terminal.interval_s))
        return FAULTS[terminal.fault](self._rng, measured)

    def measured(self, machine: int, true: NDArray[np.int64]) -> Reports:
        """What a healthy terminal on this machine reports at these times (s since the run's start)."""
        at = true.astype(np.float64)
        legs = self._paths.legs_at(np.full(len(true), machine), at)
        east, north = self._paths.places(legs, at)
        off = self._noise[true // _TICK_S, :, machine]
        lon, lat = degrees(east + off[:, 0], north + off[:, 1])
        yes, no = np.ones(len(true), bool), np.zeros(len(true), bool)
        return Reports(
            true=true, clock=START + true, sent=true + self._rng.uniform(*_NETWORK_S, len(true)), fixed=yes, zero=no,
            lon=lon, lat=lat, speed_kmh=self._kmh[legs], engine=self._paths.engine[legs], stored=no, held=no,
        )  # fmt: skip

    def add(self, machine: int, reports: Reports) -> None:
        """Reports that were not planned, for the scoring; the caller sends them."""
        self._late_additions.append((machine, reports))

    def note(self, batch: Positions) -> None:
        """Remembers which rows the decoder took for good fixes."""
        good = np.flatnonzero(batch.good)
        self._good.update(zip(batch.device[good].tolist(), batch.time[good].tolist(), strict=True))

    def outcome(self) -> Outcome:
        """Scores what the system has raised by now."""
        reports = joined([self.reports, *(reports for _, reports in self._late_additions)])
        added = [np.full(len(reports), machine) for machine, reports in self._late_additions]
        machine = np.concatenate([self.machine, *added])
        clock = _Clock(reports, machine)
        interval_s = np.array([terminal.interval_s for terminal in self._terminals], np.float64)
        known = truth(self._paths, self._areas, self._stages, interval_s, self._seconds)
        alarms = [clock.seen(alarm) for alarm in self.system.alarms]
        scores = score(known, alarms, self._good_times(reports, machine), interval_s, self._seconds / _DAY_S)
        return Outcome(self._terminals, scores, len(reports))

    def _good_times(self, reports: Reports, machine: NDArray[np.int64]) -> list[Floats]:
        """By machine, the true times of the reports that were good fixes of the place at that time, ascending."""
        keys = zip((machine + 1).tolist(), (reports.clock * SECOND).tolist(), strict=True)
        good = np.fromiter((key in self._good for key in keys), bool, len(machine)) & ~reports.held
        return [np.unique(reports.true[good & (machine == i)]).astype(np.float64) for i in range(len(self._terminals))]


def run(seed: int, machines: int, hours: float) -> Outcome:
    """Simulates, decides and scores. Half of the terminals are healthy, the others have one fault each."""
    fleet = Fleet(seed, machines, hours, list(FAULTS), INTERVALS_S)
    for batch in arrivals(fleet.reports, fleet.machine + 1):
        fleet.note(batch)
        fleet.system.take(batch)
    return fleet.outcome()


def joined(parts: Sequence[Reports]) -> Reports:
    """All rows of all parts."""
    return Reports(*(np.concatenate([getattr(part, name) for part in parts]) for name in Reports.__slots__))


class _Clock:
    """From a device's time back to the true one: the first report that bears it says when it was taken."""

    def __init__(self, reports: Reports, machine: NDArray[np.int64]) -> None:
        order = np.lexsort(
            (-reports.true, reports.clock, machine)
        )  # of several, the first one is the last to be put in
        keys = zip(machine[order].tolist(), reports.clock[order].tolist(), strict=True)
        self._true = dict(zip(keys, reports.true[order].tolist(), strict=True))
        self._last = float(reports.true.max())

    def seen(self, alarm: Alarm) -> Seen:
        machine = alarm.machine - 1
        begin = float(self._true[machine, alarm.entered // SECOND])
        end = float(self._true.get((machine, alarm.left // SECOND), self._last))
        paged = None if alarm.paged is None else alarm.paged / SECOND - START
        return Seen(machine, begin, max(begin, end), paged)
