"""One simulated terminal as a sans-IO conversation: what to send when it connects, reports, or hears the platform.

It follows the standard's rules for terminals (JT/T 808 chapter 4 and 6): nothing but registration and authentication
before it is authenticated; a report counts as delivered only when its 0x8001 came; one that was not acknowledged is sent
again with the same serial number after T, then 2T, then 3 * 2T (T(n+1) = T(n) * (n+1)), and after that the connection is
given up; what is still unacknowledged then, and what was recorded meanwhile, follows after the next authentication (as
0x0704 type 1 where the edition has it), oldest first. No socket and no clock here: `now` is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocols.jt808 import terminal as wire
from protocols.jt808.framing import encode, split

if TYPE_CHECKING:
    from gateway.simulator.motion import Fix
    from protocols.jt808.framing import Edition

REGISTER, AUTHENTICATE, HEARTBEAT, REPORT, BATCH = 0x0100, 0x0102, 0x0002, 0x0200, 0x0704
REGISTERED = 0x8100
MILEAGE, SIGNAL, SATELLITES = 0x01, 0x30, 0x31  # items of 0x0200
_ACC, _FIXED, _GPS, _BEIDOU = 1 << 0, 1 << 1, 1 << 18, 1 << 19  # status bits
KEEP = 2_000
"""Reports kept for a platform that does not answer: over an hour at 2 s. Then the oldest go, counted."""
_ANSWER_S = 15.0  # T of the retransmission rule
_TRIES = 3
_PER_BATCH = 15  # of ~40 bytes each: well inside one packet's 1023
_IN_FLIGHT = 8  # unacknowledged messages while old reports are delivered: a slow platform sets the pace
_ORDINARY, _BACKFILL = 0, 1  # type of 0x0704


def report_body(fix: Fix, time: float) -> bytes:
    """The body of 0x0200 for a fix at ``time`` (seconds since 1970)."""
    return wire.location(
        int(time) * 1_000_000,
        fix.lon,
        fix.lat,
        speed_kmh=fix.speed_kmh,
        course=fix.course_deg,
        status=_FIXED | _GPS | _BEIDOU | (_ACC if fix.engine_on else 0),
        altitude=fix.altitude_m,
        items={
            MILEAGE: int(fix.mileage_km * 10).to_bytes(4, "big"),
            SIGNAL: bytes([25]),
            SATELLITES: bytes([fix.satellites]),
        },
    )


@dataclass(slots=True)
class Counts:
    """What a fleet of terminals did; shared by all of them."""

    connections: int = 0
    reports: int = 0
    """Reports sent for the first time, alone or in a batch."""
    acknowledged: int = 0
    again: int = 0
    """Packets sent again for want of an answer, and reports sent again after a reconnect."""
    refused: int = 0
    """Reports that the platform would not have (result 2 or 3)."""
    dropped: int = 0
    """Reports that were never delivered because more than KEEP waited."""


@dataclass(slots=True)
class Step:
    """What to do: bytes to send, and why to close, if so."""

    send: bytes = b""
    close: str | None = None


@dataclass(slots=True)
class _Pending:
    """A message that waits for its answer, and the reports in it."""

    packet: bytes
    reports: list[bytes]
    sent: float
    tries: int = 1


@dataclass(slots=True)
class Terminal:
    """``gather`` > 1 makes it send that many reports at a time as an ordinary 0x0704 (not in edition 2011)."""

    phone: str
    edition: Edition
    plate: str
    counts: Counts
    gather: int = 1
    code: str | None = None
    ready: bool = False
    _serial: int = 0
    _left: bytes = b""
    _pending: dict[int, _Pending] = field(default_factory=dict)
    _recorded: deque[bytes] = field(default_factory=deque)
    _fresh: list[bytes] = field(default_factory=list)
    header: bytes = field(init=False)
    """The phone as the header carries it."""

    def __post_init__(self) -> None:
        self.header = wire.phone_bcd(self.phone, self.edition)
        if self.edition == "2011":
            self.gather = 1

    def connect(self, now: float) -> bytes:
        """The first packet of a new connection."""
        self.disconnect()
        self.counts.connections += 1
        if self.code is None:
            body = wire.register(
                self.edition, maker="DEMO", model="LZ-SIM", terminal_id=self.phone[-7:], plate=self.plate
            )
            return self._send(REGISTER, body, now)
        return self._send(AUTHENTICATE, wire.authenticate(self.edition, self.code), now)

    def disconnect(self) -> None:
        """The connection is gone: what was not acknowledged becomes recorded, in its old order."""
        waiting = [report for pending in self._pending.values() for report in pending.reports]
        self.counts.again += len(waiting)
        self._recorded.extendleft(reversed(waiting))
        self._recorded.extend(self._fresh)
        self._fresh = []
        self._pending.clear()
        self._left = b""
        self.ready = False

    def report(self, fix: Fix, now: float) -> bytes:
        """Takes in a fix of this moment; the bytes to send now, if any."""
        body = report_body(fix, now)
        self.counts.reports += 1
        if not self.ready or self._recorded:
            self._recorded.append(body)
            if len(self._recorded) > KEEP:
                self._recorded.popleft()
                self.counts.dropped += 1
            return self._catch_up(now)
        self._fresh.append(body)
        if len(self._fresh) < self.gather:
            return b""
        fresh, self._fresh = self._fresh, []
        return self._deliver(fresh, _ORDINARY, now)

    def heartbeat(self, now: float) -> bytes:
        return self._send(HEARTBEAT, b"", now) if self.ready else b""

    def overdue(self, now: float) -> Step:
        """What waits too long for its answer is sent again, or the connection is given up."""
        step = Step()
        for pending in self._pending.values():
            wait = _ANSWER_S * (1, 2, 6)[pending.tries - 1]
            if now - pending.sent < wait:
                continue
            if pending.tries == _TRIES or not self.ready:
                return Step(close="no answer")
            pending.sent, pending.tries = now, pending.tries + 1
            self.counts.again += 1
            step.send += pending.packet
        return step

    def receive(self, data: bytes, now: float) -> Step:
        """Acts on what the platform sent: any piece of the stream."""
        whole, self._left = split(self._left, data)
        step = Step()
        for run in whole.split(b"\x7e"):
            reply = wire.read_reply(run) if run else None
            if reply is None:
                continue
            pending = self._pending.pop(reply.request, None)
            if pending is None:
                continue
            if reply.message != REGISTERED:
                self._acknowledged(reply, pending, step, now)
            elif reply.result or not reply.code:
                step.close = f"registration refused: {reply.result}"
            else:
                self.code = reply.code
                step.send += self._send(AUTHENTICATE, wire.authenticate(self.edition, reply.code), now)
        return step

    def _acknowledged(self, reply: wire.Reply, pending: _Pending, step: Step, now: float) -> None:
        if reply.request_message == AUTHENTICATE:
            if reply.result:
                self.code = None  # it was revoked: register anew
                step.close = "authentication refused"
            else:
                self.ready = True
        elif reply.result in {0, 4}:
            self.counts.acknowledged += len(pending.reports)
        elif reply.result == 1:  # not now: the platform could not store it
            self._recorded.extendleft(reversed(pending.reports))
            return
        else:
            self.counts.refused += len(pending.reports)
        step.send += self._catch_up(now)

    def _catch_up(self, now: float) -> bytes:
        """Recorded reports, oldest first, while few messages are unanswered."""
        out = b""
        while self.ready and self._recorded and len(self._pending) < _IN_FLIGHT:
            most = 1 if self.edition == "2011" else _PER_BATCH
            out += self._deliver(
                [self._recorded.popleft() for _ in range(min(most, len(self._recorded)))], _BACKFILL, now
            )
        return out

    def _deliver(self, reports: list[bytes], kind: int, now: float) -> bytes:
        if len(reports) == 1:
            return self._send(REPORT, reports[0], now, reports)
        return self._send(BATCH, wire.batch(reports, kind), now, reports)

    def _send(self, message: int, body: bytes, now: float, reports: list[bytes] | None = None) -> bytes:
        serial = self._serial
        self._serial = (serial + 1) & 0xFFFF
        packet = encode(message, body, self.header, self.edition, serial)
        self._pending[serial] = _Pending(packet, reports or [], now)
        return packet
