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
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from columns.outcome import Outcome
from columns.positions import Quality, Source
from gateway.edge.acknowledge import Writer
from gateway.edge.appender import Appender
from gateway.edge.assemblies import Assemblies
from gateway.edge.conversation import Talk
from gateway.edge.deadlines import Budget
from gateway.edge.fleet_clock import FleetClock
from gateway.edge.patience import Patience
from gateway.edge.rejected import Rejected
from gateway.edge.rivals import Rivals
from gateway.edge.swaps import Swaps
from gateway.edge.telemetry import Telemetry
from gateway.edge.tracer import Tracer
from gateway.edge.uploads import Uploads
from gateway.histogram import Histogram
from protocols.jt808.intake import read

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from numpy.typing import NDArray

    from columns.reason import Reason
    from gateway.edge.connection import Connection
    from gateway.edge.part import Part
    from gateway.edge.registry import Registry
    from gateway.edge.sessions import Sessions
    from gateway.edge.telemetry import Senders
    from gateway.log import Log
    from protocols.contract import Intake
    from protocols.jt808.header import Packets
    from storage.blobs import Blobs

FLUSH_BYTES = 512 * 1024  # a linger that brings more is not waited for: columns are already long
PAUSE_BYTES = 64 * 1024 * 1024  # about 250,000 reports: minutes of a city while the log is away
_NO_CLOCK = Quality.BAD_TIME | Quality.NOT_FIXED  # such a report's time is not GNSS time
log = structlog.get_logger()


def _steady() -> int:
    """A clock that never jumps, and that a suspended machine does not stop, in us."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Hub:
    """The meeting place of an edge's sockets, registry and log.

    publish: tells other edges something, soon; ended: of every task that is done; paused_hooks: called with
    whether reading is paused, when that changes. blobs: where terminals' files go; keep: runs a job of the edge's.
    """

    def __init__(
        self, log: Log, registry: Registry, sessions: Sessions, partitions: int, linger_s: float,
        publish: Callable[[str, bytes], None], ended: Callable[[asyncio.Task[Any]], None], blobs: Blobs,
        keep: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:  # fmt: skip
        self.registry = registry
        self.sessions = sessions
        self.partitions = partitions
        self.linger_s = linger_s
        self.clock = FleetClock()
        self.counts: Counter[str] = Counter()
        self.tracer = Tracer(self)
        self.writer = Writer(self)
        self.rejects = Rejected(self)
        self.telemetry = Telemetry(self)
        self.swaps = Swaps(registry)
        self.rivals = Rivals(self, publish)
        self.patience = Patience()
        self.budget = Budget(self)
        self.assemblies = Assemblies(self)
        self.uploads = Uploads(self, blobs, keep)
        self.appender = Appender(log, partitions, self._stored, ended)
        self.latency = Histogram()
        """Of every report, from the read of its linger to the writing of its acknowledgement; up to a linger before that it
        lay in the socket."""
        self.paused = False
        self._paused_since = self._paused_before = 0.0
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
        if self.tracer.following and not connection.dropped:
            self.tracer.closed(connection.slot, "hung_up")
        self.rejects.forget(connection.slot)
        self.sessions.close(connection.slot)
        connection.slot = -1

    def drop(self, connection: Connection, why: str) -> None:
        if connection.dropped:  # a socket is lost some time after it is aborted
            return
        connection.dropped = True
        self.counts[f"closed_{why}"] += 1
        if self.tracer.following:
            self.tracer.closed(connection.slot, why)
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
        if self.tracer.following:
            self.tracer.left(slot, why)
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
        received = self.now()
        self.appender.begun = now
        intake = read(chunks, received)
        if self.tracer.following:
            self.tracer.received(intake, hosts, received)
        packets, sessions = intake.packets, self.sessions
        sessions.heard[hosts] = now
        self.budget.spend(hosts, np.fromiter(map(len, chunks), np.int64, len(chunks)))
        slots = sessions.speakers(hosts[packets.chunk], packets.phone_hi, packets.phone_lo)
        if len(sessions.guests):
            sessions.heard[slots] = now
        self.rejects.pardon(hosts[packets.chunk])
        before = self.telemetry.senders(packets, intake.telemetry, slots)
        if len(intake.positions) and self._another_time(intake, before):
            received = self.now()
            intake = read(chunks, received)
            packets = intake.packets
        talk = Talk(self, received)
        if len(intake.conversation):
            self.budget.converse(hosts[packets.chunk[intake.conversation]])
            talk.converse(intake, hosts)
            slots = sessions.speakers(hosts[packets.chunk], packets.phone_hi, packets.phone_lo)
        self.telemetry.take(intake, hosts, slots, before, received)
        for slot, reports, senders, acknowledged in talk.reported:
            one = np.array([slot])
            self.telemetry.take(reports, one, one, senders, received, acknowledged=acknowledged)
        talk.finish()
        if not self.paused and self.appender.pending > PAUSE_BYTES:
            self._pause()

    def now(self) -> int:
        """int64 us UTC, as the fleet believes it: not the server's clock where that has jumped."""
        before = self.clock.jumps
        now = self.clock.now(time.time_ns() // 1000, _steady())
        self._tell_time(before)
        return now

    def _another_time(self, intake: Intake[Packets], senders: Senders) -> bool:
        """Shows the clock some live reports now and then, and where they claim the future; whether they changed its mind."""
        rows, clock, steady = intake.positions, self.clock, _steady()
        if not clock.due(steady) and not (rows.quality & Quality.FUTURE).any():
            return False
        live = (rows.source == Source.LIVE) & ((rows.quality & _NO_CLOCK) == 0)
        packet = np.searchsorted(intake.telemetry, rows.packet)
        live &= senders.known[packet]
        before = clock.jumps
        changed = clock.note(senders.device[packet[live]], rows.time[live], time.time_ns() // 1000, steady)
        self._tell_time(before)
        return changed

    def _tell_time(self, before: int) -> None:
        if self.clock.jumps == before:
            return
        self.counts["clock_jumped"] += 1
        log.warning("the server's clock has jumped | 服务器时钟发生跳变", believed=self.clock.reason is None,
                    why=self.clock.reason)  # fmt: skip

    def _stored(self, part: Part) -> None:
        """The log has it on disk: now, and only now, the terminals may forget it."""
        if part.packets is not None:
            self.writer.acknowledge(part.packets, part.rows, part.slots, part.generations, Outcome.STORED)
            self.latency.observe(time.monotonic() - part.begun, len(part.rows))
        for slot, generation, data in part.replies:
            self.writer.write(slot, generation, data)
        if self.paused and self.appender.pending < PAUSE_BYTES // 2:
            self._resume()

    def count(self, reason: Reason, n: int = 1) -> None:
        self.counts[reason.name.lower()] += n
        self.appender.rejected[reason.name.lower()] += n

    # ---- back-pressure --------------------------------------------------------------------------------------------

    @property
    def paused_s(self) -> float:
        """For how long reading was paused, in all."""
        return self._paused_before + (time.monotonic() - self._paused_since if self.paused else 0.0)

    def _pause(self) -> None:
        self.paused, self._paused_since = True, time.monotonic()
        log.warning(
            "reading paused: the log takes no batches | 日志不接收数据，已暂停接入", pending_bytes=self.appender.pending
        )
        for connection in self._unpolled():
            connection.transport.pause_reading()
        for hook in self.paused_hooks:
            hook(True)

    def _resume(self) -> None:
        self._paused_before, self.paused = self.paused_s, False
        log.info("reading again | 恢复接入")
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
