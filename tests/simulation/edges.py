"""Edges: the real hub, appender, sessions and deadlines of one, each life of it a process, and the wires to its terminals."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gateway.edge.connection import Connection
from gateway.edge.deadlines import sweep
from gateway.edge.hub import Hub
from gateway.edge.registry import Registry
from gateway.edge.rivals import SUBJECT
from gateway.edge.sessions import Sessions
from gateway.log import Log
from tests.simulation.jetstream import Client, Server
from tests.simulation.lives import Lives
from tests.simulation.loop import Process
from tests.simulation.weather import Channel, Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.simulation.terminals import Terminal

KEY = b"k" * 32
LINGER_S = 0.03
NOWHERE = Path("/nonexistent/registry.json")


class Wire:
    """The edge's end of a connection, which is its transport, and the way to the other end.

    What was sent arrives in order; when an end closes, or the process of the edge dies, the other hears of it later, and
    what was still on its way is lost.
    """

    def __init__(self, life: Life, terminal: Terminal) -> None:
        self.life, self.terminal = life, terminal
        self.up, self.down = Channel(life.weather), Channel(life.weather)
        self.connection: Connection | None = None
        self.open = True
        self._reading = True
        self._held: list[bytes] = []

    def send(self, data: bytes) -> None:
        """By the terminal."""
        self.up.send(self.life.process.call, self._receive, data)

    def hang_up(self) -> None:
        """By the terminal, or by the network: both ends hear of it."""
        if self.open:
            self.open = False
            self.up.open = self.down.open = False
            weather = self.life.weather
            weather.loop.after(weather.latency() * 10, self.life.process.call, self._lost)
            weather.loop.after(weather.latency() * 10, self.terminal.lost, self)

    def made(self) -> None:
        self.connection = Connection(self.life.hub)
        self.connection.connection_made(self)

    def _receive(self, data: bytes) -> None:
        if not self._reading:
            self._held.append(data)
        elif (
            not self.life.leaving
            and self.connection is not None
            and not self.connection.dropped
            and self.connection.slot >= 0
        ):
            self.connection.data_received(data)

    def _lost(self) -> None:
        if self.connection is not None:
            self.connection.connection_lost(None)

    # ---- as a transport -------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.open and not self.life.process.dead:
            self.down.send(self.terminal.hear, self, data)

    def abort(self) -> None:
        if not self.life.process.dead:
            self.hang_up()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        held, self._held, self._reading = self._held, [], True
        for data in held:
            self.life.process.call(self._receive, data)


class Life:
    """One process of an edge, from its start to its death."""

    hub: Hub

    def __init__(self, edge: Edge, number: int) -> None:
        self.edge, self.weather = edge, edge.weather
        self.process = Process(edge.weather.loop, f"edge{edge.number}.{number}")
        self.process.at_death.append(self._died)
        self.wires: list[Wire] = []
        self.listening = self.leaving = False
        self.client = Client(edge.server, self.process)
        self.process.start(self._run())

    async def _run(self) -> None:
        log = Log(cast("Any", self.client))
        stream = await log.stream()
        registry = Registry(NOWHERE, KEY, enrol=True)
        self.hub = Hub(
            log, registry, Sessions(), stream.partitions, LINGER_S, self._publish, self._ended, cast("Any", None), self._keep
        )  # fmt: skip
        await self.client.subscribe(SUBJECT, cb=self.hub.rivals.hear)
        self._keep(sweep(self.hub))
        self.listening = True

    def _publish(self, subject: str, data: bytes) -> None:
        self._keep(self.client.publish(subject, data))

    def _keep(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.weather.loop.errors.append(error)  # an edge ends itself then; here it is what is looked for
            self.process.kill()

    def leave(self) -> None:
        """It is told to stop: takes nothing in any more, and ends when what it took is on disk, or 5 s later."""
        if self.listening and not self.process.dead:
            self.listening, self.leaving = False, True
            self.process.start(self._stop())

    async def _stop(self) -> None:
        self.hub.flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.hub.appender.close(), 5)
        self.weather.loop.outside(self.process.kill)

    def accept(self, terminal: Terminal) -> Wire | None:
        """A connection, which the process hears of later; None where nobody listens."""
        if not self.listening or self.process.dead:
            return None
        wire = Wire(self, terminal)
        self.wires.append(wire)
        wire.up.send(self.process.call, wire.made)
        return wire

    def _died(self) -> None:
        self.listening = False
        for wire in self.wires:
            wire.hang_up()
        self.edge.died()


class Edge(Lives[Life]):
    """One address at which terminals call; behind it one life after the other."""

    def __init__(self, number: int, weather: Weather, server: Server, chance: Callable[[Process], None]) -> None:
        self.number, self.server = number, server
        super().__init__(f"edge{number}", weather, lambda life: Life(self, life), chance)
