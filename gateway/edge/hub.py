"""Hub: everything that arrives in a linger becomes columns at once, goes to the log, and is acknowledged from there.

No Python runs per report here: chunks are joined and read by protocols.jt808.intake, checked against the sessions'
columns, and answered by one write per connection. Only conversation packets (register, authenticate ...) are taken one
by one, in `conversation`, and only rejects are counted one by one, in `rejected`.

Back-pressure: when more than PAUSE_BYTES wait for the log, nothing is read any more until half of it is gone, and new
connections are closed.
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
from gateway.edge.part import MAX_BYTES, PACKET_BYTES, ROW_BYTES, Part, pieces
from gateway.edge.rejected import Rejected
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
log = structlog.get_logger()


class _Senders(NamedTuple):
    """Of some packets: whether an authenticated terminal of their connection sent them, and what is known of it."""

    known: NDArray[np.bool_]
    slot: NDArray[np.int64]
    device: NDArray[np.int64]
    partition: NDArray[np.int32]
    mark: NDArray[np.uint16]

    def or_else(self, other: _Senders) -> _Senders:
        """These, and the other's where these don't know."""
        mine = self.known
        return _Senders(
            mine | other.known,
            np.where(mine, self.slot, other.slot),
            np.where(mine, self.device, other.device),
            np.where(mine, self.partition, other.partition),
            np.where(mine, self.mark, other.mark),
        )

    def only(self, rows: NDArray[np.bool_]) -> _Senders:
        return _Senders(self.known[rows], self.slot[rows], self.device[rows], self.partition[rows], self.mark[rows])


class Hub:
    """The meeting place of an edge's sockets, registry and log.

    announce: hears which devices authenticated here; ended: of every task that is done; paused_hooks: called with
    whether reading is paused, when that changes.
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
        self.writer = Writer(self)
        self.rejects = Rejected(self)
        self.appender = Appender(log, partitions, self._stored, ended)
        self.counts: Counter[str] = Counter()
        self.paused = False
        self.paused_hooks: list[Callable[[bool], None]] = []
        self._loop = asyncio.get_running_loop()
        self._slots: list[int] = []
        self._chunks: list[bytes] = []
        self._size = 0

    # ---- connections --------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        connection.slot = self.sessions.open(connection, time.monotonic())
        if self.paused:  # uvloop begins to read after connection_made, whatever was said before: it comes again
            self.drop(connection, "paused")

    def closed(self, connection: Connection) -> None:
        if connection.slot < 0:
            return
        if connection.slot in self._slots:
            self.flush()  # who reports and hangs up is stored: what it said needs the session that is about to go
        self.rejects.forget(connection.slot)
        self.sessions.close(connection.slot)
        connection.slot = -1

    def drop(self, connection: Connection, why: str) -> None:
        if connection.dropped:  # a socket is lost some time after it is aborted
            return
        connection.dropped = True
        self.counts[f"closed_{why}"] += 1
        connection.transport.abort()

    def end(self, slot: int, why: str) -> None:
        """Ends one terminal's session: its connection is closed, unless other terminals speak over it, too.

        ``why`` is "replaced" where a newer connection of the same terminal authenticated: the newest wins.
        """
        connection = self.sessions.connections[slot]
        if connection is None:
            return
        host = self.sessions.guests.host(slot)
        if host is None and not connection.guests:
            self.drop(connection, why)
            return
        self.counts[f"ended_{why}"] += 1
        connection.leave(slot)
        if host is None:
            self.sessions.release(slot)
        else:
            self.sessions.close(slot)

    def add(self, connection: Connection, data: bytes) -> None:
        """What a transport of asyncio's brought: waits for the end of the linger."""
        if not self._chunks:
            self._loop.call_later(self.linger_s, self.flush)
        self._slots.append(connection.slot)
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            self.flush()

    # ---- one linger ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if not self._chunks:
            return
        slots, chunks, self._slots, self._chunks, self._size = self._slots, self._chunks, [], [], 0
        self.take(np.array(slots, np.int64), chunks)

    def take(self, hosts: NDArray[np.int64], chunks: list[bytes]) -> None:
        """Everything that one linger brought. hosts: int64, the own slot of each chunk's connection."""
        now = time.monotonic()
        received = time.time_ns() // 1000
        intake = read(chunks, received)
        packets, sessions = intake.packets, self.sessions
        sessions.heard[hosts] = now
        np.add.at(sessions.taken, hosts, np.fromiter(map(len, chunks), np.int64, len(chunks)))
        slots = sessions.speakers(hosts[packets.chunk], packets.phone_hi, packets.phone_lo)
        if len(sessions.guests):
            sessions.heard[slots] = now
        self.rejects.pardon(hosts[packets.chunk])
        before = self._senders(packets, intake.telemetry, slots)
        if len(intake.conversation):
            converse(self, intake, hosts, received)
            slots = sessions.speakers(hosts[packets.chunk], packets.phone_hi, packets.phone_lo)
        if len(intake.rejects) or len(intake.malformed):
            self.rejects.take(intake, hosts, slots, received)
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
        return _Senders(known, slot, sessions.device[slot], sessions.partition[slot], sessions.mark[slot])

    def _telemetry(self, intake: Intake[Packets], slots: NDArray[np.int64], senders: _Senders) -> None:
        """``senders``: who sent the reports as far as was known before the conversation of the same linger."""
        rows, packets, positions = intake.telemetry, intake.packets, intake.positions
        if not senders.known.all():
            # One linger may bring 0x0102 and the first report, or the last report and 0x0003: heard if either side is.
            senders = senders.or_else(self._senders(packets, rows, slots))
        if not senders.known.all():
            known = senders.known
            self._refuse_strangers(packets, rows[~known], slots)
            positions = positions.take(np.flatnonzero(known[np.searchsorted(rows, positions.packet)]))
            rows, senders = rows[known], senders.only(known)
            if not len(rows):
                return
        packet = np.searchsorted(rows, positions.packet)
        positions = positions.with_columns(device=senders.device[packet])
        if senders.mark.any():
            positions = positions.with_columns(quality=positions.quality | senders.mark[packet])
        held = PACKET_BYTES + packets.buffer.nbytes // len(rows)  # a row's share of what lives until it is stored
        if self.partitions == 1:
            self._add(0, packets, rows, senders.slot, positions, held)
            return
        for p in range(self.partitions):
            here = senders.partition == p
            if here.any():
                theirs = positions.take(np.flatnonzero(here[packet]))
                self._add(p, packets, rows[here], senders.slot[here], theirs, held)

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

    def count(self, reason: Reason, n: int = 1) -> None:
        self.counts[reason.name.lower()] += n
        self.appender.rejected[reason.name.lower()] += n

    # ---- back-pressure --------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        self.paused = True
        log.warning("reading paused: the log does not take our batches", pending_bytes=self.appender.pending)
        for connection in self._unpolled():
            connection.transport.pause_reading()
        for hook in self.paused_hooks:
            hook(True)

    def _resume(self) -> None:
        self.paused = False
        log.info("reading again")
        sessions = self.sessions
        n = len(sessions.connections)
        now = time.monotonic()
        sessions.heard[:n] = sessions.since[:n] = now  # deadlines stood still while we did not read
        sessions.half[:n][sessions.half[:n] > 0] = now
        for connection in self._unpolled():
            connection.transport.resume_reading()
        for hook in self.paused_hooks:
            hook(False)

    def _unpolled(self) -> list[Connection]:
        """Connections whose transport reads by itself."""
        fds = self.sessions.fd
        return [one for slot, one in enumerate(self.sessions.connections) if one is not None and fds[slot] < 0]
