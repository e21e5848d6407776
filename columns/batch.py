"""The batch: what one message of the log holds. Self-describing, so readers and writers may differ by a version.

    magic "LZB1" | header length u32 LE | CRC-32 u32 LE of all that follows | header (JSON) | padding | column bytes

The header names the edge's boot and the batch's number, and per table its columns: name, dtype, length, offset.
Readers take columns by name, ignore unknown ones, and default missing ones; a changed meaning is a new name.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"LZB1"
VERSION = 1
_PREFIX = 12
_ALIGN = 8


class BatchError(ValueError):
    """These bytes are not a batch that we wrote: wrong magic, wrong CRC, or columns that don't fit."""


@dataclass(frozen=True, slots=True, eq=False)
class DeadLetters:
    """Packets that could not be decoded, one row each.

    device: int64, 0 where unknown; received: int64 us UTC; reason: uint8 (gateway's reject reasons by number);
    data: the packet's bytes as received, unescaped where that was possible.
    """

    device: NDArray[np.int64]
    received: NDArray[np.int64]
    reason: NDArray[np.uint8]
    data: Ragged

    def __len__(self) -> int:
        return len(self.received)

    @staticmethod
    def empty() -> DeadLetters:
        return DeadLetters(np.empty(0, "<i8"), np.empty(0, "<i8"), np.empty(0, "<u1"), Ragged.empty())


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One append: which edge boot wrote it, its number there for this partition, and its rows."""

    boot: str
    number: int
    protocol: str
    positions: Positions
    dead_letters: DeadLetters
    sessions: list[dict[str, Any]] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    """Counts by reason of what this edge refused since its last batch of this partition."""


class _Writer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.columns: list[list[Any]] = []

    def add(self, name: str, column: NDArray[np.generic]) -> None:
        data = column.tobytes()
        self.columns.append([name, column.dtype.str, len(column), self.size])
        padding = -len(data) % _ALIGN
        self.parts += [data, bytes(padding)]
        self.size += len(data) + padding

    def ragged(self, name: str, strings: Ragged) -> None:
        first, last = int(strings.offsets[0]), int(strings.offsets[-1])
        self.add(name + ".lengths", strings.lengths.astype("<u4"))
        self.add(name + ".blob", strings.blob[first:last])


def encode(batch: Batch) -> bytes:
    writer = _Writer()
    positions, dead = batch.positions, batch.dead_letters
    if len(positions):
        for name in DTYPES:
            if name not in {"packet", "mileage", "satellites"}:  # the first is the edge's own, the others the worker's
                writer.add("position." + name, getattr(positions, name))
        writer.ragged("position.extras", positions.extras)
    if len(dead):
        for name in ("device", "received", "reason"):
            writer.add("dead." + name, getattr(dead, name))
        writer.ragged("dead.data", dead.data)
    head = {"v": VERSION, "boot": batch.boot, "number": batch.number, "protocol": batch.protocol,
            "columns": writer.columns}  # fmt: skip
    if batch.sessions:
        head["sessions"] = batch.sessions
    if batch.rejected:
        head["rejected"] = batch.rejected
    header = orjson.dumps(head)
    header += b" " * (-(_PREFIX + len(header)) % _ALIGN)
    body = b"".join([header, *writer.parts])
    return b"".join([MAGIC, len(header).to_bytes(4, "little"), zlib.crc32(body).to_bytes(4, "little"), body])


def decode(data: bytes) -> Batch:
    """Raises BatchError where the bytes are not a whole batch."""
    if data[:4] != MAGIC or len(data) < _PREFIX:
        raise BatchError("not a batch: wrong magic")
    size = int.from_bytes(data[4:8], "little")
    body = memoryview(data)[_PREFIX:]
    if zlib.crc32(body) != int.from_bytes(data[8:12], "little"):
        raise BatchError("the batch's CRC does not match its bytes")
    try:
        head = orjson.loads(body[:size])
        columns = {
            name: np.frombuffer(body, np.dtype(dtype), length, size + offset)
            for name, dtype, length, offset in head["columns"]
        }
        return Batch(
            boot=head["boot"],
            number=head["number"],
            protocol=head["protocol"],
            positions=_positions(columns),
            dead_letters=_dead_letters(columns),
            sessions=head.get("sessions", []),
            rejected=head.get("rejected", {}),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise BatchError(f"the batch does not read: {error!r}") from error


def _ragged(columns: dict[str, NDArray[Any]], name: str, n: int) -> Ragged:
    if name + ".lengths" not in columns:
        return Ragged.empty(n)
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(columns[name + ".lengths"], out=offsets[1:])
    return Ragged(columns[name + ".blob"], offsets)


_DEFAULTS = {"mileage": -1, "satellites": -1}


def _positions(columns: dict[str, NDArray[Any]]) -> Positions:
    if "position.time" not in columns:
        return Positions.empty()
    n = len(columns["position.time"])
    taken = {}
    for name, dtype in DTYPES.items():
        column = columns.get("position." + name)
        taken[name] = np.full(n, _DEFAULTS.get(name, 0), dtype) if column is None else column.astype(dtype, copy=False)
        if len(taken[name]) != n:
            raise ValueError(f"column {name} has {len(taken[name])} rows, not {n}")
    return Positions(**taken, extras=_ragged(columns, "position.extras", n))


def _dead_letters(columns: dict[str, NDArray[Any]]) -> DeadLetters:
    if "dead.received" not in columns:
        return DeadLetters.empty()
    received = columns["dead.received"]
    return DeadLetters(
        columns["dead.device"], received, columns["dead.reason"], _ragged(columns, "dead.data", len(received))
    )
