"""Slow terminals that are asked: the candidate of a 60 s terminal is followed by 0x8201, and the terminal's 0x0201 comes
back as one more report. A closed loop, so it is decided second by second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fleet.encoding import SECOND, START, arrivals
from benchmarks.fleet.moving import Fleet
from columns.positions import Source, concatenate
from gateway.worker.asking import AFTER_S, AGAIN_S

if TYPE_CHECKING:
    from benchmarks.fleet.score import Score
    from columns.positions import Positions

INTERVAL_S = 60
_ROUND_TRIP_S = (1, 3)  # from the question to its answer over a mobile network, our assumption


def run(seed: int, machines: int, hours: float) -> Score:
    """The score of healthy terminals that report every 60 s and answer."""
    fleet = Fleet(seed, machines, hours, ["none"], [INTERVAL_S])
    rng = np.random.default_rng([seed, 1])
    due: dict[int, list[int]] = {}  # second of arrival -> the machines whose answers come then
    asked = np.full(machines, -np.inf)
    arriving = {int(batch.received[0]) // SECOND: batch for batch in arrivals(fleet.reports, fleet.machine + 1, rows=1)}
    for now in range(START, max(arriving) + 1):
        answers = [_answer(fleet, machine, now) for machine in due.pop(now, [])]
        rows = concatenate([*answers, *([arriving[now]] if now in arriving else [])])
        if not len(rows):
            continue
        fleet.note(rows)
        for candidate in fleet.system.take(rows):
            machine = candidate.device - 1
            if candidate.ask and now - asked[machine] >= AGAIN_S:
                asked[machine] = now
                due.setdefault(now + int(AFTER_S) + int(rng.integers(*_ROUND_TRIP_S, endpoint=True)), []).append(
                    machine
                )
    return fleet.outcome().total()


def _answer(fleet: Fleet, machine: int, now: int) -> Positions:
    """What the terminal says of the second before: where it is."""
    reports = fleet.measured(machine, np.array([now - START - 1]))
    fleet.add(machine, reports)
    answer = next(arrivals(reports, np.array([machine + 1])))
    return answer.with_columns(received=np.array([now * SECOND]), source=np.array([Source.QUERY], np.uint8))
