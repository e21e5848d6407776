"""Appender: gathers parts per partition and appends them to the log, one batch in flight per partition.

Order: batches of one edge and partition are numbered and appended one after the other, so a reader that sees a number
twice, or a smaller one, drops it. Bound: ``pending`` bytes are what the hub's back-pressure looks at.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.batch import Batch, DeadLetters, encode
from columns.positions import Positions, concatenate
from columns.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gateway.log import Log
    from protocols.jt808.header import Packets

MAX_ROWS = 2500  # about 256 KiB at 100 bytes a row: what one fsync should carry
ROW_BYTES = 160  # a row with its share of buffers, for the bound on memory


@dataclass(slots=True, eq=False)
class Part:
    """What one linger adds to one partition: what to store, and whom to tell when it is stored."""

    positions: Positions
    packets: Packets | None = None
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows of ``packets`` to acknowledge."""
    slots: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    generations: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    dead: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """(device, received, reason, data)"""
    records: list[dict[str, Any]] = field(default_factory=list)
    replies: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(slot, generation, bytes) to write after the append."""

    @property
    def weight(self) -> int:
        return max(len(self.positions) + len(self.records) + len(self.dead), len(self.rows), 1)


class Appender:
    """``stored`` is called with every part after its append, in order."""

    def __init__(self, log: Log, partitions: int, stored: Callable[[Part], None]) -> None:
        self.boot = secrets.token_hex(8)
        self.pending = 0
        self.rejected: Counter[str] = Counter()
        self.appended_batches = 0
        self.appended_rows = 0
        self.slowest_s = 0.0
        self._log = log
        self._stored = stored
        self._queues: list[list[Part]] = [[] for _ in range(partitions)]
        self._numbers = [0] * partitions
        self._tasks: list[asyncio.Task[None] | None] = [None] * partitions

    def add(self, partition: int, part: Part) -> None:
        self._queues[partition].append(part)
        self.pending += part.weight * ROW_BYTES
        if self._tasks[partition] is None:
            self._tasks[partition] = asyncio.get_running_loop().create_task(self._drain(partition))

    def flush_counts(self) -> None:
        """Counts must not wait for traffic: sends what was rejected, also when there is nothing else to say."""
        if self.rejected and not self._queues[0] and self._tasks[0] is None:
            self.add(0, Part(Positions.empty()))

    async def _drain(self, partition: int) -> None:
        queue = self._queues[partition]
        while queue:
            weight, take = 0, 0
            while take < len(queue) and (not take or weight + queue[take].weight <= MAX_ROWS):
                weight += queue[take].weight
                take += 1
            parts, queue[:take] = queue[:take], []
            self._numbers[partition] += 1
            number = self._numbers[partition]
            rejected, self.rejected = dict(self.rejected), Counter()
            data = encode(_batch(self.boot, number, parts, rejected))
            begun = time.monotonic()
            await self._log.append(partition, data, f"{self.boot}-{partition}-{number}")
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            self.appended_batches += 1
            for part in parts:
                self.appended_rows += len(part.positions)
                self.pending -= part.weight * ROW_BYTES
                self._stored(part)
        self._tasks[partition] = None

    async def close(self) -> None:
        """Waits until everything that was taken is on disk and acknowledged."""
        while tasks := [task for task in self._tasks if task is not None]:
            await asyncio.wait(tasks)


def _batch(boot: str, number: int, parts: list[Part], rejected: dict[str, int]) -> Batch:
    dead = [letter for part in parts for letter in part.dead]
    letters = DeadLetters.empty()
    if dead:
        letters = DeadLetters(
            np.array([d[0] for d in dead], "<i8"),
            np.array([d[1] for d in dead], "<i8"),
            np.array([d[2] for d in dead], "<u1"),
            Ragged.of([d[3] for d in dead]),
        )
    return Batch(
        boot=boot,
        number=number,
        protocol="jt808",
        positions=concatenate([part.positions for part in parts if len(part.positions)]),
        dead_letters=letters,
        sessions=[record for part in parts for record in part.records],
        rejected=rejected,
    )
