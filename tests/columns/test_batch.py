"""The batch format: what is written is read, and damage, strangers and other versions are met as promised."""

from __future__ import annotations

import zlib

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.batch import Batch, BatchError, DeadLetters, decode, encode
from columns.positions import DTYPES, Positions, concatenate
from columns.ragged import Ragged


def positions(n: int, seed: int = 0) -> Positions:
    rng = np.random.default_rng(seed)
    columns = {
        name: rng.integers(0, 100, n).astype(dtype) for name, dtype in DTYPES.items() if name not in {"lon", "lat"}
    }
    columns["lon"], columns["lat"] = rng.uniform(115, 117, n), rng.uniform(35, 37, n)
    extras = Ragged.of([rng.bytes(int(k)) for k in rng.integers(0, 40, n)])
    return Positions(**columns, extras=extras)


def batch(n: int = 3, **changes: object) -> Batch:
    values = {"boot": "b", "number": 7, "protocol": "jt808", "positions": positions(n),
              "dead_letters": DeadLetters.empty()}  # fmt: skip
    return Batch(**{**values, **changes})


@pytest.mark.parametrize("n", [0, 1, 5])
def test_round_trip(n):
    """Every column of every table comes back; packet is the edge's own and mileage and satellites the worker's."""
    letters = DeadLetters(np.array([5, 0]), np.array([1, 2]), np.array([3, 4], np.uint8), Ragged.of([b"ab", b""]))
    written = batch(n, dead_letters=letters, sessions=[{"event": "registered"}], rejected={"noise": 2})
    read = decode(encode(written))
    assert (read.boot, read.number, read.sessions, read.rejected) == ("b", 7, [{"event": "registered"}], {"noise": 2})
    for name in set(DTYPES) - {"packet", "mileage", "satellites"}:
        np.testing.assert_array_equal(getattr(read.positions, name), getattr(written.positions, name), name)
    assert [read.positions.extras[i] for i in range(n)] == [written.positions.extras[i] for i in range(n)]
    assert (read.positions.mileage == -1).all()
    assert [read.dead_letters.data[i] for i in range(2)] == [b"ab", b""]


def rewrite(data: bytes, change) -> bytes:
    """The same batch with another header, CRC made right again."""
    size = int.from_bytes(data[4:8], "little")
    head = orjson.loads(data[12 : 12 + size])
    change(head)
    header = orjson.dumps(head)
    header += b" " * (-(12 + len(header)) % 8)
    body = header + data[12 + size :]
    return data[:4] + len(header).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body


def test_a_newer_writer():
    """A column that we don't know is ignored, one that we don't get is its default: N and N-1 run together."""

    def change(head):
        for column in head["columns"]:
            if column[0] == "position.course":
                column[0] = "position.heading_of_the_future"

    read = decode(rewrite(encode(batch()), change))
    assert read.positions.course.tolist() == [0, 0, 0]
    assert len(read.positions) == 3


def test_a_column_of_the_future():
    """Its name is unknown, so whatever its type is, it is ignored."""

    def change(head):
        head["columns"].append(["position.of_the_future", "|S9,(2,)f2", 3, 0])

    assert len(decode(rewrite(encode(batch()), change)).positions) == 3


def changed(number, value):
    """Another name, dtype, length or offset for the column of times."""

    def change(head):
        next(column for column in head["columns"] if column[0] == "position.time")[number] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(changed(1, dtype) for dtype in (",i8", "<a8", "(2,)<i8", "O", "|S8", "<f8", "<M8[us]", "", 8, None)),
        *(changed(2, length) for length in (2, 1 << 63, -2, 1.5)),
        *(changed(3, offset) for offset in (1 << 63, 1 << 40, -(1 << 40))),
        changed(0, "position.lon"),
        lambda head: head["columns"].append(["position.extras.lengths", "<u4", 3, 8]),
        lambda head: head.update(boot=7),
        lambda head: head.update(number="7"),
        lambda head: head.update(sessions={}),
        lambda head: head.update(sessions=["registered"]),
        lambda head: head.update(rejected={"noise": "2"}),
        lambda head: head.pop("protocol"),
        lambda head: head.update(columns=7),
    ],
)
def test_a_header_that_contradicts_its_columns(change):
    """A right CRC over a wrong header: a BatchError, never another exception or rows that are not there."""
    with pytest.raises(BatchError):
        decode(rewrite(encode(batch()), change))


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_any_damage_is_seen(at, flip):
    """No changed byte goes unnoticed: magic, length, CRC, header or column."""
    data = bytearray(encode(batch()))
    data[at % len(data)] ^= flip
    with pytest.raises(BatchError):
        decode(bytes(data))


def test_a_torn_batch():
    """Any prefix of a batch is refused."""
    data = encode(batch())
    for size in range(0, len(data), 37):
        with pytest.raises(BatchError):
            decode(data[:size])


def test_concatenate_and_take():
    """Rows of several parts are the rows of all, and take picks them with their extras."""
    one, two = positions(3, 1), positions(4, 2)
    both = concatenate([one, two])
    picked = both.take(np.array([6, 0]))
    assert picked.time.tolist() == [two.time[3], one.time[0]]
    assert [picked.extras[0], picked.extras[1]] == [two.extras[3], one.extras[0]]
    assert len(concatenate([])) == 0
