"""Simulated terminals on sockets: one task each, over asyncio TCP, reconnecting with jittered backoff."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.simulator.motion import Itinerary
    from gateway.simulator.terminal import Step, Terminal

DIAL_S = 5.0
HEARTBEAT_S = 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
_FULL = 64 * 1024
"""Unsent bytes above which a terminal holds its reports back: the platform has stopped reading."""


class Link(asyncio.Protocol):
    """Carries bytes between a socket and a Terminal; decides nothing."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float]) -> None:
        self.terminal = terminal
        self.open = True
        self._clock = clock
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports derive from no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self.terminal.connect(self._clock()))

    def data_received(self, data: bytes) -> None:
        self.do(self.terminal.receive(data, self._clock()))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.open = False
        self.terminal.disconnect()

    @property
    def full(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > _FULL

    def write(self, data: bytes) -> None:
        if data and self.open and self._transport is not None:
            self._transport.write(data)

    def do(self, step: Step) -> None:
        self.write(step.send)
        if step.close:
            self.close()

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()


async def live(
    terminal: Terminal,
    itinerary: Itinerary,
    host: str,
    port: int,
    interval_s: float,
    rng: Random,
    clock: Callable[[], float] = time.time,
) -> None:
    """Reports every ``interval_s`` seconds for ever, connected or not; cancel to end it."""
    loop = asyncio.get_running_loop()
    link: Link | None = None
    wait, retry_at = FIRST_WAIT_S, 0.0
    heartbeat_at = clock() + rng.uniform(0, HEARTBEAT_S)
    tick = loop.time() + rng.uniform(0, interval_s)
    try:
        while True:
            await asyncio.sleep(tick - loop.time())
            # A late tick is not made up for: a terminal that slept has no fixes of that time.
            tick = max(tick + interval_s, loop.time())
            now = clock()
            if (link is None or not link.open) and now >= retry_at:
                link = await _dial(terminal, host, port, clock)
                wait = FIRST_WAIT_S if terminal.ready else min(2 * wait, LONGEST_WAIT_S)
                retry_at = now + wait * rng.uniform(0.5, 1.5)
            packet = terminal.report(itinerary.at(now), now)
            if link is None or not link.open:
                continue
            if terminal.ready:
                wait = FIRST_WAIT_S
            if now >= heartbeat_at:
                heartbeat_at = now + HEARTBEAT_S
                packet += terminal.heartbeat(now)
            if link.full:
                link.close()  # its reports are kept, and follow on the next connection
                continue
            link.write(packet)
            link.do(terminal.overdue(now))
    finally:
        if link is not None:
            link.close()


async def _dial(terminal: Terminal, host: str, port: int, clock: Callable[[], float]) -> Link | None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(DIAL_S):
            _, link = await loop.create_connection(lambda: Link(terminal, clock), host, port)
            return link
    return None
