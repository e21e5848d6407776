"""A partition: owned by one worker at a time, from its lock to its last commit.

    turn -> lock -> offset -> memory (tracks, snapshot, the log's last fixes) -> [gather -> take -> chores] ... -> snapshot

Invariants: nothing is remembered before its commit (taking.py); after an unknown outcome the offset in the database says what
happened; the log is trimmed only up to what both the offset and a stored snapshot cover; while there is no session nothing
is read from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import structlog

from gateway.histogram import Histogram
from gateway.log import StreamChangedError
from gateway.worker import decision as deciding
from gateway.worker.memory import VERSION, Memory
from gateway.worker.parking import TRIES, ForgottenError, Parking, Stopped, is_the_batchs, without_parked
from gateway.worker.share import Everything
from gateway.worker.store import PING_S, Clock
from gateway.worker.taking import Taking
from storage.errors import EpochChangedError, OffsetMovedError, UnavailableError

if TYPE_CHECKING:
    from gateway.log import Log, Reader, Stream
    from gateway.worker.asking import Asking
    from gateway.worker.rules import RulesCache
    from gateway.worker.share import Turns
    from gateway.worker.store import Session, Store

GATHER_BYTES = 512 * 1024  # about 5,000 rows
CATCH_UP_BYTES = 4 * GATHER_BYTES  # a commit costs less per row, and nobody waits for a decision that is late anyway
BEHIND_S = 3.0
RETRY_S = 0.5
STOPPED_S = 2.0  # what stopped it waits for somebody
TRY_AGAIN_S = 0.05
RECALL_S = 30.0  # an election in the log's cluster takes 4-9 s
LAST_EVERY_S = 2.0
SNAPSHOT_EVERY_S = 10.0
SILENCE_EVERY_S = 30.0
FOLLOWS_S = 60.0  # who is further behind has not heard what terminals said meanwhile
LOOKS_S = 1.5  # a reader without news returns after a second
log = structlog.get_logger()


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
        turns: Turns = Everything(),  # noqa: B008
        latency: Histogram | None = None,
    ) -> None:
        self.number = number
        self.owned = False
        self.trouble: str | None = None
        self._stream = stream
        self._log = broker
        self._store = store
        self._rules = rules
        self._gather_s = gather_s
        self._clock = clock
        self._turns = turns
        self._taking = Taking(number, rules, asking, clock, latency or Histogram())
        self._parking = Parking(self._taking)
        self._lag_s = 0.0
        self._looked = self._pinged = clock.monotonic()
        self._last_flushed = self._snapshot_taken = 0.0
        self._silence_sought = clock.monotonic()
        self._snapshot_sequence = 0

    @property
    def sequence(self) -> int:
        return self._taking.sequence

    @property
    def lag_s(self) -> float:
        """How long ago what was taken last was received; it grows while nothing can be taken."""
        if not self.owned and self.trouble is None:
            return 0.0
        return self._lag_s + max(0.0, self._clock.monotonic() - self._looked - LOOKS_S)

    def status(self) -> dict[str, Any]:
        """For /readyz and /metrics."""
        taking = self._taking
        return {
            "owned": self.owned, "trouble": self.trouble, "sequence": taking.sequence, "lag_s": round(self.lag_s, 3),
            "commits": taking.commits, "rows": taking.rows, "duplicates": taking.duplicates,
            "parked": self._parking.parked,
        }  # fmt: skip

    async def run(self) -> None:
        while True:
            pause = RETRY_S
            try:
                await self._turn()
                await self._session()
            except Stopped as error:
                self._interrupted(str(error))
                pause = STOPPED_S
            except StreamChangedError as error:
                english, _, chinese = str(error).partition(" | ")
                self._interrupted(
                    f"{english}. Restore the log, or give up what is lost by `lezgate log accept-loss --partition {self.number}`"
                    f" | {chinese}：请恢复日志，或执行 lezgate log accept-loss --partition {self.number} 放弃丢失的数据"
                )
                pause = STOPPED_S
            except (UnavailableError, OffsetMovedError, ForgottenError) as error:
                self._interrupted(str(error).strip())
            except Exception as error:
                # A fault of ours: this partition tries again and says so; the others go on.
                log.exception("partition failed", partition=self.number)
                self._interrupted(repr(error))
            else:
                pause = 0.0
            self.owned = False
            self._turns.left(self.number)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  so that not all come back at once

    def _interrupted(self, reason: str) -> None:
        if reason != self.trouble:
            log.warning("partition interrupted", partition=self.number, reason=reason)
        self.trouble = reason

    async def _turn(self) -> None:
        """What another process owns is no trouble of ours."""
        turn = asyncio.ensure_future(self._turns.turn(self.number))
        try:
            while not turn.done():
                if self._turns.elsewhere(self.number):
                    self.trouble = None
                await asyncio.wait([turn], timeout=RETRY_S)
        finally:
            turn.cancel()

    async def _session(self) -> None:
        """From the lock to its end; returns where another process has the lock, or is to have it."""
        stream = await self._log.stream()  # before the lock: while the log is away nobody else should wait for ours
        async with self._store.session(self.number) as session:
            if not await session.lock():
                self.trouble = None
                await asyncio.sleep(RETRY_S)
                return
            self._turns.taken(self.number)
            await self._own(session, stream)
            log.info("partition given up for another worker", partition=self.number, sequence=self.sequence)

    async def _own(self, session: Session, stream: Stream) -> None:
        offset = await session.offset(stream.identity)
        if offset.stream != stream.identity:
            raise Stopped(
                f"the database follows log {offset.stream}, but this one is {stream.identity}: a wrong NATS, or a log that was"
                f" made anew. Connect the right one, or give up what is lost by `lezgate log accept-loss --partition {self.number}`"
                f" | 数据库记录的日志与当前日志不一致，已停止处理：请连接正确的 NATS，或执行 lezgate log accept-loss --partition"
                f" {self.number} 放弃丢失的数据"
            )
        self._stream = stream
        self._taking.begin(session, stream, offset)
        await self._recall(session, offset.boots)
        reader = self._log.reader(self.number, self.sequence, stream)
        try:
            self.owned = True
            log.info("partition owned", partition=self.number, sequence=self.sequence)
            await self._follow(session, reader)
        finally:
            await reader.close()

    async def _follow(self, session: Session, reader: Reader) -> None:
        """The log's news, until this partition is to be another worker's."""
        while True:
            size = CATCH_UP_BYTES if self._lag_s > BEHIND_S else GATHER_BYTES
            messages = await reader.gather(self._gather_s, size)
            try:
                if messages:
                    await self._take(session, messages)
                    self._lag_s = max(0.0, (self._clock.now() - self._taking.newest) / 1e6)
                else:
                    self._lag_s = 0.0
            except Stopped:
                await self._snapshot(session)  # so that whoever goes on begins exactly here
                raise
            self._looked = self._clock.monotonic()
            await self._chores(session)
            self.trouble = None
            if self._turns.surplus(self.number):
                await self._snapshot(session)
                return

    async def _take(self, session: Session, messages: list[tuple[int, bytes]]) -> None:
        """What fails is tried again, at last with a memory made anew, and then taken apart."""
        for tried in range(1, TRIES + 1):
            try:
                await self._taking.settle(self._taking.gather(messages))
            except Exception as error:
                if not is_the_batchs(error):
                    raise
                log.exception("batch failed", partition=self.number, sequence=self.sequence, tried=tried)
            else:
                return
            if tried == TRIES - 1:
                await self._recall(session, self._taking.memory.boots)
            await asyncio.sleep(TRY_AGAIN_S)
        await self._parking.take_apart(messages)

    async def _recall(self, session: Session, boots: dict[str, int]) -> None:
        """Memory as the last owner had it. Nothing is decided again, since other batches would decide otherwise:

        tracks were stored with the commits that changed them; last fixes are the snapshot's, and those of the log from
        there to the offset, save parked ones, of which only the latest of each terminal counts. The message at the offset
        itself is always in the log, since trimming stops before the snapshot's: where it is not, the log followed a
        database newer than ours.
        """
        snapshot = await session.snapshot()
        memory, start = Memory(dict(boots)), 0
        if snapshot is not None and snapshot.version == VERSION:
            try:
                memory, start = Memory.from_bytes(snapshot.state, boots), snapshot.sequence
            except ValueError as error:  # read what the log still has instead
                log.error("snapshot does not read", partition=self.number, error=str(error))  # noqa: TRY400
        self._snapshot_sequence = start
        parked = await session.parked(start)
        reader = self._log.reader(self.number, max(0, min(start, self.sequence - 1)), self._stream)
        deadline = self._clock.monotonic() + RECALL_S
        try:
            while reader.after < self.sequence:
                messages = await reader.gather(0.0, GATHER_BYTES)
                if reader.after > self.sequence and self.sequence not in {sequence for sequence, _ in messages}:
                    raise Stopped(
                        f"the log was trimmed behind the offset {self.sequence}, by a worker whose database is newer than this"
                        " one. Restore that database, or give up what is lost by `lezgate log accept-loss --partition"
                        f" {self.number}` | 日志在已处理位置 {self.sequence} 之后的数据已由较新的数据库清理，已停止处理：请恢复较新的"
                        f"数据库，或执行 lezgate log accept-loss --partition {self.number} 放弃丢失的数据"
                    )
                if messages:
                    _take_in(memory, [message for message in messages if start < message[0] <= self.sequence], parked)
                    deadline = self._clock.monotonic() + RECALL_S
                elif self._clock.monotonic() > deadline:
                    raise Stopped(
                        f"the log does not give what the offset {self.sequence} has seen: it lost its end. Restore it, or give"
                        f" up what is lost by `lezgate log accept-loss --partition {self.number}`"
                        f" | 日志缺少已处理位置之前的数据，已停止处理：请恢复日志，或执行 lezgate log accept-loss --partition"
                        f" {self.number} 放弃丢失的数据"
                    )
                await self._ping(session)
        finally:
            await reader.close()
        memory.state.replace_tracks(await session.tracks())
        memory.watch = await session.watch()
        self._taking.memory = memory

    async def _chores(self, session: Session) -> None:
        now = self._clock.monotonic()
        if len(self._taking.showing) and now - self._last_flushed > LAST_EVERY_S:
            await session.flush_last(self._taking.showing.rows())
            self._taking.showing.clear()
            self._last_flushed = now
        if now - self._silence_sought > SILENCE_EVERY_S and self._lag_s < FOLLOWS_S:
            self._silence_sought = now
            await self._end_silent(session)
        if now - self._snapshot_taken > SNAPSHOT_EVERY_S and self.sequence > self._snapshot_sequence:
            await self._snapshot(session)
            self._snapshot_taken = now
        await self._ping(session)

    async def _ping(self, session: Session) -> None:
        if self._clock.monotonic() - self._pinged > PING_S:
            await session.ping()
            self._pinged = self._clock.monotonic()

    async def _end_silent(self, session: Session) -> None:
        """Presences of terminals that were not heard for longer than their zone allows end where they were last seen."""
        rules, memory = await self._rules.get(session, 0), self._taking.memory
        silence = deciding.silence(memory, rules, self._clock.now())
        if not silence.tracks:
            return
        work = deciding.work_of_silence(
            silence, rules, memory=memory, partition=self.number, stream=self._stream.identity, at=self.sequence
        )
        with contextlib.suppress(EpochChangedError):  # a later look will do
            await session.commit(work)
            memory.state.silence(silence.tracks)

    async def _snapshot(self, session: Session) -> None:
        await session.save_snapshot(self._stream.identity, self.sequence, VERSION, self._taking.memory.to_bytes())
        self._snapshot_sequence = self.sequence
        if upto := await session.trimmable(self._stream.identity, self.sequence):
            await self._log.trim(self.number, upto)


def _take_in(memory: Memory, messages: list[tuple[int, bytes]], parked: list[bytes]) -> None:
    """Rows that were decided; what was parked then, or cannot be read or remembered, is passed over now."""
    try:
        memory.recall(without_parked(deciding.gather(messages, {}).positions, parked))
    except Exception:
        if len(messages) == 1:
            log.exception("message not recalled", sequence=messages[0][0])
            return
        for message in messages:
            _take_in(memory, [message], parked)
