"""The batch: what one message of the log holds. Self-describing, so readers and writers may differ by a version.

    magic "LZB1" | header length u32 LE | CRC-32 u32 LE of all that follows | header (JSON) | padding | column bytes

The header names the edge's boot and the batch's number, and per table its columns: name, dtype, length, offset.
Readers take columns by name, ignore unknown ones, and default missing ones; a changed meaning is a new name.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import orjson

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

MAGIC = b"LZB1"
VERSION = 1
_PREFIX = 12
_ALIGN = 8
_DEFAULTS = {"mileage": -1, "satellites": -1}
_DEAD = {"device": "<i8", "received": "<i8", "reason": "<u1"}
_STRINGS = {f"{name}.{part}" for name in ("position.extras", "dead.data") for part in ("lengths", "blob")}
_KNOWN = {f"position.{name}" for name in DTYPES} | {f"dead.{name}" for name in _DEAD} | _STRINGS
_NUMBER = re.compile(r"[<|][iu][1248]|<f[48]")


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
        for name in _DEAD:
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
            name: np.frombuffer(body, _dtype(dtype), length, size + offset)
            for name, dtype, length, offset in head["columns"]
            if name in _KNOWN
        }
        return Batch(
            boot=_checked(head["boot"], str),
            number=_checked(head["number"], int),
            protocol=_checked(head["protocol"], str),
            positions=_positions(columns),
            dead_letters=_dead_letters(columns),
            sessions=[_checked(each, dict) for each in _checked(head.get("sessions", []), list)],
            rejected={name: _checked(n, int) for name, n in _checked(head.get("rejected", {}), dict).items()},
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BatchError(f"the batch does not read: {error!r}") from error


def _checked(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _dtype(name: str) -> np.dtype[Any]:
    """Of a column that we know: numpy would also take shapes, texts and lists for one, and read them as Python does."""
    if not _NUMBER.fullmatch(name):
        raise ValueError(f"{name} is no type of a column")
    return np.dtype(name)


def _ragged(columns: dict[str, NDArray[Any]], name: str, n: int) -> Ragged:
    if name + ".lengths" not in columns:
        return Ragged.empty(n)
    lengths = _column(columns, name + ".lengths", "<u4", n)
    blob = columns[name + ".blob"]
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if blob.dtype != np.uint8 or offsets[-1] != len(blob):
        raise ValueError(f"column {name} has {offsets[-1]} bytes, not {len(blob)}")
    return Ragged(blob, offsets)


def _column(columns: dict[str, NDArray[Any]], name: str, dtype: str, n: int) -> NDArray[Any]:
    column = columns[name]
    if len(column) != n:
        raise ValueError(f"column {name} has {len(column)} rows, not {n}")
    if column.dtype.kind == "f" and "f" not in dtype:
        raise ValueError(f"column {name} is {column.dtype}, which is no {dtype}")
    return column.astype(dtype, copy=False)


def _positions(columns: dict[str, NDArray[Any]]) -> Positions:
    if not any(name.startswith("position.") for name in columns):
        return Positions.empty()
    n = len(columns["position.time"])
    taken = {
        name: _column(columns, "position." + name, dtype, n)
        if "position." + name in columns
        else np.full(n, _DEFAULTS.get(name, 0), dtype)
        for name, dtype in DTYPES.items()
    }
    return Positions(**taken, extras=_ragged(columns, "position.extras", n))


def _dead_letters(columns: dict[str, NDArray[Any]]) -> DeadLetters:
    if not any(name.startswith("dead.") for name in columns):
        return DeadLetters.empty()
    n = len(columns["dead.received"])
    taken = {name: _column(columns, "dead." + name, dtype, n) for name, dtype in _DEAD.items()}
    return DeadLetters(**taken, data=_ragged(columns, "dead.data", n))
