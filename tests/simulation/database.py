"""A database behind the port gateway/worker/store.py: what PostgreSQL promises of transactions and sessions, and no SQL.

A session is a connection: what is asked over it arrives in order, and when it is cut the server rolls back what is open and
gives up its lock, while the client hears of it later, or when it asks next. A commit is begun (compare and set of the offset,
which holds the offset's row until the end; the rules' epoch), then ended by COMMIT, which takes effect in one moment or not
at all; the answer to that may be lost. Whoever waits for an offset's row looks at it when it is free.

Visits, alarms and pages are tests/geofence/system.py's, which does what storage/visits.py does.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from geofence.tampering import Watch
from storage.errors import EpochChangedError, OffsetMovedError, UnavailableError
from storage.load import Offset, Snapshot
from storage.work import Committed
from tests.geofence import system
from tests.simulation.loop import PROCESS
from tests.simulation.weather import Channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.ruleset import Ruleset
    from storage.ruleset import Changes
    from storage.work import Work
    from tests.simulation.loop import Process
    from tests.simulation.weather import Weather

Key = tuple[int, int, int]


def keys(positions: Positions) -> list[Key]:
    """Of every report: what it is known by."""
    columns = positions.device, positions.time, positions.fingerprint
    return list(zip(*(column.tolist() for column in columns), strict=True))


@dataclass
class Tables:
    """What is committed. ``last_page``: the largest number of pages that any alarm has."""

    offsets: dict[int, Offset] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    tracks: dict[int, dict[int, Any]] = field(default_factory=dict)
    stored: dict[Key, int] = field(default_factory=dict)
    """Key -> partition."""
    letters: Counter[int] = field(default_factory=Counter)
    visiting: system.Database = field(default_factory=system.Database)
    commits: int = 0


class Server:
    """epoch, rulesets: of the rules; each epoch that is committed has its own."""

    def __init__(self, weather: Weather, ruleset: Ruleset, whole: Ruleset) -> None:
        self.weather, self.loop = weather, weather.loop
        self.tables = Tables()
        self.epoch = 1
        self.rulesets = {1: ruleset}
        self.sessions: list[Session] = []
        self.down = False
        self.counts: Counter[str] = Counter()
        self._whole = whole
        self._locks: dict[int, Session] = {}
        self._rows: dict[int, Session] = {}
        self._waiting: dict[int, deque[tuple[Session, Work, asyncio.Future[Any]]]] = {}

    def edit(self, ruleset: Ruleset) -> None:
        self.epoch += 1
        self.rulesets[self.epoch] = ruleset
        self.weather.say(f"database: rules of epoch {self.epoch}")

    def fall(self) -> None:
        self.down = True
        for session in list(self.sessions):
            session.cut()

    def ended(self, session: Session) -> None:
        """The server knows that a session is over: rollback, and its lock is free."""
        if session in self.sessions:
            self.sessions.remove(session)
        if self._locks.get(session.partition) is session:
            del self._locks[session.partition]
        self._give_up_row(session)

    def lose_locks(self) -> None:
        """Sessions go on without them, as behind a pool of connections: the compare and set must tell owners apart."""
        self._locks.clear()

    def lock(self, session: Session) -> bool:
        return self._locks.setdefault(session.partition, session) is session

    def offset(self, partition: int, stream: str) -> Offset:
        return self.tables.offsets.setdefault(partition, Offset(partition, stream, 0, 0, {}, 0, 0, 0, {}))

    # ---- commits --------------------------------------------------------------------------------------------------

    def begin(self, session: Session, work: Work, answer: asyncio.Future[Any]) -> None:
        """Answers with None, or with what is wrong."""
        holder = self._rows.get(work.partition)
        if holder is not None and holder is not session:
            self.counts["waited_for_row"] += 1
            self._waiting.setdefault(work.partition, deque()).append((session, work, answer))
            return
        offset = self.tables.offsets[work.partition]
        error: Exception | None = None
        if (offset.stream, offset.sequence) != (work.stream, work.previous):
            self.counts["offset_moved"] += 1
            error = OffsetMovedError(work.partition, work.stream, work.previous)
        elif work.epoch != self.epoch:
            self.counts["epoch_changed"] += 1
            error = EpochChangedError(work.epoch, self.epoch)
        else:
            self._rows[work.partition] = session
        session.answer(answer, error)

    def end(self, session: Session, work: Work) -> Committed:
        duplicate = self._apply(work)
        self._give_up_row(session)
        return Committed(len(work.positions) - duplicate, duplicate)

    def _give_up_row(self, session: Session) -> None:
        if self._rows.get(session.partition) is not session:
            return
        del self._rows[session.partition]
        waiting = self._waiting.get(session.partition, deque())
        while waiting and self._rows.get(session.partition) is None:
            other, work, answer = waiting.popleft()
            if other.open:
                self.begin(other, work, answer)

    def _apply(self, work: Work) -> int:
        """The number of rows that were there already."""
        tables, rows = self.tables, work.positions
        new = np.array([key not in tables.stored for key in keys(rows)], bool)
        quarantined = (rows.quality & work.quarantined) != 0
        duplicate = int((~new).sum())
        self.counts["found_by_key"] += duplicate
        old = tables.offsets[work.partition]
        tables.offsets[work.partition] = replace(
            old, sequence=work.sequence, epoch=work.epoch, boots=orjson.loads(orjson.dumps(work.boots)),
            stored=old.stored + int((new & ~quarantined).sum()),
            quarantined=old.quarantined + int((new & quarantined).sum()),
            duplicate=old.duplicate + work.duplicate + duplicate,
            rejected=dict(Counter(old.rejected) + Counter(work.rejected)),
        )  # fmt: skip
        added = rows.take(np.flatnonzero(new))
        tables.visiting.store(_as_stored(added))
        tables.stored.update(dict.fromkeys(keys(added), work.partition))
        tables.letters.update(work.dead_letters.reason.tolist())
        for device, track in orjson.loads(orjson.dumps(work.tracks)):
            its = tables.tracks.setdefault(work.partition, {})
            if track is None:
                its.pop(device, None)
            else:
                its[device] = track
        if work.visits is not None:
            tables.visiting.write_changes(work.visits, self._whole)
        tables.commits += 1
        self.weather.say(
            f"database: {work.partition} from {work.previous} to {work.sequence}, {len(added)} rows,"
            f" {work.duplicate}+{duplicate} duplicates, epoch {work.epoch}"
        )
        return duplicate


def _as_stored(rows: Positions) -> Positions:
    return rows.with_columns(lon=np.rint(rows.lon * 1e6) / 1e6, lat=np.rint(rows.lat * 1e6) / 1e6)


class Session:
    """One connection of one process; a gateway.worker.store.Session. open: as far as the server knows."""

    def __init__(self, server: Server, process: Process, partition: int) -> None:
        self.server, self.process, self.partition = server, process, partition
        self.open = True
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
        found: Offset = await self._value(self.server.offset, self.partition, stream)
        return found

    async def snapshot(self) -> Snapshot | None:
        found: Snapshot | None = await self._value(self.server.tables.snapshots.get, self.partition)
        return found

    async def save_snapshot(self, sequence: int, version: int, state: bytes) -> None:
        snapshots = self.server.tables.snapshots
        await self._value(snapshots.__setitem__, self.partition, Snapshot(sequence, version, state))

    async def trimmable(self, stream: str, sequence: int) -> int:
        return int(await self._value(lambda: sequence))

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
        raise NotImplementedError("nothing is parked here")

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


class Store:
    """A gateway.worker.store.Store of one process."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server, self._process = server, process

    @asynccontextmanager
    async def session(self, partition: int) -> AsyncIterator[Session]:
        await asyncio.sleep(self._server.weather.latency())
        if self._process.dead:
            raise asyncio.CancelledError
        if self._server.down:
            raise UnavailableError("connection refused", known=True)
        session = Session(self._server, self._process, partition)
        self._server.sessions.append(session)
        self._process.at_death.append(session.close)
        try:
            yield session
        finally:
            session.close()
