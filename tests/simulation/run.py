"""One run: a seed decides everything - the place, who reports what, what goes wrong and when."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

import structlog

from storage.errors import RefusedError
from tests.geofence.worlds import DEVICES, EDIT, WORLDS
from tests.simulation import bad_rows, database, jetstream, model
from tests.simulation.bounds import bounds
from tests.simulation.edges import Edge
from tests.simulation.loop import SECOND, VirtualLoop, virtual
from tests.simulation.places import BEGIN_S, origin_of, phone_of, place, reports
from tests.simulation.terminals import Terminal
from tests.simulation.weather import LATE_COPY_S, Weather
from tests.simulation.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.loop import Process

DRAIN_S = 1200.0
"""Within so long after the last fault everything must be stored."""
QUIET_S = 5.0
OURS = {
    "partition failed",
    "batch failed",
    "message not recalled",
    "a job of the edge failed; ending | 接入进程内部任务失败，进程退出",
}
"""What the code under test logs where it caught its own fault."""


@dataclass
class Result:
    """failures: empty where all is well; digest: of the trace, so that two runs can be compared."""

    seed: int
    failures: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    seconds: float = 0.0
    """Of virtual time."""
    counts: dict[str, int] = field(default_factory=dict)


class Simulation:
    def __init__(self, seed: int) -> None:
        self.result = Result(seed)
        self.told: Counter[str] = Counter()
        # The place and the walks have a source of their own: another mixture of faults leaves them as they are.
        self.loop = VirtualLoop(0)
        self.weather = Weather(seed, self.loop, self.say)
        chance = self.weather.random
        self.place = place(seed % WORLDS)
        edited = self.weather.has("edit") and chance.random() < 0.5
        self.loop.wall_us = self.origin = origin_of(self.place, chance, edited=edited)
        partitions = chance.choice([1, 1, 2, 3])
        self.log = jetstream.Server(self.weather, partitions)
        first = self.place.before if edited else self.place.rules
        self.database = database.Server(self.weather, first, self.place.rules)
        if self.weather.has("refused_rows"):
            self.database.refuses = bad_rows.refused
        self.log.on_trim = self._trimmed
        self.edges = [Edge(n, self.weather, self.log, self._edge_starts) for n in range(chance.choice([1, 2, 2]))]
        self.workers = [
            Worker(n, self.weather, self.log, self.database, self._worker_starts)
            for n in range(chance.choice([1, 2, 2]))
        ]
        blind, mad = self.weather.has("blind"), self.weather.has("mad_clock")
        self.terminals = [
            Terminal(phone_of(device), self.weather, self.edges,
                     reports(self.place, device, self.origin, chance, blind=blind, mad=mad))
            for device in chance.sample(DEVICES, chance.randrange(1, 5))
        ]  # fmt: skip
        self.say(
            f"seed {seed}: world {seed % WORLDS}, {partitions} partitions, {len(self.edges)} edges,"
            f" {len(self.workers)} workers, {len(self.terminals)} terminals"
        )
        if edited:
            at = chance.uniform(0, (EDIT - self.origin) / SECOND)
            self.loop.after(BEGIN_S + at - self.loop.time(), self.database.edit, self.place.rules)

    def say(self, what: str) -> None:
        self.result.trace.append(f"{self.loop.time() - BEGIN_S:10.4f} {what}")

    # ---- faults ---------------------------------------------------------------------------------------------------

    def _edge_starts(self, process: Process) -> None:
        self._doom(process, "edge_crash", 500)

    def _worker_starts(self, process: Process) -> None:
        self._doom(process, "worker_crash", 1500)

    def _doom(self, process: Process, kind: str, mean: float) -> None:
        process.at_death.append(lambda: self.say(f"{process.name} dies before its step {process.steps}"))
        if self.weather.bad(kind, 0.25):
            process.doom = 1 + int(self.weather.random.expovariate(self.weather.rate[kind] / mean))

    async def _faults(self) -> None:
        """Now and then something happens to a whole process or server."""
        weather = self.weather
        while not weather.healed:
            await asyncio.sleep(weather.pause(10.0))
            kind = weather.random.choice(
                [
                    "edge_stall",
                    "worker_stall",
                    "database_down",
                    "log_down",
                    "refuse",
                    "cut",
                    "lock_lost",
                    "edit",
                    "reset",
                ]
            )
            if not weather.bad(kind, 0.25):
                continue
            # Who shares believes the locks alone, and PostgreSQL takes none from a session that lives.
            if kind == "lock_lost" and weather.has("shares"):
                continue
            self.say(f"fault: {kind}")
            seconds = weather.random.choice([0.3, 3.0, 10.0, 60.0]) * weather.random.random()
            if kind == "edge_stall":
                await self._stall(weather.random.choice(self.edges).life.process, seconds)
            elif kind == "edge_restart":
                weather.random.choice(self.edges).life.leave()
            elif kind == "clock":
                self.loop.wall_us += (jump := weather.random.choice([-1, 1]) * 3600 * SECOND)
                await asyncio.sleep(seconds)
                self.loop.wall_us -= jump
            elif kind == "worker_stall":
                await self._stall(weather.random.choice(self.workers).life.process, seconds)
            elif kind == "database_down":
                self.database.fall()
                await asyncio.sleep(seconds)
                self.database.down = False
            elif kind == "log_down":
                self.log.fall()
                await asyncio.sleep(seconds)
                self.log.rise()
            elif kind == "refuse":
                self.log.full = True
                await asyncio.sleep(seconds)
                self.log.full = False
            elif kind == "cut":
                for session in list(self.database.sessions):
                    session.cut()
            elif kind == "lock_lost":
                self.database.lose_locks()
            elif kind == "edit":
                self.database.edit(self.database.rulesets[self.database.epoch])
            else:
                for wire in weather.random.choice(self.edges).life.wires:
                    wire.hang_up()

    async def _stall(self, process: Process, seconds: float) -> None:
        process.stand_still()
        await asyncio.sleep(seconds)
        process.go_on()

    def _trimmed(self, partition: int, upto: int) -> None:
        """Law 1: only what the offset and a stored snapshot cover."""
        tables = self.database.tables
        offset, snapshot = tables.offsets.get(partition), tables.snapshots.get(partition)
        covered = min(offset.sequence if offset else 0, snapshot.sequence if snapshot else 0)
        if upto > covered:
            self.result.failures.append(f"partition {partition}: trimmed up to {upto}, covered is {covered}")

    def caught(self, error: BaseException | None) -> None:
        """The code has caught what it should not raise, unless the row was a bad one."""
        if not isinstance(error, RefusedError | ZeroDivisionError):
            self.loop.errors.append(error or RuntimeError("a fault that was logged"))

    # ---- the run --------------------------------------------------------------------------------------------------

    async def _all(self) -> None:
        await asyncio.sleep(0.1)  # until there are edges
        faults = asyncio.ensure_future(self._faults())
        running = [asyncio.ensure_future(terminal.run()) for terminal in self.terminals]
        last = max(report.due for terminal in self.terminals for report in terminal.reports)
        await asyncio.wait(running, timeout=last + 30 - self.loop.time())
        self.weather.healed = True
        self.say("all is fair from here on")
        await faults
        for process in [each.life.process for each in (*self.edges, *self.workers)]:
            process.doom = None
        end = self.loop.time() + DRAIN_S
        await asyncio.wait(running, timeout=end - self.loop.time())
        for task in running:
            if task.done():
                task.result()
        await asyncio.sleep(QUIET_S + (LATE_COPY_S if self.weather.has("late_copy") else 0.0))
        while not self._drained() and self.loop.time() < end + LATE_COPY_S:  # noqa: ASYNC110  a look from outside
            await asyncio.sleep(1.0)
        await asyncio.sleep(3.0)
        for terminal in self.terminals:
            if terminal.left:
                self.result.failures.append(f"{terminal.phone}: never told that it is stored: {sorted(terminal.left)}")
        if not self._drained():
            troubles = [one.trouble for worker in self.workers for one in worker.life.partitions]
            self.result.failures.append(f"the log is not read to its end; troubles: {troubles}")
        self.result.failures += model.wrong(self.terminals, self.log, self.database.tables, self.place)

    def _drained(self) -> bool:
        offsets = self.database.tables.offsets
        done = {number: offset.sequence for number, offset in offsets.items()}
        return all(done.get(number, 0) >= self.log.last_of(number) for number in range(self.log.partitions))

    def _counts(self) -> dict[str, int]:
        """How much happened."""
        tables, visiting = self.database.tables, self.database.tables.visiting
        offsets = tables.offsets.values()
        return {
            "reports": sum(len(terminal.reports) for terminal in self.terminals), "rows": len(tables.stored),
            "duplicates": sum(offset.duplicate for offset in offsets),
            "quarantined": sum(offset.quarantined for offset in offsets),
            "rejected": sum(sum(offset.rejected.values()) for offset in offsets),
            "batches": len(self.log.archive), "commits": tables.commits, "presences": len(visiting.presences),
            "late": sum(presence.late for presence in visiting.presences.values()),
            "visits": len(visiting.visits), "alarms": len(visiting.alarms),
            "pauses": sum(n for event, n in self.told.items() if event.startswith("reading paused")),
            "pages": sum(alarm.paged is not None for alarm in visiting.alarms.values()),
            "parked": sum(letter.reason in bad_rows.PARKED for letter in tables.letters),
            "restarts": sum(each.count - 1 for each in (*self.edges, *self.workers)),
            **self.log.counts, **self.database.counts,
        }  # fmt: skip

    def run(self) -> Result:
        result, loop = self.result, self.loop
        with virtual(loop), _seeded(self.weather), _heard(self):
            try:
                loop.run_until_complete(self._all())
            except BaseException as error:  # noqa: BLE001  whatever it is, it is what was looked for
                loop.errors.append(error)
            result.seconds = loop.time() - BEGIN_S
            self.weather.over = True
            for each in (*self.edges, *self.workers):
                each.life.process.kill()
            loop.run_until_complete(asyncio.sleep(5))
        result.failures += [f"raised: {error!r}" for error in loop.errors]
        result.digest = hashlib.sha256("\n".join(result.trace).encode()).hexdigest()[:16]
        result.counts = self._counts()
        return result


@contextmanager
def _seeded(weather: Weather) -> Iterator[None]:
    """Random names and pauses are the seed's, too, and so is which bounds are small."""
    names = mock.patch.object(secrets, "token_hex", lambda n: weather.random.randbytes(n).hex())
    jitter = mock.patch.object(random, "uniform", weather.random.uniform)
    with names, jitter, bounds(weather.random), bad_rows.poisoned(weather):
        yield


@contextmanager
def _heard(simulation: Simulation) -> Iterator[None]:
    """What is logged goes into the trace; a fault that the code caught itself is a failure all the same."""

    def hear(_: Any, level: str, event: dict[str, Any]) -> Any:
        error = event.pop("exc_info", None)
        error = sys.exc_info()[1] if error is True else error
        text = " ".join(f"{name}={value}" for name, value in event.items())
        simulation.say(f"{level}: {text}")
        simulation.told[event["event"]] += 1
        if event["event"] in OURS:
            simulation.caught(error if isinstance(error, BaseException) else sys.exc_info()[1])
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[hear], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(seed: int) -> Result:
    return Simulation(seed).run()
