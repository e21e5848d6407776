"""Hub: everything that arrives in a linger becomes columns at once, goes to the log, and is acknowledged from there.

No Python runs per report here: chunks are joined and read by protocols.jt808.intake, checked against the sessions'
columns, and answered by one write per connection. Only conversation packets (register, authenticate ...) are taken one
by one, in `conversation`, and only rejects are counted one by one.

Back-pressure: when more than PAUSE_BYTES wait for the log, every socket stops being read until half of it is gone, and
new ones are closed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import structlog

from columns.outcome import Outcome
from columns.reason import Reason
from gateway.edge.acknowledge import Writer
from gateway.edge.appender import Appender
from gateway.edge.conversation import converse
from gateway.edge.part import MAX_BYTES, PACKET_BYTES, ROW_BYTES, Gathering, Part, pieces
from protocols.jt808.intake import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from columns.positions import Positions
    from gateway.edge.connection import Connection
    from gateway.edge.registry import Registry
    from gateway.edge.sessions import Sessions
    from gateway.log import Log
    from protocols.contract import Intake
    from protocols.jt808.header import Packets

FLUSH_BYTES = 512 * 1024  # a linger that brings more is not waited for: columns are already long
PAUSE_BYTES = 64 * 1024 * 1024  # about 250,000 reports: minutes of a city while the log is away
GARBAGE_LIMIT = 200  # rejected runs in a row: whoever sends these does not speak JT/T 808
DEAD_PER_FLUSH = 100  # dead letters are evidence, not an archive of garbage; the rest is counted only
log = structlog.get_logger()


class _Senders(NamedTuple):
    """Of some packets: whether their session's own, authenticated terminal sent them; its device and partition."""

    known: NDArray[np.bool_]
    device: NDArray[np.int64]
    partition: NDArray[np.int32]


class Hub:
    """The meeting place of an edge's sockets, registry and log.

    announce: hears which devices authenticated here; ended: of every task that is done; paused_hooks: called with
    whether reading is paused, when that changes, by who reads anything but sockets.
    """

    def __init__(
        self, log: Log, registry: Registry, sessions: Sessions, partitions: int, linger_s: float,
        announce: Callable[[list[int]], None], ended: Callable[[asyncio.Task[Any]], None],
    ) -> None:  # fmt: skip
        self.registry = registry
        self.sessions = sessions
        self.partitions = partitions
        self.linger_s = linger_s
        self.announce = announce
        self.writer = Writer(sessions)
        self.appender = Appender(log, partitions, self._stored, ended)
        self.counts: Counter[str] = Counter()
        self.paused = False
        self.paused_hooks: list[Callable[[bool], None]] = []
        self._loop = asyncio.get_running_loop()
        self._owners: list[Connection] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._garbage: Counter[int] = Counter()

    # ---- sockets ------------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        connection.slot = self.sessions.open(connection, time.monotonic())
        if (
            self.paused
        ):  # uvloop begins to read after connection_made, whatever was said before: the terminal comes again
            self.drop(connection, "paused")

    def closed(self, connection: Connection) -> None:
        if connection.slot < 0:
            return
        if connection in self._owners:
            self.flush()  # who reports and hangs up is stored: what it said needs the session that is about to go
        self._garbage.pop(connection.slot, None)
        self.sessions.close(connection.slot)
        connection.slot = -1

    def drop(self, connection: Connection, why: str) -> None:
        if connection.dropped:  # a socket is lost some time after it is aborted
            return
        connection.dropped = True
        self.counts[f"closed_{why}"] += 1
        connection.transport.abort()

    def drop_slot(self, slot: int, why: str) -> None:
        """``why`` is "replaced" where a newer connection of the same terminal authenticated: the newest wins."""
        connection = self.sessions.connections[slot]
        if connection is not None:
            self.drop(connection, why)

    def add(self, connection: Connection, data: bytes) -> None:
        if not self._chunks:
            self._loop.call_later(self.linger_s, self.flush)
        self._owners.append(connection)
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            self.flush()

    # ---- one linger ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if not self._chunks:
            return
        owners, chunks, self._owners, self._chunks, self._size = self._owners, self._chunks, [], [], 0
        now = time.monotonic()
        received = time.time_ns() // 1000
        slot_of = np.fromiter((owner.slot for owner in owners), np.int64, len(owners))
        intake = read(chunks, received)
        packets = intake.packets
        slots = slot_of[packets.chunk]
        self.sessions.heard[slot_of] = now
        if self._garbage and len(packets):
            for slot in set(slots.tolist()) & self._garbage.keys():
                del self._garbage[slot]
        before = self._senders(packets, intake.telemetry, slots)
        if len(intake.conversation):
            converse(self, intake, owners, received)
        if len(intake.rejects) or len(intake.malformed):
            self._reject(intake, owners, received)
        if len(intake.malformed):
            self._answer(packets, intake.malformed, slots, Outcome.MALFORMED)
        if len(intake.telemetry):
            self._telemetry(intake, slots, before)
        if not self.paused and self.appender.pending > PAUSE_BYTES:
            self._pause()

    def _senders(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64]) -> _Senders:
        sessions, slot = self.sessions, slots[rows]
        known: NDArray[np.bool_] = sessions.authenticated[slot]
        known &= sessions.phone_lo[slot] == packets.phone_lo[rows]
        known &= sessions.phone_hi[slot] == packets.phone_hi[rows]
        return _Senders(known, sessions.device[slot], sessions.partition[slot])

    def _telemetry(self, intake: Intake[Packets], slots: NDArray[np.int64], before: _Senders) -> None:
        """``before``: who sent the reports as far as was known before the conversation of the same linger."""
        rows, packets, positions = intake.telemetry, intake.packets, intake.positions
        known, device, partition = before
        if not known.all():
            # One linger may bring 0x0102 and the first report, or the last report and 0x0003: heard if either side is.
            now = self._senders(packets, rows, slots)
            device, partition = np.where(known, device, now.device), np.where(known, partition, now.partition)
            known = known | now.known
        if not known.all():
            self._refuse_strangers(packets, rows[~known], slots)
            positions = positions.take(np.flatnonzero(known[np.searchsorted(rows, positions.packet)]))
            rows, device, partition = rows[known], device[known], partition[known]
            if not len(rows):
                return
        packet = np.searchsorted(rows, positions.packet)
        positions = positions.with_columns(device=device[packet])
        held = PACKET_BYTES + packets.buffer.nbytes // len(rows)  # a row's share of what lives until it is stored
        if self.partitions == 1:
            self._add(0, packets, rows, slots[rows], positions, held)
            return
        for p in range(self.partitions):
            mine = rows[partition == p]
            if len(mine):
                theirs = positions.take(np.flatnonzero(partition[packet] == p))
                self._add(p, packets, mine, slots[mine], theirs, held)

    def _add(
        self, partition: int, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64],
        positions: Positions, held: int,
    ) -> None:  # fmt: skip
        """Hands packets[rows] over, with all that came in them, cut where it is more than a batch may have."""
        generations = self.sessions.generation[slots]
        size = int(positions.extras.offsets[-1] - positions.extras.offsets[0]) + ROW_BYTES * len(positions)
        if size <= MAX_BYTES:
            part = Part(positions, packets, rows, slots, generations, size, held * len(rows))
            self.appender.add(partition, part)
            return
        packet = np.searchsorted(rows, positions.packet)
        sizes = np.bincount(packet, positions.extras.lengths + ROW_BYTES, len(rows)).astype(np.int64)
        first = pieces(sizes)
        at = np.append(np.searchsorted(packet, first), len(positions)).tolist()
        bounds = np.append(first, len(rows)).tolist()
        for k, (begin, end) in enumerate(pairwise(bounds)):
            some = positions.take(np.arange(at[k], at[k + 1]))
            size, memory = int(sizes[begin:end].sum()), held * (end - begin)
            part = Part(some, packets, rows[begin:end], slots[begin:end], generations[begin:end], size, memory)
            self.appender.add(partition, part)

    def _stored(self, part: Part) -> None:
        """The log has it on disk: now, and only now, the terminals may forget it."""
        if part.packets is not None:
            self.writer.acknowledge(part.packets, part.rows, part.slots, part.generations, Outcome.STORED)
        for slot, generation, data in part.replies:
            self.writer.write(slot, generation, data)
        if self.paused and self.appender.pending < PAUSE_BYTES // 2:
            self._resume()

    # ---- refused ------------------------------------------------------------------------------------------------

    def _refuse_strangers(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        self.count(Reason.NOT_AUTHENTICATED, len(rows))
        self._answer(packets, rows, slots, Outcome.FAILED)

    def _answer(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64], outcome: Outcome) -> None:
        self.writer.acknowledge(packets, rows, slots[rows], self.sessions.generation[slots[rows]], outcome)

    def _reject(self, intake: Intake[Packets], owners: list[Connection], received: int) -> None:
        """Counts what became no row; of authenticated terminals it is kept, so that somebody can find out why."""
        packets, rejects = intake.packets, intake.rejects
        found = [
            (owners[chunk], Reason(reason), rejects.data[i])
            for i, (chunk, reason) in enumerate(zip(rejects.chunk.tolist(), rejects.reason.tolist(), strict=True))
        ]
        found += [(owners[packets.chunk[row]], Reason.BODY, packets.raw(row)) for row in intake.malformed.tolist()]
        kept = Gathering(self.appender.add)
        for i, (connection, reason, data) in enumerate(found):
            self.count(reason)
            slot = connection.slot
            if slot < 0:  # dropped a moment ago, where that takes no time (a topic)
                continue
            self._garbage[slot] += 1
            if self.sessions.authenticated[slot] and i < DEAD_PER_FLUSH:
                part = kept.part(int(self.sessions.partition[slot]))
                part.letter(int(self.sessions.device[slot]), received, reason, data)
            if self._garbage[slot] > GARBAGE_LIMIT:
                self.drop(connection, "garbage")
        kept.finish()

    def count(self, reason: Reason, n: int = 1) -> None:
        self.counts[reason.name.lower()] += n
        self.appender.rejected[reason.name.lower()] += n

    # ---- back-pressure --------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        self.paused = True
        log.warning("reading paused: the log does not take our batches", pending_bytes=self.appender.pending)
        for connection in self.sessions.connections:
            if connection is not None:
                connection.transport.pause_reading()
        for hook in self.paused_hooks:
            hook(True)

    def _resume(self) -> None:
        self.paused = False
        log.info("reading again")
        sessions = self.sessions
        n = len(sessions.connections)
        sessions.heard[:n] = sessions.since[:n] = time.monotonic()  # deadlines stood still while we did not read
        for connection in sessions.connections:
            if connection is not None:
                connection.transport.resume_reading()
        for hook in self.paused_hooks:
            hook(False)
