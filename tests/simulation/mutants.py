"""Mutants: the code broken on purpose, one line at a time, to see that seeds find it. `python -m tests.simulation.mutants`

A mutant is a module's text with a few words replaced, loaded in place of the module before anything imports it, in a process
of its own. One that no seed finds is one that another guard catches, which is said beside it, or a hole in the model.
"""

# ruff: noqa: T201 - it prints

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

PARTITION, TAKING, DECISION = "gateway.worker.partition", "gateway.worker.taking", "gateway.worker.decision"
APPENDER, LOG = "gateway.edge.appender", "gateway.log"

_COMPARED = "if (offset.stream, offset.sequence, offset.owner) != (work.stream, work.previous, session.owner):"


class Mutant(NamedTuple):
    """name: what is wrong; module: where; swaps: (text, what stands there instead), each of which is there once."""

    name: str
    module: str
    swaps: tuple[tuple[str, str], ...]


MUTANTS = (
    Mutant("no compare and set of the offset", "tests.simulation.database", (
        (_COMPARED, "if offset.stream != work.stream:"),
    )),
    Mutant("two owners at one offset are not told apart", "tests.simulation.database", (
        (_COMPARED, "if (offset.stream, offset.sequence) != (work.stream, work.previous):"),
    )),
    Mutant("an overtaken owner's snapshot is stored", "tests.simulation.database", (
        ("if (offset.stream, offset.sequence, offset.owner) != (stream, snapshot.sequence, session.owner):", "if False:"),
    )),
    Mutant("a trail is kept without the rows that were passed over", "geofence.state", (
        ("for slot in delta.passed_over.tolist():", "for slot in ():"),
    )),
    Mutant("acknowledged before the append", APPENDER, (
        ("        self._queues[partition].append(part)\n", "        self._queues[partition].append(part)\n        self._stored(part)\n"),
        ("                self._stored(part)\n        self._tasks", "                pass\n        self._tasks"),
    )),
    Mutant("an append that got no answer is taken for done", LOG, (
        ("                except (TimeoutError, nats.errors.Error, OSError) as error:\n                    trouble = repr(error)",
         "                except (TimeoutError, nats.errors.Error, OSError):\n                    return 0"),
    )),
    Mutant("duplicates are not looked for", TAKING, (
        ("        sifted = self.memory.recent.sift(positions)\n", "        return positions\n"),
    )),
    Mutant("suspects are taken for new", TAKING, (
        ("sifted.suspects[~known]", "sifted.suspects"),
    )),
    Mutant("remembered before the commit", TAKING, (
        ("            begun = self._clock.monotonic()\n            try:\n",
         "            begun = self._clock.monotonic()\n            deciding.remember(self.memory, judged)\n            try:\n"),
        ("            deciding.remember(self.memory, judged)\n            self.memory.watch", "            self.memory.watch"),
    )),
    Mutant("batch numbers are not looked at", DECISION, (
        ("        if batch.number <= last:", "        if False:"),
    )),
    Mutant("a message id of its own for every try", LOG, (
        ("timeout=APPEND_TIMEOUT_S, headers=headers", 'timeout=APPEND_TIMEOUT_S, headers={"Nats-Msg-Id": f"{message_id}.{tries}"}'),
    )),
    Mutant("the boots that were seen are forgotten at take-over", PARTITION, (
        ("await self._recall(session, offset.boots)", "await self._recall(session, {})"),
    )),
    Mutant("trimmed beyond the snapshot", PARTITION, (
        ("                    await self._take(session, messages)\n",
         "                    await self._take(session, messages)\n                    await self._log.trim(self.number, self.sequence)\n"),
    )),
    Mutant("the log is not read again at take-over", PARTITION, (
        ("            while reader.after < self.sequence:", "            while False:"),
    )),
    Mutant("tracks are not read at take-over", PARTITION, (
        ("replace_tracks(await session.tracks())", "replace_tracks({})"),
    )),
    Mutant("what was parked is remembered at take-over", PARTITION, (
        ("without_parked(deciding.gather(messages, {}).positions, parked)", "deciding.gather(messages, {}).positions"),
    )),
    Mutant("late rows are not judged", TAKING, (
        ("        for device in judged.late:", "        for device in ():"),
    )),
    Mutant("decided with the rules of before an edit", "tests.simulation.database", (
        ("        elif work.epoch != self.epoch:", "        elif False:"),
    )),
    Mutant("duplicates are not counted", DECISION, (
        ("        duplicate=len(gathered.positions) - len(new),", "        duplicate=0,"),
    )),
    Mutant("rejects of an edge are not counted", DECISION, (
        ("        rejected=gathered.rejected,", "        rejected={},"),
    )),
    Mutant("rejects are sent with every batch again", APPENDER, (
        ("rejected, self.rejected = dict(self.rejected), Counter()", "rejected = dict(self.rejected)"),
    )),
    Mutant("a gap in deliveries is passed over", LOG, (
        ("        if meta.sequence.consumer != self._delivered + 1:", "        if False:"),
    )),
    Mutant("a lost last delivery is not noticed", LOG, (
        ("                if int(headers.get(_SENT, self._delivered)) > self._delivered:", "                if False:"),
    )),
    Mutant("missing batches are not looked for", TAKING, (
        ("        if lost := [gap for gap in gathered.gaps if gap.sequence > self._accepted]:", "        if lost := []:"),
    )),
    Mutant("a restarted log's consumer is waited for", LOG, (
        ('if self._client.stats["reconnects"] != self._reconnects:', "if False:"),
        ("            if self._clock() - self._heard < SILENT_S:", "            if True:"),
    )),
    Mutant("an acknowledgement goes to whoever has the slot now", "gateway.edge.acknowledge", (
        ("        live = sessions.generation[slots] == generations\n", "        live = np.ones(len(slots), bool)\n"),
    )),
)  # fmt: skip


class _Loader(importlib.machinery.SourceFileLoader):
    swaps: tuple[tuple[str, str], ...] = ()

    def get_code(self, fullname: str) -> CodeType:
        text = self.get_data(self.path).decode()
        for old, new in self.swaps:
            if text.count(old) != 1:
                raise SystemExit(f"{self.path} has {text.count(old)} times: {old!r}; the mutant is out of date")
            text = text.replace(old, new)
        return compile(text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert found is not None
        assert found.origin is not None
        loader = _Loader(fullname, found.origin)
        loader.swaps = self._mutant.swaps
        return importlib.util.spec_from_loader(fullname, loader)


def _run_broken(number: int, seeds: str, jobs: str) -> int:
    """In a process of its own, into which nothing of ours is imported yet."""
    sys.meta_path.insert(0, _Finder(MUTANTS[number]))
    from tests.simulation.__main__ import main  # noqa: PLC0415

    return main(["--seeds", seeds, "--jobs", jobs, "--quiet"])


def _all(seeds: int, jobs: int) -> int:
    """A table of how many seeds find each."""
    print(f"| what is broken | of {seeds} seeds find it | what they see |\n|---|---|---|")
    for number, mutant in enumerate(MUTANTS):
        command = [sys.executable, "-m", "tests.simulation.mutants", "--one", str(number), "--seeds", str(seeds)]
        done = subprocess.run([*command, "--jobs", str(jobs)], capture_output=True, text=True, check=False)
        told = done.stdout.strip().splitlines()
        print(f"| {mutant.name} | {told[-1] if told else done.stderr.strip()[-300:]} |", flush=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", type=int, help="the mutant of this number alone")
    asked = parser.parse_args()
    if asked.one is None:
        sys.exit(_all(asked.seeds, asked.jobs))
    sys.exit(_run_broken(asked.one, str(asked.seeds), str(asked.jobs)))
