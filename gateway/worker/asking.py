"""Asking: terminals that a batch made candidates are asked where they are now, through the edges; see position_query.

A terminal that reports every minute would confirm an entry a minute later; its answer (0x0201) does it within seconds. A
question is worth that and no more: nobody waits for it, and one that cannot be asked is counted and forgotten, since the
terminal's next report decides as well. What was asked and what is still to be asked is bounded by MOST_ASKED.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import nats.errors
import structlog

from gateway.position_query import MOST_DEVICES, SUBJECT, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nats.aio.client import Client

AFTER_S = 2.0
"""Device times are whole seconds, and a fix is taken once a second: what is asked for sooner may be the same fix again."""
AGAIN_S = 30.0  # of one terminal: whoever reports more often than that is not asked at all
MOST_ASKED = 10_000  # within AGAIN_S: two thirds of a city's terminals, all at a border at once
log = structlog.get_logger()


class Asking:
    """One for all partitions of a worker. counts: asked, too_soon (within AGAIN_S), too_many, unsent (NATS is away)."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._client = client
        self._clock = clock
        self._asked: dict[int, float] = {}  # oldest first
        self._due: deque[tuple[float, int]] = deque()
        self._waiting = asyncio.Event()

    def ask(self, devices: Iterable[int]) -> None:
        """Asks these terminals in AFTER_S. To be called when the batch is committed; never waits, never raises."""
        now = self._clock()
        self._forget(now)
        for device in devices:
            if device in self._asked:
                self.counts["too_soon"] += 1
            elif len(self._asked) >= MOST_ASKED:
                self.counts["too_many"] += 1
            else:
                self._asked[device] = now
                self._due.append((now + AFTER_S, device))
        if self._due:
            self._waiting.set()

    def _forget(self, now: float) -> None:
        while self._asked and now - self._asked[device := next(iter(self._asked))] >= AGAIN_S:
            del self._asked[device]

    async def run(self) -> None:
        """Sends what is due, for ever."""
        while True:
            await self._waiting.wait()
            while self._due:
                await asyncio.sleep(max(0.0, self._due[0][0] - self._clock()))
                await self._send(self._take())
            self._waiting.clear()

    def _take(self) -> list[int]:
        """What is due by now, as much as one message holds."""
        now = self._clock()
        taken: list[int] = []
        while self._due and self._due[0][0] <= now and len(taken) < MOST_DEVICES:
            taken.append(self._due.popleft()[1])
        return taken

    async def _send(self, devices: list[int]) -> None:
        """While NATS is away, nats-py would keep the question for later, when it is none any more."""
        if not devices:
            return
        try:
            if not self._client.is_connected:
                raise nats.errors.ConnectionClosedError
            await self._client.publish(SUBJECT, write(devices))
        except (nats.errors.Error, OSError) as error:
            self.counts["unsent"] += len(devices)
            log.warning("terminals not asked for their position", terminals=len(devices), error=repr(error))
        else:
            self.counts["asked"] += len(devices)
