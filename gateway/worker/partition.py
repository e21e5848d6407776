"""A partition: owned by one worker at a time, from its lock to its last commit.

    lock -> offset -> memory (tracks, snapshot, the log's last fixes) -> [gather -> sift -> judge -> commit -> remember] ...

Invariants: nothing is remembered before its commit; after an unknown outcome the offset in the database says what
happened; the log is trimmed only up to what the offset, a stored snapshot and, if so set, a verified backup cover.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import numpy as np
import structlog

from columns.positions import Positions, concatenate
from gateway.log import StreamChangedError
from gateway.worker import decision as deciding
from gateway.worker.memory import VERSION, Memory
from gateway.worker.rejudging import rejudge_late
from gateway.worker.store import Clock
from geofence.tampering import follow
from storage.errors import EpochChangedError, OffsetMovedError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from gateway.log import Log, Reader, Stream
    from gateway.worker.asking import Asking
    from gateway.worker.decision import Gathered, Judged
    from gateway.worker.rules import Rules, RulesCache
    from gateway.worker.store import Session, Store

GATHER_BYTES = 512 * 1024  # about 5,000 rows
LOCK_POLL_S = 0.5
RETRY_S = 0.5
RECALL_S = 30.0  # an election in the log's cluster takes 4-9 s
LAST_EVERY_S = 2.0
SNAPSHOT_EVERY_S = 10.0
SILENCE_EVERY_S = 30.0
FOLLOWS_S = 60.0  # who is further behind has not heard what terminals said meanwhile
log = structlog.get_logger()


class Stopped(Exception):  # noqa: N818  not an error: what to do next
    """The partition must not go on by itself; the message says why."""


class Partition:
    """run() for ever; ``trouble`` says what keeps it from working, ``owned`` whether it is ours."""

    def __init__(
        self,
        number: int,
        stream: Stream,
        broker: Log,
        store: Store,
        rules: RulesCache,
        asking: Asking,
        gather_s: float,
        clock: Clock = Clock(),  # noqa: B008  it holds nothing
    ) -> None:
        self.number = number
        self.owned = False
        self.trouble: str | None = None
        self.sequence = 0
        self.lag_s = 0.0
        self.commits = 0
        self.rows = 0
        self._stream = stream
        self._log = broker
        self._store = store
        self._rules = rules
        self._asking = asking
        self._gather_s = gather_s
        self._clock = clock
        self._memory = Memory()
        self._last: list[Positions] = []
        self._last_flushed = self._snapshot_taken = 0.0
        self._silence_sought = clock.monotonic()
        self._snapshot_sequence = 0

    async def run(self) -> None:
        while True:
            try:
                async with self._store.session(self.number) as session:
                    await self._own(session)
            except (Stopped, StreamChangedError, UnavailableError, OffsetMovedError) as error:
                self._interrupted(str(error).strip())
            except Exception as error:
                # A fault of ours: this partition tries again and says so; the others go on.
                log.exception("partition failed", partition=self.number)
                self._interrupted(repr(error))
            self.owned = False
            await asyncio.sleep(RETRY_S)

    def _interrupted(self, reason: str) -> None:
        if reason != self.trouble:
            log.warning("partition interrupted", partition=self.number, reason=reason)
        self.trouble = reason

    async def _own(self, session: Session) -> None:
        while not await session.lock():
            self.trouble = None
            await asyncio.sleep(LOCK_POLL_S)
        stream = await self._log.stream()
        offset = await session.offset(stream.identity)
        if offset.stream != stream.identity:
            raise Stopped(
                f"the database follows log {offset.stream}, but this one is {stream.identity}"
                " | 数据库记录的日志与当前日志不一致，已停止处理"
            )
        self.sequence = offset.sequence
        self._stream = stream
        reader: Reader | None = None
        try:
            reader = await self._recall(session, offset.boots)
            self.owned = True
            log.info("partition owned", partition=self.number, sequence=self.sequence)
            while True:
                messages = await reader.gather(self._gather_s, GATHER_BYTES)
                if messages:
                    await self._take(session, messages)
                else:
                    self.lag_s = 0.0
                await self._chores(session)
                self.trouble = None
        finally:
            if reader is not None:
                await reader.close()

    async def _recall(self, session: Session, boots: dict[str, int]) -> Reader:
        """Memory as the last owner had it. Nothing is decided again, since other batches would decide otherwise:

        tracks were stored with the commits that changed them; last fixes are the snapshot's, and those of the log from
        there to the offset, of which only the latest of each terminal counts.
        """
        snapshot = await session.snapshot()
        self._memory, start = Memory(dict(boots)), 0
        if snapshot is not None and snapshot.version == VERSION:
            try:
                self._memory, start = Memory.from_bytes(snapshot.state, boots), snapshot.sequence
            except ValueError as error:  # read what the log still has instead
                log.error("snapshot does not read", partition=self.number, error=str(error))  # noqa: TRY400
        self._snapshot_sequence = start
        reader = self._log.reader(self.number, start, self._stream)
        deadline = self._clock.monotonic() + RECALL_S
        try:
            while reader.after < self.sequence:
                messages = await reader.gather(0.0, GATHER_BYTES)
                messages = [message for message in messages if message[0] <= self.sequence]
                if messages:
                    self._memory.recall(deciding.gather(messages, {}).positions)
                    deadline = self._clock.monotonic() + RECALL_S
                elif self._clock.monotonic() > deadline:
                    raise Stopped(
                        f"the log does not give what the offset {self.sequence} has seen"
                        " | 日志缺少已处理位置之前的数据，已停止处理"
                    )
        finally:
            await reader.close()
        self._memory.state.replace_tracks(await session.tracks())
        self._memory.watch = await session.watch()
        return self._log.reader(self.number, self.sequence, self._stream)

    async def _take(self, session: Session, messages: list[tuple[int, bytes]]) -> None:
        gathered = deciding.gather(messages, self._memory.boots)
        new = await self._new(session, gathered)
        epoch = 0
        while True:
            rules = await self._rules.get(session, epoch)
            judged = await self._judge(session, rules, new)
            tampering = follow(self._memory.watch, self._memory.state, rules.ruleset, new)
            work = deciding.work(
                gathered, new, judged, rules, memory=self._memory, partition=self.number,
                stream=self._stream.identity, previous=self.sequence, now=self._clock.now(),
                tampering=tampering,
            )  # fmt: skip
            try:
                await session.commit(work)
            except EpochChangedError as changed:
                epoch = changed.new
                continue
            except RefusedError as error:
                raise Stopped(f"the database refuses a batch: {error}") from error
            break
        self.sequence = gathered.sequence
        self._memory.boots = gathered.boots
        self._memory.recent.remember(new)
        deciding.remember(self._memory, judged)
        self._memory.watch = tampering.after
        self._asking.ask(deciding.to_ask(judged))
        self.commits += 1
        self.rows += len(new)
        if len(new):
            self._last.append(new)
            self.lag_s = max(0.0, (self._clock.now() - int(new.received[-1])) / 1e6)

    async def _judge(self, session: Session, rules: Rules, new: Positions) -> Judged:
        """Terminals with rows so late that memory does not reach back to them are judged one by one, with their history."""
        judged = deciding.judge(self._memory, rules, new)
        for device in judged.late:
            rows = new.take(np.flatnonzero(new.device == device))
            judged.rejudged[device] = await rejudge_late(session, rules.ruleset, device, rows)
        return judged

    async def _new(self, session: Session, gathered: Gathered) -> Positions:
        """The rows that are not stored yet."""
        positions = gathered.positions
        sifted = self._memory.recent.sift(positions)
        if not len(sifted.suspects):
            return positions if len(sifted.fresh) == len(positions) else positions.take(sifted.fresh)
        asked = positions.take(sifted.suspects)
        known = await session.known(asked)
        return positions.take(np.union1d(sifted.fresh, sifted.suspects[~known]))

    async def _chores(self, session: Session) -> None:
        now = self._clock.monotonic()
        if self._last and now - self._last_flushed > LAST_EVERY_S:
            await session.flush_last(concatenate(self._last))
            self._last, self._last_flushed = [], now
        if now - self._silence_sought > SILENCE_EVERY_S and self.lag_s < FOLLOWS_S:
            self._silence_sought = now
            await self._end_silent(session)
        if now - self._snapshot_taken > SNAPSHOT_EVERY_S and self.sequence > self._snapshot_sequence:
            await self._snapshot(session)
            self._snapshot_taken = now

    async def _end_silent(self, session: Session) -> None:
        """Presences of terminals that were not heard for longer than their zone allows end where they were last seen."""
        rules = await self._rules.get(session, 0)
        silence = deciding.silence(self._memory, rules, self._clock.now())
        if not silence.tracks:
            return
        work = deciding.work_of_silence(
            silence, rules, memory=self._memory, partition=self.number, stream=self._stream.identity, at=self.sequence
        )
        with contextlib.suppress(EpochChangedError):  # a later look will do
            await session.commit(work)
            self._memory.state.silence(silence.tracks)

    async def _snapshot(self, session: Session) -> None:
        await session.save_snapshot(self.sequence, VERSION, self._memory.to_bytes())
        self._snapshot_sequence = self.sequence
        if upto := await session.trimmable(self._stream.identity, self.sequence):
            await self._log.trim(self.number, upto)
