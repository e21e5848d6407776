"""Terminals: they have fixes to report and keep each until it is acknowledged, whatever it takes.

A terminal connects to an edge, authenticates, sends what is due in 0x0200 or, where more waits, in 0x0704, and sends again
what is not acknowledged in time: over the same connection, over a new one, at the other edge. It is never told to forget
what it was not told is stored; ``acknowledged`` is what it was told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from columns.identity import device_of
from gateway.edge.registry import FIRST_GENERATION, Registry
from protocols.jt808 import framing, terminal
from tests.simulation.edges import KEY, NOWHERE, Edge, Wire

if TYPE_CHECKING:
    from tests.simulation.weather import Weather

REPORT, BATCH, AUTHENTICATE = 0x0200, 0x0704, 0x0102
ANSWER_S = 5.0
TRIES = 3  # on one connection
MOST_IN_BATCH = 12


class Report(NamedTuple):
    """number: which of the terminal's; time: the device's, us; due: when it may be sent (loop's seconds)."""

    number: int
    time: int
    due: float
    body: bytes
    old: bool
    """Of a blind area: it comes later, in a batch."""


class _Sent(NamedTuple):
    reports: list[Report]
    frame: bytes
    at: float
    tries: int


class Terminal:
    """One terminal; ``left``: reports that it has to deliver still."""

    def __init__(self, phone: str, weather: Weather, edges: list[Edge], reports: list[Report]) -> None:
        self.phone, self.weather, self.edges = phone, weather, edges
        self.device = device_of(phone)
        self.reports = reports
        self.acknowledged: set[int] = set()
        self.left = {report.number: report for report in reports}
        self.known = False
        self._bcd = terminal.phone_bcd(phone, "2013")
        self._serial = 0
        self._wire: Wire | None = None
        self._sent: dict[tuple[int, int], _Sent] = {}
        self._rest = b""
        self._something = asyncio.Event()

    @property
    def flying(self) -> set[int]:
        return {report.number for sent in self._sent.values() for report in sent.reports}

    # ---- what it hears --------------------------------------------------------------------------------------------

    def lost(self, wire: Wire) -> None:
        if wire is self._wire:
            self._wire, self.known, self._rest = None, False, b""
            self._sent.clear()
            self._something.set()

    def hear(self, wire: Wire, data: bytes) -> None:
        if wire is not self._wire:
            return
        data, self._rest = framing.split(self._rest, data)
        for run in data.split(b"\x7e"):
            reply = terminal.read_reply(run) if run else None
            if reply is None:
                continue
            if reply.request_message == AUTHENTICATE:
                self.known = reply.result == 0
            elif (sent := self._sent.pop((reply.request_message, reply.request), None)) is not None:
                if reply.result == 0:
                    for report in sent.reports:
                        self.acknowledged.add(report.number)
                        if not self.weather.bad("resend", 0.02):  # else its memory was lost: it sends this again
                            self.left.pop(report.number, None)
                    self.weather.say(f"{self.phone}: stored {[report.number for report in sent.reports]}")
                else:
                    self.known = False
            self._something.set()

    # ---- what it does ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while self.left:
            if self._wire is None:
                await self._connect()
            elif not self.known:
                await self._authenticate()
            else:
                self._again()
                self._report()
                await self._wait(self._next_due())
        self.weather.say(f"{self.phone}: everything is stored")

    async def _wait(self, seconds: float) -> None:
        self._something.clear()
        try:
            async with asyncio.timeout(max(0.001, seconds)):
                await self._something.wait()
        except TimeoutError:
            return

    def _next_due(self) -> float:
        flying, now = self.flying, self.weather.loop.time()
        due = min((report.due for report in self.left.values() if report.number not in flying), default=now + 60)
        answer = min((sent.at + ANSWER_S for sent in self._sent.values()), default=now + 60)
        return min(due, answer) - now

    async def _connect(self) -> None:
        first = len(self.phone) % len(self.edges) if not self.weather.has("flap") else 0
        edge = self.weather.random.choice(self.edges) if self.weather.has("flap") else self.edges[first]
        self._wire = edge.life.accept(self)
        if self._wire is None:
            if len(self.edges) > 1:
                self._wire = self.weather.random.choice(self.edges).life.accept(self)
            if self._wire is None:
                await asyncio.sleep(0.2 + self.weather.pause(0.5))

    async def _authenticate(self) -> None:
        code = Registry(NOWHERE, KEY, enrol=True).code(self.phone, FIRST_GENERATION)
        if self.weather.bad("stranger", 0.05):
            code = "WRONGCODE"
        self._send(AUTHENTICATE, terminal.authenticate("2013", code))
        if self.weather.bad("stranger", 0.05):
            self._report()
        until = self.weather.loop.time() + ANSWER_S
        while self._wire is not None and not self.known and self.weather.loop.time() < until:
            await self._wait(until - self.weather.loop.time())
        if not self.known:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._wire is not None:
            wire = self._wire
            self.lost(wire)
            wire.hang_up()

    def _send(self, message: int, body: bytes) -> tuple[int, bytes]:
        self._serial = self._serial + 1 & 0xFFFF
        frame = framing.encode(message, body, self._bcd, "2013", self._serial)
        self._write(frame)
        return self._serial, frame

    def _write(self, frame: bytes) -> None:
        if self._wire is None:
            return
        if self.weather.bad("garbage", 0.02):
            frame = b"\x7e\x02\x00nonsense\x7e" + frame
        if self.weather.bad("garbage", 0.05):  # in two pieces
            cut = self.weather.random.randrange(1, len(frame))
            self._wire.send(frame[:cut])
            frame = frame[cut:]
        self._wire.send(frame)

    def _report(self) -> None:
        now, flying = self.weather.loop.time(), self.flying
        due = [report for report in self.left.values() if report.due <= now and report.number not in flying]
        if self.weather.random.random() < 0.1:
            self.weather.random.shuffle(due)
        while due:
            several = len(due) > 3 or any(report.old for report in due) or self.weather.random.random() < 0.1
            some, due = (due[:MOST_IN_BATCH], due[MOST_IN_BATCH:]) if several else (due[:1], due[1:])
            bodies = [report.body for report in some]
            message = BATCH if several else REPORT
            body = terminal.batch(bodies, int(all(report.old for report in some))) if several else bodies[0]
            serial, frame = self._send(message, body)
            self._sent[message, serial] = _Sent(some, frame, now, 1)
            self.weather.say(f"{self.phone}: reports {[report.number for report in some]}")
        if self.weather.bad("flap", 0.01):
            self._hang_up()

    def _again(self) -> None:
        """Sends again what was not answered in time; a connection over which nothing is answered is given up."""
        now = self.weather.loop.time()
        for key, sent in list(self._sent.items()):
            if now - sent.at < ANSWER_S:
                continue
            if sent.tries >= TRIES:
                self._hang_up()
                return
            if self.weather.random.random() < 0.5:  # under the same serial number
                self._sent[key] = sent._replace(at=now, tries=sent.tries + 1)
                self._write(sent.frame)
            else:
                del self._sent[key]
