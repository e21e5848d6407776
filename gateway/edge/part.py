"""Part: what one linger adds to one partition. It knows its size, in the log and in memory, when it is handed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from columns.batch import Batch, DeadLetters
from columns.positions import DTYPES, Positions, concatenate
from columns.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from protocols.jt808.header import Packets

MAX_BYTES = 256 * 1024  # what one fsync should carry; a quarter of the log's largest message
_NOT_SENT = {"packet", "mileage", "satellites"}
_LENGTH = 4
ROW_BYTES = _LENGTH + sum(np.dtype(kind).itemsize for name, kind in DTYPES.items() if name not in _NOT_SENT)
"""A position in the log, without its extras."""
LETTER_BYTES = 8 + 8 + 1 + _LENGTH
PACKET_BYTES = 72
"""A packet's row in Packets, and its row, slot and generation in the part."""


@dataclass(slots=True, eq=False)
class Part:
    """What to store, and whom to tell when it is stored."""

    positions: Positions = field(default_factory=Positions.empty)
    packets: Packets | None = None
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows of ``packets`` to acknowledge."""
    slots: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    generations: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    size: int = 0
    """Bytes that it adds to a batch."""
    held: int = 0
    """Bytes of memory that besides those live until it is stored."""
    begun: float = 0.0
    """When what it holds was read (monotonic seconds)."""
    dead: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """(device, received, reason, data)"""
    records: list[dict[str, Any]] = field(default_factory=list)
    replies: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(slot, generation, bytes) to write after the append."""

    def record(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self.size += len(orjson.dumps(record)) + 1

    def reply(self, slot: int, generation: int, data: bytes) -> None:
        self.replies.append((slot, generation, data))
        self.held += len(data)

    def letter(self, device: int, received: int, reason: int, data: bytes) -> None:
        self.dead.append((device, received, reason, data))
        self.size += len(data) + LETTER_BYTES


class Gathering:
    """The parts of one linger that grow one by one, each handed over when it is as long as a batch may be."""

    def __init__(self, add: Callable[[int, Part], None]) -> None:
        self._add = add
        self._parts: dict[int, Part] = {}

    def part(self, partition: int) -> Part:
        """Where this partition's next record or letter belongs."""
        part = self._parts.get(partition)
        if part is None or part.size >= MAX_BYTES:
            if part is not None:
                self._add(partition, part)
            part = self._parts[partition] = Part()
        return part

    def finish(self) -> None:
        for partition, part in self._parts.items():
            self._add(partition, part)


def pieces(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where to cut consecutive things of these sizes: the first of each piece.

    A piece is at most MAX_BYTES and one thing long.
    """
    piece = np.maximum(sizes.cumsum() - 1, 0) // MAX_BYTES
    return np.flatnonzero(np.diff(piece, prepend=-1))


def batch(boot: str, number: int, parts: list[Part], rejected: dict[str, int]) -> Batch:
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
