"""Frames from public projects' tests as an outside oracle; skipped where the folder is not there.

JT808_VECTORS names the folder, `../shared/vectors` beside the project otherwise. A line is {hex, ok, len_ok, ...}.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from columns.positions import Quality
from protocols.jt808 import intake, items
from protocols.jt808.describe import describe
from protocols.jt808.session import Session
from tests.protocols import oracle
from tests.protocols.frames import NOW
from tests.protocols.test_intake import assert_agrees
from tests.protocols.test_session import Book

FOLDER = Path(os.environ.get("JT808_VECTORS") or Path(__file__).parents[3] / "shared" / "vectors")
LINES = [json.loads(line) for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
SOUND = [line["hex"] for line in LINES if line["ok"] and line["len_ok"]]
pytestmark = pytest.mark.skipif(not LINES, reason=f"no frames in {FOLDER}")


def test_every_sound_frame_is_described():
    """A frame whose checksum and length are right has a message and a body, and no error."""
    wrong = [(got, frame) for frame in SOUND if "error" in (got := describe(frame))]
    assert wrong == []


def test_header_fields():
    """Message, version and sub-packaging are what another reader found."""
    for line in LINES:
        if line["ok"] and line["len_ok"]:
            got = describe(line["hex"])
            assert got["message_id"] == f"0x{line['msg']}"
            assert (got["edition"] == "2019", "part" in got) == (line["v2019"], line["sub"])


def test_columns_agree_with_the_oracle():
    """All frames, sound or not, in one batch and one by one."""
    chunks = [bytes.fromhex(line["hex"]) for line in LINES]
    assert_agrees(chunks, NOW)
    for chunk in chunks:
        assert_agrees([chunk], NOW)


def test_reports_agree_with_their_description():
    """Every 0x0200 says the same through the columns as through `describe`."""
    frames = [frame for frame in SOUND if describe(frame)["message_id"] == "0x0200"]
    read = intake.read([bytes.fromhex(frame) for frame in frames], NOW)
    assert len(frames) > 40
    mileage, satellites = items.scan(read.positions.extras)
    for i, packet in enumerate(read.positions.packet.tolist()):
        said = describe(frames[read.packets.chunk[packet]])["body"]
        assert (said["longitude"], said["latitude"]) == (read.positions.lon[i], read.positions.lat[i])
        assert (said["time"] is None) == bool(read.positions.quality[i] & Quality.BAD_TIME)
        named = {item["name"]: item["value"] for item in said["items"] if "name" in item}
        assert round(named.get("mileage_km", -0.1) * 10) == mileage[i]
        assert named.get("satellites", -1) == satellites[i]


def test_no_frame_upsets_a_session():
    """Each conversation frame has an outcome, before and after authentication."""
    read = intake.read([bytes.fromhex(frame) for frame in SOUND], NOW)
    for row in read.conversation.tolist():
        packet = read.packets.packet(row)
        one = Session()
        one.receive(packet, Book(), NOW)
        one.identity = packet.identity
        one.receive(packet, Book(), NOW)
    assert len(read.conversation) > 100


def test_the_oracle_reads_them_too():
    """The oracle is no stricter than the frames' publishers."""
    for frame in SOUND:
        assert oracle.read(bytes.fromhex(frame).strip(b"\x7e"), NOW).reason is None
