"""The product, as far as it decides: batches of rows go in, alarms come out. The one file that knows its interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fleet.book import Book
from benchmarks.fleet.world import DISTRICT
from columns.positions import concatenate
from gateway.worker.duplicates import Recent
from geofence.fence import Fence
from geofence.late import rejudge
from geofence.machines import Machine, Machines
from geofence.presence import State, decide
from geofence.presences import CandidateSeen, Page, Presence
from geofence.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.fleet.book import Alarm
    from columns.positions import Positions
    from geofence.late import Rejudged
    from geofence.presences import Change
    from geofence.zones import Zone


class System:
    """One partition's worker without its disk. Device i + 1 sits on machine i + 1 and has the i-th stage."""

    def __init__(self, zones: Sequence[Zone], stages: Sequence[str]) -> None:
        machines = {
            i: Machine(i, str(i), "excavator", emission_stage=stage, district=DISTRICT)
            for i, stage in enumerate(stages, 1)
        }
        self._rules = Ruleset(Fence.compile(zones), Machines.bound(machines))
        self._state = State()
        self._state.adopt(self._rules)
        self._recent = Recent()
        self._keys: set[tuple[int, int, int]] = set()
        self._stored: list[Positions] = []
        self._book = Book(zones)
        self.late_rows = 0
        """Rows for which a terminal's history had to be gone over again."""

    @property
    def alarms(self) -> list[Alarm]:
        """All that were ever raised, in that order."""
        return list(self._book.alarms.values())

    def take(self, positions: Positions) -> list[CandidateSeen]:
        """One gathered batch in order of arrival, duplicates, late rows and all; the candidates that it shows."""
        sifted = self._recent.sift(positions)
        new = [row for row in sifted.suspects.tolist() if _key(positions, row) not in self._keys]
        rows = np.union1d(sifted.fresh, np.array(new, np.intp))
        positions = positions if len(rows) == len(positions) else positions.take(rows)
        seen = self.decide(positions)
        self._recent.remember(positions)
        self._keys.update(_key(positions, row) for row in range(len(positions)))
        self._stored.append(positions)
        return seen

    def decide(self, positions: Positions) -> list[CandidateSeen]:
        """The same for rows that are new and not late, of which nothing is kept."""
        decision = decide(self._state, self._rules, positions)
        self._state.apply(decision.delta)
        changes = list(decision.changes)
        gone: list[Presence] = []
        for device in decision.late.tolist():
            judged = self._go_over(device, positions)
            changes += judged.changes
            gone += judged.gone
        return self._write(changes, gone)

    def _write(self, changes: list[Change], gone: list[Presence]) -> list[CandidateSeen]:
        presences = [change for change in changes if isinstance(change, Presence)]
        self._book.write(presences, gone, [change for change in changes if isinstance(change, Page)])
        return [change for change in changes if isinstance(change, CandidateSeen)]

    def _go_over(self, device: int, positions: Positions) -> Rejudged:
        """With the terminal's whole history, from its first fix on."""
        arrivals = positions.take(np.flatnonzero((positions.device == device) & positions.good))
        parts = [part.take(np.flatnonzero((part.device == device) & part.good)) for part in self._stored]
        history = concatenate([part for part in parts if len(part)])
        order = np.lexsort((history.fingerprint, history.time))
        history = history.take(order[np.diff(history.time[order], prepend=-1) != 0])  # one a second
        self.late_rows += len(arrivals)
        presences = self._book.of_device(device, device)
        judged = rejudge(self._rules, history, None, presences, arrivals, to_the_end=True)
        if judged.state is not None:
            self._state.take_over(judged.state)
        return judged


def _key(positions: Positions, row: int) -> tuple[int, int, int]:
    """What the table's primary key is, which has the last word on suspects."""
    return int(positions.device[row]), int(positions.time[row]), int(positions.fingerprint[row])
