"""Frames over TCP into a running gateway, and the same positions back from the API."""

from __future__ import annotations

import json
import os
import struct
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from protocols.jt808.phone import identity
from tests.plugins.terminals import Terminal

ROOT = Path(__file__).parents[2]
VECTORS = Path(os.environ.get("JT808_VECTORS", ROOT.parent / "shared" / "vectors"))
CHINA = timezone(timedelta(hours=8))
OPEN = {"enrolment": "open"}


def unescaped(frame: bytes) -> bytes:
    return frame[1:-1].replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")


def expected(frame: bytes) -> tuple[bytes, list[dict]] | None:
    """(phone, fixes) of a 0x0200 or 0x0704, read here by hand; None for anything else."""
    packet = unescaped(frame)
    if len(packet) < 13:  # the standard's example of escaping is no packet
        return None
    message, properties = struct.unpack_from(">HH", packet)
    header, phone = (17, packet[5:15]) if properties & 0x4000 else (12, packet[4:10])
    if message not in {0x0200, 0x0704} or properties & 0x3C00:
        return None
    body = packet[header:-1]
    bodies = [body]
    if message == 0x0704:
        bodies, at = [], 3
        while at + 2 <= len(body):
            length = int.from_bytes(body[at : at + 2], "big")
            bodies.append(body[at + 2 : at + 2 + length])
            at += 2 + length
    fixes = []
    for one in bodies:
        if len(one) < 28:
            return None
        _, status, lat, lon, _, speed, course = struct.unpack_from(">IIIIHHH", one)
        try:
            at = datetime.strptime(one[22:28].hex(), "%y%m%d%H%M%S").replace(tzinfo=CHINA)
        except ValueError:
            continue  # no time: it is kept, but under the time of its receipt
        signed = (-lon if status & 8 else lon, -lat if status & 4 else lat)
        fixes.append(
            {"time": at, "lon": signed[0] / 1e6, "lat": signed[1] / 1e6, "speed": speed / 10, "course": course}
        )
    return phone, fixes


def play(gateway, frames: list[bytes]) -> int:
    """Every frame from its own terminal, registered as what its header says it is; returns how many were stored."""
    sent = []
    for frame in frames:
        found = expected(frame)
        if found is None:
            continue
        phone, fixes = found
        edition = "2019" if len(phone) == 10 else "2013"
        one = Terminal(gateway.jt808_port, "0", edition)
        one.bcd = phone
        one.join()
        one.socket.sendall(frame)
        reply = one.read()
        assert reply is not None, frame.hex()
        assert (reply.message, reply.result) == (0x8001, 0), frame.hex()
        one.close()
        sent.append((identity(phone), fixes))
    for phone, fixes in sent:
        for fix in fixes:
            row = find(gateway, phone, fix)
            assert abs(row["longitude"] - fix["lon"]) < 1e-6, (phone, fix, row)
            assert abs(row["latitude"] - fix["lat"]) < 1e-6
            assert row["speed_kmh"] == fix["speed"]
            assert row["course_deg"] == fix["course"]
    return len(sent)


def find(gateway, phone: str, fix: dict, seconds: float = 10) -> dict:
    """The row of this fix in the track; the commit comes a moment after the acknowledgement."""
    end = time.monotonic() + seconds
    params = {
        "from": (fix["time"] - timedelta(seconds=1)).isoformat(),
        "to": (fix["time"] + timedelta(seconds=1)).isoformat(),
        "purpose": "test",
    }
    while True:
        rows = gateway.get(f"/api/v1/terminals/{phone}/track", **params)["items"]
        for row in rows:
            same_place = abs(row["longitude"] - fix["lon"]) < 2e-6 and abs(row["latitude"] - fix["lat"]) < 2e-6
            if datetime.fromisoformat(row["time"]) == fix["time"] and same_place:
                return row
        assert time.monotonic() < end, (phone, fix, rows)
        time.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")
def test_own_fixtures(gateway):
    """The standard's worked examples, every edition, arrive as what they say."""
    lines = (ROOT / "fixtures" / "frames" / "worked-examples.jsonl").read_text().splitlines()
    frames = [bytes.fromhex(json.loads(line)["hex"]) for line in lines]
    assert play(gateway, frames) >= 3


@pytest.mark.e2e
@pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")
@pytest.mark.parametrize("edition", ["2011", "2013", "2019"])
def test_a_synthetic_capture(gateway, edition):
    """A captured run of each edition, played from one connection per terminal, is back in the track, row for row."""
    lines = (ROOT / "fixtures" / "captures" / f"{edition}.jsonl").read_text().splitlines()
    frames = [bytes.fromhex(json.loads(line)["hex"]) for line in lines]
    reports = [frame for frame in frames if expected(frame) is not None]
    assert len(reports) > 20
    assert play(gateway, reports[:: max(1, len(reports) // 30)]) >= 20


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")
def test_real_frames(gateway):
    """Frames that public projects captured from real terminals arrive as what they say."""
    if not VECTORS.is_dir():
        pytest.skip(f"no frames of public origin at {VECTORS}: JT808_VECTORS names their folder")
    frames = []
    for path in sorted(VECTORS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            one = json.loads(line)
            if one["ok"] and one["len_ok"] and one["msg"] in {"0200", "0704"}:
                frames.append(bytes.fromhex(one["hex"]))
    assert play(gateway, list(dict.fromkeys(frames))) > 20
