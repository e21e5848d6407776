"""A thousand reports from bytes to columns, and the same columns to the log and to the database."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from columns.batch import Batch, DeadLetters, decode, encode
from protocols.jt808 import intake, terminal
from protocols.jt808.framing import encode as frame
from storage import copy

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from columns.positions import Positions
    from protocols.jt808.framing import Edition

REPORTS = 1_000
NOW_US = 1_770_000_000_000_000


@pytest.fixture(scope="module")
def chunks() -> list[bytes]:
    """One packet from each of a thousand connections, as in a linger of a big fleet."""
    rng = Random(1)
    packets = []
    for i in range(REPORTS):
        items = {0x01: i.to_bytes(4, "big"), 0x30: b"\x19", 0x31: b"\x0c"}
        body = terminal.location(
            NOW_US, 115.5 + rng.random(), 36 + rng.random(), rng.uniform(0, 20), i % 360, altitude=45, items=items
        )
        edition: Edition = "2019" if i % 2 else "2013"
        phone = terminal.phone_bcd(str(13_800_000_000 + i), edition)
        packets.append(frame(0x0200, body, phone, edition, i))
    return packets


@pytest.fixture(scope="module")
def positions(chunks: list[bytes]) -> Positions:
    rows = intake.read(chunks, NOW_US).positions
    return rows.with_columns(device=np.arange(len(rows), dtype=np.int64))


def test_intake(benchmark: BenchmarkFixture, chunks: list[bytes]) -> None:
    """Unescape, checksum, header, decode."""
    read = benchmark(intake.read, chunks, NOW_US)
    assert len(read.positions) == REPORTS


def test_batch_encode(benchmark: BenchmarkFixture, positions: Positions) -> None:
    """What one append holds."""
    batch = Batch("boot", 1, "jt808", positions, DeadLetters.empty())
    assert len(benchmark(encode, batch)) > REPORTS


def test_batch_decode(benchmark: BenchmarkFixture, positions: Positions) -> None:
    data = encode(Batch("boot", 1, "jt808", positions, DeadLetters.empty()))
    assert len(benchmark(decode, data).positions) == REPORTS


def test_copy_rows(benchmark: BenchmarkFixture, positions: Positions) -> None:
    """COPY BINARY bytes."""
    assert sum(map(len, benchmark(copy.rows, positions))) > REPORTS
