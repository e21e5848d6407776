"""Hub: everything that arrives in a linger becomes columns at once, goes to the log, and is acknowledged from there.

No Python runs per report here: chunks are joined and read by protocols.jt808.intake, checked against the sessions'
columns, and answered by one write per connection. Only conversation packets (register, authenticate ...) are taken one
by one, and only rejects are counted one by one.

Back-pressure: when more than PAUSE_BYTES wait for the log, every socket stops being read until half of it is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from columns.identity import device_of, partition_of
from columns.outcome import Outcome
from columns.positions import Positions
from columns.reason import Reason
from gateway.edge.acknowledge import Writer
from gateway.edge.appender import MAX_ROWS, Appender, Part
from protocols.jt808 import framing
from protocols.jt808.intake import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gateway.edge.connection import Connection
    from gateway.edge.registry import Registry
    from gateway.edge.sessions import Sessions
    from gateway.log import Log
    from protocols.contract import Intake
    from protocols.jt808.header import Packets

FLUSH_BYTES = 512 * 1024  # a linger that brings more is not waited for: columns are already long
PAUSE_BYTES = 64 * 1024 * 1024  # about 400,000 reports: five minutes of a city while the log is away
GARBAGE_LIMIT = 200  # rejected runs in a row: whoever sends these does not speak JT/T 808
DEAD_PER_FLUSH = 100  # dead letters are evidence, not an archive of garbage; the rest is counted only
log = structlog.get_logger()


class Hub:
    """The meeting place of an edge's sockets, registry and log."""

    def __init__(
        self, log: Log, registry: Registry, sessions: Sessions, partitions: int, linger_s: float,
        announce: Callable[[list[int]], None],
    ) -> None:  # fmt: skip
        self.registry = registry
        self.sessions = sessions
        self.partitions = partitions
        self.linger_s = linger_s
        self.writer = Writer(sessions)
        self.appender = Appender(log, partitions, self._stored)
        self.counts: Counter[str] = Counter()
        self.paused = False
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._owners: list[Connection] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._opened: list[int] = []
        self._garbage: Counter[int] = Counter()

    # ---- sockets ------------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        connection.slot = self.sessions.open(connection, time.monotonic())
        if self.paused:
            connection.transport.pause_reading()

    def closed(self, connection: Connection) -> None:
        if connection.slot >= 0:
            self._garbage.pop(connection.slot, None)
            self.sessions.close(connection.slot)
            connection.slot = -1

    def drop(self, connection: Connection, why: str) -> None:
        self.counts[f"closed_{why}"] += 1
        connection.transport.abort()

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
        gone = slot_of < 0  # closed within the linger: still stored, never answered
        intake = read(chunks, received)
        packets = intake.packets
        slots = slot_of[packets.chunk]
        self.sessions.heard[slot_of[~gone] if gone.any() else slot_of] = now
        if self._garbage and len(packets):
            for slot in set(slots.tolist()) & self._garbage.keys():
                del self._garbage[slot]
        known_before = self._known(packets, slots, intake.telemetry)
        if len(intake.conversation):
            self._converse(intake, owners, received)
        if len(intake.rejects) or len(intake.malformed):
            self._reject(intake, owners, received)
        if len(intake.malformed):
            self._answer(packets, intake.malformed, slots, Outcome.MALFORMED)
        if len(intake.telemetry):
            self._telemetry(intake, slots, known_before)
        if not self.paused and self.appender.pending > PAUSE_BYTES:
            self._pause()

    def _known(self, packets: Packets, slots: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these packets come from their session's own, authenticated terminal."""
        sessions, slot = self.sessions, slots[rows]
        known: NDArray[np.bool_] = sessions.authenticated[slot] & (slot >= 0)
        known &= sessions.phone_lo[slot] == packets.phone_lo[rows]
        known &= sessions.phone_hi[slot] == packets.phone_hi[rows]
        return known

    def _telemetry(self, intake: Intake[Packets], slots: NDArray[np.int64], known: NDArray[np.bool_]) -> None:
        rows, packets, positions = intake.telemetry, intake.packets, intake.positions
        if not known.all():
            # One linger may bring 0x0102 and the first report, or the last report and 0x0003: heard if either side is.
            known = known | self._known(packets, slots, rows)
            strangers = rows[~known]
            if len(strangers):
                self._refuse_strangers(packets, strangers, slots)
                accepted = np.zeros(len(packets), bool)
                accepted[rows[known]] = True
                positions = positions.take(np.flatnonzero(accepted[positions.packet]))
                rows = rows[known]
        if not len(rows):
            return
        slot = slots[rows]
        positions = positions.with_columns(device=self.sessions.device[slots[positions.packet]])
        partition = self.sessions.partition[slot]
        generation = self.sessions.generation[slot]
        of_position = self.sessions.partition[slots[positions.packet]]
        for p in range(self.partitions):
            mine = np.flatnonzero(partition == p) if self.partitions > 1 else np.arange(len(rows))
            if not len(mine):
                continue
            theirs = positions.take(np.flatnonzero(of_position == p)) if self.partitions > 1 else positions
            if len(mine) <= MAX_ROWS and len(theirs) <= MAX_ROWS:
                self.appender.add(p, Part(theirs, packets, rows[mine], slot[mine], generation[mine]))
                continue
            for begin in range(0, len(mine), MAX_ROWS):
                some = mine[begin : begin + MAX_ROWS]
                first, last = int(rows[some[0]]), int(rows[some[-1]])
                inside = np.flatnonzero((theirs.packet >= first) & (theirs.packet <= last))
                part = Part(theirs.take(inside), packets, rows[some], slot[some], generation[some])
                self.appender.add(p, part)

    def _stored(self, part: Part) -> None:
        """The log has it on disk: now, and only now, the terminals may forget it."""
        if part.packets is not None:
            self.writer.acknowledge(part.packets, part.rows, part.slots, part.generations, Outcome.STORED)
        for slot, generation, data in part.replies:
            self.writer.write(slot, generation, data)
        if self.paused and self.appender.pending < PAUSE_BYTES // 2:
            self._resume()

    # ---- one by one ---------------------------------------------------------------------------------------------

    def _converse(self, intake: Intake[Packets], owners: list[Connection], received: int) -> None:
        packets = intake.packets
        traces: dict[int, Part] = {}
        for row in intake.conversation.tolist():
            connection = owners[packets.chunk[row]]
            if connection.slot < 0:
                continue
            packet = packets.packet(row)
            session = connection.conversation()
            response = session.receive(packet, self.registry, received)
            if response.reason is not None:
                self._count(response.reason)
            if response.authenticated is not None:
                self._authenticated(connection, packet.identity, int(packets.phone_hi[row]), int(packets.phone_lo[row]))
            frames = b""
            for message, body in response.replies:
                serial = self.sessions.next_serials(connection.slot, 1)
                frames += framing.encode(message, body, packet.phone, packet.edition, serial)
            if response.record is not None:
                # It goes through the log like everything else, and its answer waits for the disk.
                partition = partition_of(packet.identity, self.partitions)
                part = traces.setdefault(partition, Part(Positions.empty()))
                part.records.append(self._trace(packet.identity, response.record, received))
                if frames:
                    part.replies.append((connection.slot, int(self.sessions.generation[connection.slot]), frames))
            elif frames:
                connection.transport.write(frames)
            if session.identity is None:
                self.sessions.authenticated[connection.slot] = False
            if response.close is not None:
                self.drop(connection, response.close)
        for partition, part in traces.items():
            self.appender.add(partition, part)
        if self._opened:
            self._announce(self._opened)
            self._opened = []

    def _trace(self, identity: str, record: dict[str, Any], received: int) -> dict[str, Any]:
        source = {"source": "open"} if identity in self.registry.enrolled else {}
        return {**record, "device": device_of(identity), "received": received, **source}

    def _authenticated(self, connection: Connection, identity: str, phone_hi: int, phone_lo: int) -> None:
        device = device_of(identity)
        partition = partition_of(identity, self.partitions)
        before = self.sessions.authenticate(connection.slot, device, partition, phone_hi, phone_lo)
        self.counts["authenticated"] += 1
        self._opened.append(device)
        if before is not None:
            self.replace(before)

    def replace(self, slot: int) -> None:
        """The newest authenticated connection of a terminal wins; this one is older."""
        connection = self.sessions.connections[slot]
        if connection is not None:
            self.drop(connection, "replaced")

    def _refuse_strangers(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        self._count(Reason.NOT_AUTHENTICATED, len(rows))
        self._answer(packets, rows, slots, Outcome.FAILED)

    def _answer(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64], outcome: Outcome) -> None:
        there = slots[rows] >= 0
        rows = rows[there]
        generations = self.sessions.generation[slots[rows]]
        self.writer.acknowledge(packets, rows, slots[rows], generations, outcome)

    def _reject(self, intake: Intake[Packets], owners: list[Connection], received: int) -> None:
        """Counts what became no row; of authenticated terminals it is kept, so that somebody can find out why."""
        packets, rejects = intake.packets, intake.rejects
        found = [
            (owners[chunk], Reason(reason), rejects.data[i])
            for i, (chunk, reason) in enumerate(zip(rejects.chunk.tolist(), rejects.reason.tolist(), strict=True))
        ]
        found += [(owners[packets.chunk[row]], Reason.BODY, packets.raw(row)) for row in intake.malformed.tolist()]
        kept: dict[int, Part] = {}
        for i, (connection, reason, data) in enumerate(found):
            self._count(reason)
            slot = connection.slot
            if slot < 0:
                continue
            self._garbage[slot] += 1
            if self._garbage[slot] > GARBAGE_LIMIT:
                self.drop(connection, "garbage")
            if self.sessions.authenticated[slot] and i < DEAD_PER_FLUSH:
                part = kept.setdefault(int(self.sessions.partition[slot]), Part(Positions.empty()))
                part.dead.append((int(self.sessions.device[slot]), received, reason, data))
        for partition, part in kept.items():
            self.appender.add(partition, part)

    def _count(self, reason: Reason, n: int = 1) -> None:
        self.counts[reason.name.lower()] += n
        self.appender.rejected[reason.name.lower()] += n

    # ---- back-pressure --------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        self.paused = True
        log.warning("reading paused: the log does not take our batches", pending_bytes=self.appender.pending)
        for connection in self.sessions.connections:
            if connection is not None:
                connection.transport.pause_reading()

    def _resume(self) -> None:
        self.paused = False
        log.info("reading again")
        now = time.monotonic()
        for connection in self.sessions.connections:
            if connection is not None:
                self.sessions.heard[connection.slot] = now  # idle deadlines stood still while we did not read
                connection.transport.resume_reading()
