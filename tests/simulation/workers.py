"""Workers: the real Partition, one for each partition of the log in each worker, over the fake log and database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from gateway.log import Log, Reader
from gateway.worker.asking import Asking
from gateway.worker.partition import Partition
from gateway.worker.rules import Rules, RulesCache
from gateway.worker.share import Everything, Share
from gateway.worker.store import Clock
from tests.simulation.jetstream import Client
from tests.simulation.lives import Lives
from tests.simulation.loop import Process
from tests.simulation.sessions import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.log import Stream
    from tests.simulation import database, jetstream
    from tests.simulation.weather import Weather

GATHER_S = 0.15


class _Log(Log):
    """Its readers look at the virtual clock."""

    def reader(self, partition: int, after: int, stream: Stream) -> Reader:
        return Reader(self.client, partition, after, stream, clock=time.monotonic)


class _Rules(RulesCache):
    """Made rulesets instead of rows that they are made from."""

    async def _load(self, store: Any) -> tuple[Rules, dict[int, Any]]:
        epoch, ruleset = await store.now()
        return Rules(epoch, ruleset), {}


class Life:
    """One process of a worker, from its start to its death."""

    def __init__(self, worker: Worker, number: int) -> None:
        self.worker, self.weather = worker, worker.weather
        self.process = Process(worker.weather.loop, f"worker{worker.number}.{number}")
        self.process.at_death.append(worker.died)
        self.partitions: list[Partition] = []
        self.process.start(self._run())

    async def _run(self) -> None:
        client = cast("Any", Client(self.worker.log, self.process))
        broker, store = _Log(client), Store(self.worker.database, self.process)
        stream = await broker.stream()
        rules, asking = _Rules(), Asking(client, time.monotonic)
        turns: Share | Everything = Everything()
        if self.weather.has("shares"):
            turns = Share(store, stream.partitions)
            self.process.start(turns.run())
        clock = Clock(time.monotonic, lambda: time.time_ns() // 1000)
        self.partitions = [
            Partition(number, stream, broker, store, rules, asking, GATHER_S, clock, turns)
            for number in range(stream.partitions)
        ]
        for one in self.partitions:
            self.process.start(one.run())
        self.process.start(asking.run())


class Worker(Lives[Life]):
    """One place for a worker; in it one life after the other."""

    def __init__(
        self, number: int, weather: Weather, log: jetstream.Server, server: database.Server,
        chance: Callable[[Process], None],
    ) -> None:  # fmt: skip
        self.number, self.log, self.database = number, log, server
        super().__init__(f"worker{number}", weather, lambda life: Life(self, life), chance)
