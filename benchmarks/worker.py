"""python -m benchmarks.worker: what a report costs the worker, from the log's bytes to COPY bytes. One process, no I/O.

The very calls of gateway/worker/taking.py, over batches that were encoded beforehand: gather (decode, scan), sift,
decide, late (terminals whose rows are so late that their history is read), tampering, work, COPY bytes, remember. CPU seconds
of this process, stage by stage. What is left out: waiting, sockets, PostgreSQL; the history is in memory, and looking for
it there is not counted.

In all cases but one the batches follow each other at once, so caches are warm. "as they come" waits in between as the
gateway does at 5,000 reports/s: the same code, cold. Every case is measured three times with the same reports; the cheapest
counts, since what runs beside it on the machine can only add.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.city import FIRST_PHONE, Terminals, batches, ruleset
from benchmarks.history import History, done
from benchmarks.machine import describe
from columns.batch import decode
from columns.positions import concatenate
from gateway.config import Settings
from gateway.worker import decision as deciding
from gateway.worker.memory import Memory
from gateway.worker.rejudging import rejudge_late
from gateway.worker.rules import Rules
from geofence.tampering import follow
from protocols.jt808.items import scan
from storage.copy import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from columns.positions import Positions

BAR = 300_000
"""Reports per CPU second, from the log to COPY bytes."""
FLEET = 30_000
DEFAULTS = Settings()
MOST_ROWS = 5_000  # of a gather: what its bound of bytes comes to
MOST_IN_MESSAGE = 1_700  # of 256 KiB
STAGES = ("gather", "sift", "decide", "late", "tampering", "work", "copy", "remember")
PARTS = ("decode", "scan", "locate")
"""Of the stages above, measured once more by themselves: gather has the first two, decide the last."""

Messages = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Case:
    """``gather`` rows a commit, in log messages of ``message`` rows, from ``terminals`` that send ``rate`` reports a second.

    known: whether the worker has heard of all of them before; pause_s: between two gathers.
    """

    name: str
    terminals: int
    rate: float
    gather: int
    message: int
    gathers: int
    known: bool = True
    pause_s: float = 0.0


def live(name: str, terminals: int, rate: int, gathers: int, *, known: bool = True, paced: bool = False) -> Case:
    """Batches as a gateway makes them that keeps up, with the settings that it has by default."""
    linger, gather = DEFAULTS.linger_ms / 1000, DEFAULTS.gather_ms / 1000
    rows, message = min(MOST_ROWS, round(rate * gather)), min(MOST_IN_MESSAGE, round(rate * linger))
    return Case(name, terminals, rate, rows, message, gathers, known, gather if paced else 0.0)


CASES = (
    live("1,000/s", FLEET, 1_000, 300),
    live("5,000/s", FLEET, 5_000, 120),
    live("5,000/s, as they come", FLEET, 5_000, 30, paced=True),
    Case("catching up", FLEET, 5_000, MOST_ROWS, round(5 * DEFAULTS.linger_ms), 60),
    live("yardstick, open loop: 1,000 new ones", 1_000, 5_000, 20, known=False),
    live("yardstick, 1 in flight", 1_000, 30_000, 33, known=False),
    live("yardstick, 8 in flight", 1_000, 150_000, 150, known=False),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU of one case, us per report: in all, by stage, and of parts of stages that were measured by themselves."""

    case: Case
    reports: int
    us: float
    stages: dict[str, float]
    parts: dict[str, float]
    late: int
    changes: int

    @property
    def per_second(self) -> float:
        return 1e6 / self.us

    def to_json(self) -> dict[str, Any]:
        return {
            "case": self.case.name, "rows": self.case.gather, "reports": self.reports, "us": self.us,
            "per_cpu_second": round(self.per_second), "bar": BAR, "met": self.per_second >= BAR,
            "stages": self.stages, "parts": self.parts, "late": self.late, "changes": self.changes,
        }  # fmt: skip


class Worker:
    """A partition's worker without its database: takes messages, and adds up what each stage cost."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.memory = Memory()
        self.sequence = 0
        self.spent: Counter[str] = Counter()
        self.history = History()
        self.late = self.changes = self.reports = 0

    def take(self, messages: Messages) -> Positions:
        """What Taking.settle does with them, without the commit."""
        memory, rules, clock = self.memory, self.rules, time.process_time
        marks = [clock()]
        gathered = deciding.gather(messages, memory.boots)
        marks.append(clock())
        sifted = memory.recent.sift(gathered.positions)
        fresh = gathered.positions
        new = fresh if len(sifted.fresh) == len(fresh) else fresh.take(np.union1d(sifted.fresh, sifted.suspects))
        marks.append(clock())
        judged = deciding.judge(memory, rules, new)
        marks.append(clock())
        late, looked = judged.late, self.history.spent
        for device in late:
            its = new.take(np.flatnonzero(new.device == device))
            judged.rejudged[device] = done(rejudge_late(self.history, rules.ruleset, device, its))
        marks.append(clock())
        tampering = follow(memory.watch, memory.state, rules.ruleset, new)
        marks.append(clock())
        work = deciding.work(
            gathered, new, judged, rules, memory=memory, partition=0, stream="bench", previous=self.sequence,
            now=int(new.received[-1]), tampering=tampering,
        )  # fmt: skip
        marks.append(clock())
        b"".join(rows(new))
        marks.append(clock())
        self.sequence, memory.boots = gathered.sequence, gathered.boots
        memory.recent.remember(new)
        deciding.remember(memory, judged)
        memory.watch = tampering.after
        marks.append(clock())
        for name, begun, ended in zip(STAGES, marks, marks[1:], strict=False):
            self.spent[name] += ended - begun
        self.spent["late"] -= self.history.spent - looked
        self.history.store(work)
        self.reports += len(new)
        self.late += len(late)
        self.changes += sum(1 for _ in judged.changes)
        return new

    def parts(self, messages: Messages, new: Positions) -> None:
        """The parts of the stages, by themselves."""
        read = self._timed("decode", lambda: [decode(data) for _, data in messages])
        extras = concatenate([batch.positions for batch in read]).extras
        self._timed("scan", lambda: scan(extras))
        self._timed("locate", lambda: self.rules.ruleset.fence.locate(new.lon, new.lat))

    def _timed(self, name: str, call: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = call()
        self.spent[name] += time.process_time() - begun
        return result


def log_of(case: Case, rng: np.random.Generator, first: int) -> tuple[list[Messages], list[Messages]]:
    """What the worker has read before, and what is measured: gather by gather, (sequence, data)."""
    terminals = Terminals(rng, first, case.terminals, case.rate)
    warm = 2 * case.terminals if case.known else 0  # two rounds: a fix alone settles nobody in a zone
    told = list(islice(batches(terminals, 1_000), warm // 1_000))
    each = -(-case.gather // case.message)
    stream = batches(terminals, case.gather // each, len(told) + 1)
    before = [[(number, data)] for number, data in enumerate(told, 1)]
    sequence = iter(range(len(told) + 1, len(told) + 1 + each * case.gathers))
    return before, [[(next(sequence), next(stream)) for _ in range(each)] for _ in range(case.gathers)]


def measure(case: Case, rules: Rules, seed: int, first: int = FIRST_PHONE) -> Measured:
    before, gathers = log_of(case, np.random.default_rng(seed), first)
    worker = Worker(rules)
    for messages in before:
        worker.take(messages)
    worker.spent.clear()
    worker.late = worker.changes = worker.reports = 0
    kept = []
    for messages in gathers:
        if case.pause_s:
            time.sleep(case.pause_s)
        kept.append(worker.take(messages))
    for messages, new in zip(gathers, kept, strict=True):
        worker.parts(messages, new)
    us = {name: round(worker.spent[name] / worker.reports * 1e6, 3) for name in (*STAGES, *PARTS)}
    stages = {name: us[name] for name in STAGES}
    return Measured(
        case, worker.reports, round(sum(stages.values()), 3), stages, {name: us[name] for name in PARTS},
        worker.late, worker.changes,
    )  # fmt: skip


def table(results: Sequence[Measured]) -> str:
    """As docs/benchmarks.md has it."""
    names = ["us of CPU per report", "rows a gather", "all", f"per CPU second (bar {BAR:,})", *STAGES]
    names += ["of these: " + ", ".join(PARTS), "terminals judged with their history, changes"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for r in results:
        verdict = "met" if r.per_second >= BAR else "MISSED"
        stages = " | ".join(f"{r.stages[name]:.2f}" for name in STAGES)
        parts = ", ".join(f"{r.parts[name]:.2f}" for name in PARTS)
        lines.append(
            f"| {r.case.name} | {r.case.gather:,} | {r.us:.2f} | {r.per_second:,.0f}: {verdict} | {stages} | {parts}"
            f" | {r.late:,}, {r.changes:,} |"
        )
    return "\n".join(lines)


def main() -> int:
    p = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    p.add_argument("--seed", type=int, default=1, help="of the world and of how terminals move")
    p.add_argument("--rounds", type=int, default=3, help="of each case; the cheapest counts")
    p.add_argument("--only", help="cases whose name holds this")
    p.add_argument("--json", type=Path, help="write the results here")
    a = p.parse_args()
    where = describe(a.seed)
    rules = Rules(1, ruleset(a.seed))
    gc.collect()
    gc.freeze()  # as a worker does with its rules
    results = []
    for case in CASES:
        if a.only and a.only not in case.name:
            continue
        results.append(min((measure(case, rules, a.seed) for _ in range(a.rounds)), key=lambda found: found.us))
        print(f"{case.name}: {results[-1].us:.2f} us, {results[-1].per_second:,.0f} reports per CPU second", flush=True)
    print(f"\n{table(results)}\n\n{where}")
    if a.json:
        report = {"machine": where, "cases": [result.to_json() for result in results]}
        a.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
