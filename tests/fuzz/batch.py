"""Batch: any bytes as a message of the log. BatchError alone is allowed.

An input: mode BYTE; 0: the message; otherwise a WORD, the header's length, and what follows it, sealed with a right CRC. What
reads is whole: equal columns, strings within their blob, and it can be written and read again.
"""

from __future__ import annotations

import zlib

import numpy as np
import orjson

from columns.batch import MAGIC, Batch, BatchError, DeadLetters, decode, encode
from columns.positions import DTYPES, concatenate
from columns.ragged import Ragged
from protocols.jt808 import intake
from tests.fuzz import seeds as made
from tests.fuzz.choices import Choices
from tests.protocols.frames import NOW

_PREFIX = 12


def check(data: bytes) -> None:
    choices = Choices(data)
    message = _sealed(choices.word(), choices.rest()) if choices.byte() else choices.rest()
    try:
        read = decode(message)
    except BatchError:
        return
    _whole(read)
    again = decode(encode(read))
    assert (again.boot, again.number, again.protocol) == (read.boot, read.number, read.protocol)
    assert (again.sessions, again.rejected) == (read.sessions, read.rejected)
    assert len(again.positions) == len(read.positions)
    assert _strings(again.positions.extras) == _strings(read.positions.extras)
    assert _strings(again.dead_letters.data) == _strings(read.dead_letters.data)


def seeds() -> list[bytes]:
    read = intake.read([b"".join(made.frames()), b"noise\x7e"], NOW)
    letters = DeadLetters(np.array([5, 0]), np.array([1, 2]), np.array([3, 4], np.uint8), Ragged.of([b"ab", b""]))
    first = read.positions.take(np.arange(1))
    batches = [
        Batch("boot", 1, "jt808", read.positions, DeadLetters.empty()),
        Batch("boot", 2, "jt808", first, letters, [{"event": "registered"}], {"noise": 1}),
        Batch("boot", 3, "jt808", first.take(np.empty(0, np.intp)), letters),
        Batch("boot", 4, "jt808", first.take(np.empty(0, np.intp)), DeadLetters.empty()),
    ]
    written = [encode(batch) for batch in batches]
    return [
        *(b"\x00" + each for each in written),
        *(b"\x01" + each[4:6][::-1] + each[_PREFIX:] for each in written),
        _small(),
        _small(dtype=",i8"),
        _small(rows=1 << 63),
        _small(letters=4),
    ]


def _small(*, dtype: str = "<i8", rows: int = 1, letters: int = 3) -> bytes:
    """A sealed batch of two columns; what differs from these values contradicts its bytes."""
    columns = [
        ["position.time", dtype, rows, 0],
        ["position.extras.lengths", "<u4", 1, 8],
        ["position.extras.blob", "|u1", 3, 16],
    ]
    head = orjson.dumps({"boot": "b", "number": 1, "protocol": "p", "columns": columns})
    return b"\x01" + len(head).to_bytes(2, "big") + head + bytes(8) + bytes([letters, 0, 0, 0]) + bytes(4) + b"abc"


def _sealed(size: int, body: bytes) -> bytes:
    return MAGIC + size.to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body


def _whole(read: Batch) -> None:
    assert isinstance(read.boot, str)
    assert isinstance(read.number, int)
    assert all(isinstance(each, dict) for each in read.sessions)
    assert all(isinstance(count, int) for count in read.rejected.values())
    n = len(read.positions)
    for name, dtype in DTYPES.items():
        column = getattr(read.positions, name)
        assert (column.shape, column.dtype) == ((n,), np.dtype(dtype))
    assert len(_strings(read.positions.extras)) == n
    dead = read.dead_letters
    assert {dead.device.shape, dead.received.shape, dead.reason.shape} == {(len(dead),)}
    assert len(_strings(dead.data)) == len(dead)
    both = concatenate([read.positions, read.positions.take(np.arange(n)[::-1])])
    assert len(both) == len(_strings(both.extras)) == 2 * n


def _strings(ragged: Ragged) -> list[bytes]:
    offsets = ragged.offsets
    assert offsets[0] >= 0
    assert offsets[-1] <= len(ragged.blob)
    assert (np.diff(offsets) >= 0).all()
    return [ragged[i] for i in range(len(ragged))]
