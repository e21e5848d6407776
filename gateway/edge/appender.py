"""Appender: gathers parts per partition and appends them to the log, one batch in flight per partition.

Order: batches of one edge and partition are numbered and appended one after the other, so a reader that sees a number
twice, or a smaller one, drops it. Bound: a batch has MAX_BYTES, or one part; ``pending`` bytes are what the hub's
back-pressure looks at. A partition whose task failed is not appended to again: ``ended`` hears of it and ends the process.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from nats.errors import MaxPayloadError

from columns.batch import encode
from gateway.edge.part import MAX_BYTES, Part, batch
from gateway.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.log import Log


class Appender:
    """``stored`` is called with every part after its append, in order; ``ended`` with every task that is done."""

    def __init__(
        self,
        log: Log,
        partitions: int,
        stored: Callable[[Part], None],
        ended: Callable[[asyncio.Task[Any]], None],
    ) -> None:
        self.boot = secrets.token_hex(8)
        self.pending = 0
        self.begun = 0.0
        """When the linger was read whose parts are added now (monotonic seconds)."""
        self.queued_rows = 0
        self.latency = Histogram()
        """From sending a batch to the log's answer, all tries together."""
        self.rejected: Counter[str] = Counter()
        self.appended_batches = 0
        self.appended_rows = 0
        self.slowest_s = 0.0
        self._log = log
        self._stored = stored
        self._ended = ended
        self._queues: list[list[Part]] = [[] for _ in range(partitions)]
        self._numbers = [0] * partitions
        self._tasks: list[asyncio.Task[None] | None] = [None] * partitions

    def add(self, partition: int, part: Part) -> None:
        part.begun = self.begun
        self._queues[partition].append(part)
        self.queued_rows += len(part.positions)
        self.pending += part.size + part.held
        if self._tasks[partition] is None:
            task = asyncio.get_running_loop().create_task(self._drain(partition))
            task.add_done_callback(self._ended)
            self._tasks[partition] = task

    def flush_counts(self) -> None:
        """Counts must not wait for traffic: sends what was rejected, also when there is nothing else to say."""
        if self.rejected and self._tasks[0] is None:
            self.add(0, Part())

    async def _drain(self, partition: int) -> None:
        queue = self._queues[partition]
        most = MAX_BYTES
        while queue:
            parts = _within(queue, most)
            number = self._numbers[partition] + 1
            rejected, self.rejected = dict(self.rejected), Counter()
            data = encode(batch(self.boot, number, parts, rejected))
            begun = time.monotonic()
            try:
                await self._log.append(partition, data, f"{self.boot}-{partition}-{number}")
            except MaxPayloadError:  # a server with a smaller limit than ours
                self.rejected.update(rejected)
                if len(parts) == 1:
                    raise
                most = sum(part.size for part in parts) // 2
                continue
            took = time.monotonic() - begun
            self.slowest_s = max(self.slowest_s, took)
            self.latency.observe(took)
            self.appended_batches += 1
            self._numbers[partition] = number
            del queue[: len(parts)]
            for part in parts:
                self.appended_rows += len(part.positions)
                self.queued_rows -= len(part.positions)
                self.pending -= part.size + part.held
                self._stored(part)
        self._tasks[partition] = None

    @property
    def waiting(self) -> int:
        """Parts that are not on disk yet."""
        return sum(map(len, self._queues))

    async def close(self) -> None:
        """Waits until everything that was taken is on disk and acknowledged, save where a task has failed."""
        while tasks := [task for task in self._tasks if task is not None and not task.done()]:
            await asyncio.wait(tasks)


def _within(queue: list[Part], most: int) -> list[Part]:
    """The first parts of the queue that together have at most this many bytes; one at least."""
    size = take = 0
    for part in queue:
        size += part.size
        if take and size > most:
            break
        take += 1
    return queue[:take]
