"""The synthetic captures are what the script writes, small, and readable by the gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.simulator.capture import AWAY, BEGIN, capture
from protocols.jt808 import intake

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "captures"


@pytest.fixture(params=["2011", "2013", "2019"], scope="module")
def edition(request):
    return request.param


@pytest.fixture(scope="module")
def lines(edition):
    return [json.loads(line) for line in (FOLDER / f"{edition}.jsonl").read_text().splitlines()]


def test_the_script_writes_the_same_bytes(edition) -> None:
    """If motion or terminals change on purpose: python -m gateway.simulator.capture fixtures/captures."""
    path = FOLDER / f"{edition}.jsonl"
    assert path.stat().st_size < 200_000
    assert capture(edition) == path.read_text(encoding="ascii")


def test_every_packet_reads(edition, lines) -> None:
    """No reject, nothing malformed; in the order of time."""
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    found = intake.read([bytes.fromhex(line["hex"]) for line in lines], int(BEGIN + 900) * 1_000_000)
    assert len(found.packets) == len(lines)
    assert len(found.malformed) == len(found.rejects) == 0
    assert not found.positions.quality.any()
    assert set(found.packets.v2019) == {edition == "2019"}


def test_backfill_is_in_it(edition, lines) -> None:
    """Some reports came late: as batches of type 1 where the edition has them."""
    found = intake.read([bytes.fromhex(line["hex"]) for line in lines], int(BEGIN + 900) * 1_000_000)
    sent = [int(lines[packet]["t"] * 1e6) for packet in found.positions.packet]
    late = sum(after - time > 30e6 for after, time in zip(sent, found.positions.time, strict=True))
    assert late >= (AWAY[1] - AWAY[0]) / 10
    assert (2 in found.positions.source) == (edition != "2011")
