"""A load test: many terminals that report at a set rate, and how long each acknowledgement takes.

Open loop (a rate is given): reports are planned at fixed moments and sent then, answered or not; a latency counts from
the planned moment, so a stalled gateway cannot hide behind a stalled sender. Closed loop (no rate): every connection
keeps ``window`` reports unanswered. Latencies are seconds. It measures from outside; CPU costs are `benchmarks/`'
business.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, cast

from gateway.simulator.motion import moved
from gateway.simulator.terminal import AUTHENTICATE, MILEAGE, REGISTER, REGISTERED, REPORT, SATELLITES, SIGNAL
from protocols.jt808 import terminal as wire
from protocols.jt808.framing import Edition, encode, split

if TYPE_CHECKING:
    from gateway.simulator.motion import Point

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
CENTRE: Point = (115.98, 36.45)
SPREAD_M = 30_000.0
_AT_ONCE = 256  # connections being opened together: below a listener's usual backlog
_AUTHENTICATE_S = 60.0
_GRACE_S = 5.0  # how long answers are waited for after the last report
_FINEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Plan:
    host: str
    port: int
    connections: int
    rate: float | None
    duration: float
    window: int = 1
    edition: Edition = "2013"
    first_phone: int = 13_920_000_001
    seed: int = 1


@dataclass(slots=True)
class Tally:
    sent: int = 0
    acked: int = 0
    bad: int = 0
    """Answers other than success, and packets of the platform that do not read."""
    errors: int = 0
    """Connections that failed, were refused, or were closed on us."""
    latencies: array[float] = field(default_factory=lambda: array("d"))


def percentile(ordered: array[float] | list[float], share: float) -> float | None:
    """The nearest-rank percentile; None where there is nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class Client(asyncio.Protocol):
    """One terminal of the load: registers, authenticates, reports, and times the answers."""

    def __init__(self, plan: Plan, index: int, tally: Tally, ready: asyncio.Future[None]) -> None:
        self._header = wire.phone_bcd(str(plan.first_phone + index), plan.edition)
        self._plan = plan
        self._tally = tally
        self._ready = ready
        self._index = index
        self._left = b""
        self._serial = 0
        self._planned: dict[int, float] = {}
        self._transport: asyncio.Transport | None = None
        self._rng = Random(f"{plan.seed} load {index}")  # noqa: S311  motion, not secrets
        spread = SPREAD_M
        self._place = moved(CENTRE, self._rng.uniform(-spread, spread), self._rng.uniform(-spread, spread))
        self._closing = False
        self.going = False
        """Closed loop: answer every acknowledgement with the next report."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports derive from no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        terminal_id = f"{self._index:07d}"[-7:]
        body = wire.register(
            self._plan.edition, maker="LOAD", model="LZ-LOAD", terminal_id=terminal_id, plate="3-L" + terminal_id
        )
        self._send(REGISTER, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._ready.done():
            self._ready.set_exception(exc or ConnectionResetError("closed before authentication"))
        elif not self._closing:
            self._tally.errors += 1

    def close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _send(self, message: int, body: bytes) -> int:
        serial = self._serial
        self._serial = (serial + 1) & 0xFFFF
        if self._transport is not None:
            self._transport.write(encode(message, body, self._header, self._plan.edition, serial))
        return serial

    def report(self, planned: float) -> None:
        """Sends one report; ``planned`` (monotonic seconds) is when it was due."""
        if self._transport is None:
            return
        rng = self._rng
        self._place = moved(self._place, rng.uniform(-5, 5), rng.uniform(-5, 5))
        body = wire.location(
            int(time.time()) * 1_000_000,
            *self._place,
            speed_kmh=rng.uniform(0, 12),
            course=rng.randrange(360),
            altitude=33,
            # The odometer moves with every report, so two reports of one second are two.
            items={MILEAGE: self._tally.sent.to_bytes(4, "big"), SIGNAL: b"\x19", SATELLITES: b"\x0c"},
        )
        self._planned[self._send(REPORT, body)] = planned
        self._tally.sent += 1

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        whole, self._left = split(self._left, data)
        for run in whole.split(b"\x7e"):
            reply = wire.read_reply(run) if run else None
            if reply is not None:
                self._heard(reply, now)
            elif run:
                self._tally.bad += 1

    def _heard(self, reply: wire.Reply, now: float) -> None:
        if reply.message == REGISTERED:
            if reply.result or not reply.code:
                self._refused(f"registration refused: {reply.result}")
            else:
                self._send(AUTHENTICATE, wire.authenticate(self._plan.edition, reply.code))
        elif reply.request_message == AUTHENTICATE:
            if reply.result:
                self._refused("authentication refused")
            elif not self._ready.done():
                self._ready.set_result(None)
        elif reply.request_message == REPORT and (planned := self._planned.pop(reply.request, None)) is not None:
            self._tally.acked += 1
            self._tally.bad += reply.result != 0
            self._tally.latencies.append(now - planned)
            if self.going:
                self.report(now)
        else:
            self._tally.bad += 1

    def _refused(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(ConnectionRefusedError(why))
        self.close()


async def run(plan: Plan) -> dict[str, Any]:
    """Runs the test; the report as JSON values. Raises ConnectionError where no terminal got in."""
    tally = Tally()
    began = time.monotonic()
    clients, reasons = await _open(plan, tally)
    if not clients:
        raise ConnectionError(reasons[0] if reasons else "no connection")
    opened = time.monotonic() - began
    began = time.monotonic()
    if plan.rate:
        await _open_loop(clients, plan.rate, plan.duration, began)
    else:
        for client in clients:
            client.going = True
            for _ in range(plan.window):
                client.report(time.monotonic())
        await asyncio.sleep(plan.duration)
        for client in clients:
            client.going = False
    elapsed = time.monotonic() - began
    until = time.monotonic() + _GRACE_S
    while tally.acked < tally.sent and time.monotonic() < until:  # noqa: ASYNC110  an event would cost every answer
        await asyncio.sleep(0.01)
    for client in clients:
        client.close()
    return _report(plan, tally, len(clients), opened, elapsed)


async def _open(plan: Plan, tally: Tally) -> tuple[list[Client], list[str]]:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_AT_ONCE)
    reasons: list[str] = []

    async def one(index: int) -> Client | None:
        ready: asyncio.Future[None] = loop.create_future()
        client = Client(plan, index, tally, ready)
        async with gate:
            try:
                async with asyncio.timeout(_AUTHENTICATE_S):
                    await loop.create_connection(lambda: client, plan.host, plan.port)
                    await ready
            except (OSError, TimeoutError) as error:
                tally.errors += 1
                reasons.append(str(error) or type(error).__name__)
                client.close()
                return None
        return client

    opened = await asyncio.gather(*(one(index) for index in range(plan.connections)))
    return [client for client in opened if client is not None], reasons


async def _open_loop(clients: list[Client], rate: float, duration: float, began: float) -> None:
    """Reports in turn over all connections, each at its planned moment or as soon after as we get to run."""
    total = int(rate * duration)
    done = 0
    while done < total:
        due = min(total, int((time.monotonic() - began) * rate) + 1)
        while done < due:
            clients[done % len(clients)].report(began + done / rate)
            done += 1
        await asyncio.sleep(max(_FINEST_S, began + done / rate - time.monotonic()))


def _report(plan: Plan, tally: Tally, connections: int, opened: float, elapsed: float) -> dict[str, Any]:
    ordered = array("d", sorted(tally.latencies))
    return {
        "host": plan.host,
        "port": plan.port,
        "connections": connections,
        "connections_wanted": plan.connections,
        "edition": plan.edition,
        "seed": plan.seed,
        "mode": "open" if plan.rate else "closed",
        "rate": plan.rate,
        "duration": plan.duration,
        "opened_in": round(opened, 3),
        "sent": tally.sent,
        "acked": tally.acked,
        "unanswered": tally.sent - tally.acked,
        "bad": tally.bad,
        "errors": tally.errors,
        "achieved_rate": round(tally.acked / elapsed, 1) if elapsed else 0.0,
        **{name: percentile(ordered, share) for name, share in PERCENTILES.items()},
        "max": ordered[-1] if ordered else None,
    }
