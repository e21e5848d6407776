"""Sessions of the fake database: what gateway/worker/store.py asks of one, over a connection that may be cut."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gateway.worker.parking import keys
from geofence.tampering import Watch
from storage.errors import UnavailableError
from storage.load import Offset, Snapshot
from tests.simulation.loop import PROCESS
from tests.simulation.weather import Channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.ruleset import Ruleset
    from storage.membership import Standing
    from storage.ruleset import Changes
    from storage.work import Committed, Work
    from tests.simulation.database import Server
    from tests.simulation.loop import Process

Made = TypeVar("Made", bound="Session")
NO_PARTITION = -1


class Session:
    """One connection of one process; a gateway.worker.store.Session. open: as far as the server knows."""

    def __init__(self, server: Server, process: Process, member: int, partition: int) -> None:
        self.server, self.process, self.member, self.partition = server, process, member, partition
        self.open, self.joined = True, False
        self.owner = 0
        self._weather = server.weather
        self._there, self._back = Channel(server.weather), Channel(server.weather)
        self._asked: dict[asyncio.Future[Any], bool] = {}
        """What is not answered yet, and whether it was a COMMIT."""

    def cut(self) -> None:
        """The connection is lost: the server notices now, the client some time later."""
        if not self.open:
            return
        self.open = self._there.open = self._back.open = False
        self.server.ended(self)
        for future in self._asked:
            self.server.loop.after(self._weather.pause(1.0), self._lost, future)

    def close(self) -> None:
        """By the client, or by the end of its process: what it sent before is done first."""
        self._there.send(self.cut)

    def _lost(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            known = not self._asked[future]
            self.server.counts["unavailable" if known else "in_doubt"] += 1
            future.set_exception(UnavailableError("the connection was lost", known=known))

    def answer(self, future: asyncio.Future[Any], result: Any) -> None:
        self._back.send(self._answered, future, result)

    def _answered(self, future: asyncio.Future[Any], result: Any) -> None:
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    async def _ask(self, what: Callable[[asyncio.Future[Any]], None], *, committing: bool = False) -> Any:
        if self.process.dead:
            raise asyncio.CancelledError
        assert PROCESS.get() is self.process
        if not self.open:
            raise UnavailableError("the connection is closed", known=True)
        future: asyncio.Future[Any] = self.server.loop.create_future()
        self._asked[future] = committing
        if self._weather.bad("cut", 0.001):
            self.cut()
        self.process.endanger(self._weather)
        self._there.send(what, future)
        try:
            return await future
        finally:
            self._asked.pop(future, None)

    async def _value(self, what: Callable[..., Any], *args: Any) -> Any:
        def do(future: asyncio.Future[Any]) -> None:
            self.answer(future, what(*args))

        return await self._ask(do)

    # ---- the port -------------------------------------------------------------------------------------------------

    async def lock(self) -> bool:
        return bool(await self._value(self.server.lock, self))

    async def offset(self, stream: str) -> Offset:
        found: Offset = await self._value(self.server.offset, self, stream)
        return found

    async def snapshot(self) -> Snapshot | None:
        found: Snapshot | None = await self._value(self.server.tables.snapshots.get, self.partition)
        return found

    async def parked(self, after: int) -> list[bytes]:
        return list(await self._value(lambda: self.server.parked(self.partition, after)))

    async def save_snapshot(self, stream: str, sequence: int, version: int, state: bytes) -> None:
        await self._value(self.server.save_snapshot, self, stream, Snapshot(sequence, version, state))

    async def trimmable(self, stream: str, sequence: int) -> int:
        return int(await self._value(lambda: max(0, sequence - 1)))

    async def tracks(self) -> dict[int, Any]:
        return dict(await self._value(lambda: dict(self.server.tables.tracks.get(self.partition, {}))))

    async def watch(self) -> Watch:
        return Watch(await self._value(dict))

    async def known(self, positions: Positions) -> NDArray[np.bool_]:
        stored = self.server.tables.stored
        found: NDArray[np.bool_] = await self._value(lambda: np.array([key in stored for key in keys(positions)], bool))
        return found

    async def commit(self, work: Work) -> Committed:
        def begin(future: asyncio.Future[Any]) -> None:
            self.server.begin(self, work, future)

        def end(future: asyncio.Future[Any]) -> None:
            if self._weather.bad("doubt", 0.02):
                self.cut()
                return
            done = self.server.end(self, work)
            if self._weather.bad("doubt", 0.02):
                self.cut()
                return
            self.answer(future, done)

        await self._ask(begin)
        committed: Committed = await self._ask(end, committing=True)
        return committed

    async def flush_last(self, positions: Positions) -> None:
        await self._value(len, positions)

    async def ping(self) -> None:
        await self._value(lambda: None)

    async def trial(self, work: Work) -> Committed:
        await self._ask(lambda future: self.server.begin(self, work, future))
        tried: Committed = await self._value(self.server.rollback, self, work)
        return tried

    async def rules_since(self, epoch: int) -> Changes:
        raise NotImplementedError("see Rules")

    async def fixes_before(self, device: int, at: int, most: int) -> Positions:
        return await self._history(self.server.tables.visiting.fixes_before, device, at, most)

    async def fixes_from(self, device: int, at: int, most: int) -> Positions:
        return await self._history(self.server.tables.visiting.fixes_from, device, at, most)

    async def presences(self, device: int, since: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._history(self.server.tables.visiting.presences_of, device, since)
        return found

    async def _history(self, what: Callable[..., Any], *args: Any) -> Any:
        def run() -> Any:
            try:
                what(*args).send(None)
            except StopIteration as done:
                return done.value
            raise AssertionError("nothing there waits")

        return await self._value(run)

    async def now(self) -> tuple[int, Ruleset]:
        """The rules as they are, with their epoch."""
        found: tuple[int, Ruleset] = await self._value(
            lambda: (self.server.epoch, self.server.rulesets[self.server.epoch])
        )
        return found


class Member(Session):
    """A process's session for itself."""

    def __init__(self, server: Server, process: Process, member: int) -> None:
        super().__init__(server, process, member, NO_PARTITION)
        self.id = member
        self.joined = True

    async def look(self) -> Standing:
        found: Standing = await self._value(self.server.look)
        return found


class Store:
    """A gateway.worker.store.Store of one process."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server, self._process = server, process
        self._member = server.weather.random.randrange(1 << 31)

    @asynccontextmanager
    async def session(self, partition: int) -> AsyncIterator[Session]:
        async with self._connected(lambda: Session(self._server, self._process, self._member, partition)) as session:
            yield session

    @asynccontextmanager
    async def member(self) -> AsyncIterator[Member]:
        async with self._connected(lambda: Member(self._server, self._process, self._member)) as member:
            yield member

    @asynccontextmanager
    async def _connected(self, make: Callable[[], Made]) -> AsyncIterator[Made]:
        await asyncio.sleep(self._server.weather.latency())
        if self._process.dead:
            raise asyncio.CancelledError
        if self._server.down:
            raise UnavailableError("connection refused", known=True)
        session = make()
        self._server.sessions.append(session)
        self._process.at_death.append(session.close)
        try:
            yield session
        finally:
            session.close()
