"""COPY BINARY from columns: what goes in comes out, at the edges of every type."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import psycopg
import pytest

from columns.ragged import Ragged
from storage.copy import COLUMNS, COPY, microdegrees, rows
from tests.storage.rows import NOON, positions

if TYPE_CHECKING:
    from psycopg import Connection

    from columns.positions import Positions

EDGES: dict[str, list[int]] = {
    "device": [0, 1, 2**63 - 1, 5],
    "time": [NOON, 0, NOON + 1, 4_102_444_800_000_000],
    "fingerprint": [-(2**63), 2**63 - 1, 0, -1],
    "received": [NOON, NOON, NOON, NOON],
    "altitude": [-(2**15), 2**15 - 1, -1, 0],
    "speed": [0, 2**16 - 1, 1, 2],
    "course": [0, 359, 2**16 - 1, 40_000],
    "alarm": [0, 2**31, 2**32 - 1, 1],
    "status": [2**31, 3, 0, 2**32 - 1],
    "mileage": [-1, 2**31 - 1, 0, 7],
    "satellites": [-1, 0, 255, 2**15 - 1],
    "serial": [0, 2**16 - 1, 1, 2],
    "source": [0, 1, 2, 3],
    "quality": [0, 255, 64, 1],
}
EXTRAS = [b"", bytes(range(256)), b"", b"\x00" * 1000]


@pytest.fixture
def edges() -> Positions:
    sample = positions(4)
    values = {name: np.array(column, getattr(sample, name).dtype) for name, column in EDGES.items()}
    degrees = {
        "lon": np.array([-180.0, 180.0, 4294.967295, 117.1234567]),
        "lat": np.array([-90.0, 90.0, 0.0, -0.0000004]),
    }
    return sample.with_columns(**values, **degrees, extras=Ragged.of(EXTRAS))


def oracle(p: Positions, i: int) -> tuple:
    """Row i as the table should hold it, one value at a time."""
    signed = [struct.unpack("<i", struct.pack("<I", int(word)))[0] for word in (p.alarm[i], p.status[i])]
    point = [max(-(2**31), min(2**31 - 1, round(float(degrees[i]) * 1e6))) for degrees in (p.lon, p.lat)]
    numbers = [int(getattr(p, name)[i]) for name in ("altitude", "speed", "course")]
    rest = [int(getattr(p, name)[i]) for name in ("mileage", "satellites", "serial", "source", "quality")]
    keys = [int(getattr(p, name)[i]) for name in ("device", "time", "fingerprint", "received")]
    return (*keys, *point, *numbers, *signed, *rest, p.extras[i])


def stored(conn: Connection) -> list[tuple]:
    exact = COLUMNS.replace("time", "(extract(epoch FROM time) * 1000000)::bigint").replace(
        "received", "(extract(epoch FROM received) * 1000000)::bigint"
    )
    return conn.execute(f"SELECT {exact} FROM position ORDER BY received, terminal").fetchall()


def test_round_trip(database: str, edges: Positions) -> None:
    """Every extreme of every column is read back as it was, in whatever order the rows went out."""
    with psycopg.connect(database) as conn:
        with conn.cursor() as cursor, cursor.copy(COPY) as copy:
            for piece in rows(edges):
                copy.write(piece)
        assert stored(conn) == sorted((oracle(edges, i) for i in range(4)), key=lambda row: (row[3], row[0]))


def test_unsigned_words_read_back_by_mask(database: str, edges: Positions) -> None:
    """alarm & 4294967295 is the word that the terminal sent, bit 31 included."""
    with psycopg.connect(database) as conn:
        with conn.cursor() as cursor, cursor.copy(COPY) as copy:
            for piece in rows(edges):
                copy.write(piece)
        found = conn.execute("SELECT alarm & 4294967295::bigint FROM position").fetchall()
    assert {word for (word,) in found} == set(EDGES["alarm"])


@pytest.mark.parametrize("lengths", [[], [0], [5], [0, 0], [3, 0, 3, 1, 0]])
def test_one_piece_per_length(lengths: list[int]) -> None:
    """Rows are grouped by the length of their extras; between header and trailer there is nothing else."""
    pieces = rows(positions(len(lengths), extras=[bytes(n) for n in lengths]))
    assert pieces[0] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    assert pieces[-1] == b"\xff\xff"
    assert len(pieces) == 2 + len(set(lengths))


def test_extras_of_a_slice(edges: Positions) -> None:
    """Extras whose blob does not begin at 0 (rows taken out of a batch) are cut at their own places."""
    view = Ragged(edges.extras.blob, edges.extras.offsets[1:3])
    one = edges.take(np.array([1])).with_columns(extras=view)
    assert rows(one)[1].endswith(struct.pack(">i", 256) + EXTRAS[1])


def test_microdegrees_never_wrap() -> None:
    """What an int4 cannot hold is bounded, so it cannot look like a place."""
    assert microdegrees(np.array([4294.9, -4294.9, 117.1234565])).tolist() == [2**31 - 1, -(2**31), 117_123_456]
