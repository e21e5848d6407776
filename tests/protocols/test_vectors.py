"""Frames from public projects' tests as an outside oracle; skipped where the folder is not there.

JT808_VECTORS names the folder, `../shared/vectors` beside the project otherwise. A line is {hex, ok, len_ok, ...}.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from columns.positions import Quality
from protocols.jt808 import catalogue, intake, items
from protocols.jt808.describe import describe
from protocols.jt808.reassembly import Reassembly
from protocols.jt808.session import Session
from tests.protocols import oracle
from tests.protocols.frames import NOW
from tests.protocols.test_intake import assert_agrees
from tests.protocols.test_session import Book

FOLDER = Path(os.environ.get("JT808_VECTORS") or Path(__file__).parents[3] / "shared" / "vectors")
LINES = [
    json.loads(line) | {"project": path.stem}
    for path in sorted(FOLDER.glob("*.jsonl"))
    for line in path.read_text("utf-8").splitlines()
]
SOUND = [line["hex"] for line in LINES if line["ok"] and line["len_ok"]]
pytestmark = pytest.mark.skipif(not LINES, reason=f"no frames in {FOLDER}")


TESTS = "src/JT808.Protocol.Test/MessageBody/"
PUBLISHED = {
    (TESTS + "JT808_0x0100Test.cs", 35): {
        "province": 40, "city": 50, "maker": "1234", "model": "smallchi123", "terminal_id": "CHI123", "plate_colour": 1,
        "plate": "粤A12345",
    },
    (TESTS + "JT808_0x0100Test.cs", 111): {
        "province": 40, "city": 50, "maker": "1234".zfill(11), "model": "smallchi123".zfill(30),
        "terminal_id": "CHI123".zfill(30), "plate_colour": 1, "plate": "粤A12345",
    },
    (TESTS + "JT808_0x0107Test.cs", 39): {
        "terminal_type": 5, "maker": "10601", "model": "10455545955103", "terminal_id": "4d6a13",
        "iccid": "12345678901234567890", "hardware": "abcdefg", "firmware": "poiuytrewq", "gnss": 7, "communication": 9,
    },
    (TESTS + "JT808_0x0500Test.cs", 49): {
        "request_serial": 1000,
        "position": {
            "alarm": 1, "status": 2, "latitude": 12.222222, "longitude": 132.444444, "altitude_m": 40, "speed_kmh": 6.0,
            "course_deg": 0, "time": "2018-07-15T10:10:10+08:00",
            "items": [{"id": 1, "hex": "00000064", "name": "mileage_km", "value": 10.0},
                      {"id": 2, "hex": "0037", "name": "fuel_l", "value": 5.5}],
        },
    },
}  # fmt: skip
"""(file, line) -> what that project itself says its frame holds."""


@pytest.mark.parametrize("place", PUBLISHED, ids=[f"{Path(file).stem}:{line}" for file, line in PUBLISHED])
def test_what_their_publishers_say(place):
    """The values beside the frame, read by somebody else's code."""
    (line,) = [line for line in LINES if (line["file"], line["line"]) == place]
    assert describe(line["hex"])["body"] == PUBLISHED[place]


def refused() -> dict[tuple[str, str, int], str]:
    """(project, file, line) -> reason, as docs/jt808-leniencies.md lists them."""
    page = (Path(__file__).parents[2] / "docs/jt808-leniencies.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| ([^|]+) \| (\d+) \| (\w+) \|$", page, re.MULTILINE)
    return {(project, file, int(line)): reason for project, file, line, reason in rows}


def test_exactly_the_listed_frames_do_not_decode():
    """Every other frame decodes, and these for the reason beside them."""
    found = {}
    for line in LINES:
        said = describe(line["hex"])
        if "error" in said:
            found[line["project"], line["file"], line["line"]] = said["reason"]
    assert found == refused()


def test_every_known_message_is_typed():
    """No body of the catalogue is left as hex, parts and encrypted ones aside; each message has its names."""
    typed = 0
    for line in LINES:
        said = describe(line["hex"])
        if "error" not in said and "part" not in said and "encrypted" not in said:
            number = int(said["message_id"], 16)
            assert ("hex" in said["body"]) == (number not in catalogue.CATALOGUE)
            assert (said["name"], said["name_zh"]) == catalogue.names(number)
            typed += "hex" not in said["body"]
    assert typed > 200


def test_what_is_read_is_written():
    """Bodies that are padded as the standard says come out byte by byte; the others say the same when read again."""
    same = 0
    for line in LINES:
        read = intake.read([bytes.fromhex(line["hex"])], NOW)
        for packet in map(read.packets.packet, range(len(read.packets))):
            if packet.part or packet.encrypted or "error" in describe(line["hex"]):
                continue
            edition, said = catalogue.read(packet.message, packet.body, v2019=packet.v2019)
            body = catalogue.encode(packet.message, said, edition)
            same += body == packet.body
            assert catalogue.decode(packet.message, body, edition) == said
    assert same > 200


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


def test_parts_of_real_terminals_are_joined():
    """Two messages in parts as the standard has them; one (0x0104) whose serials are 17 apart only where that is allowed.

    Its items end where the joined body does, so the parts do belong together.
    """
    frames = [line["hex"] for line in LINES if line["ok"] and line["len_ok"] and line["sub"]]
    packets = [intake.read([bytes.fromhex(frame)], NOW).packets.packet(0) for frame in frames]
    joined = {}
    for consecutive in (True, False):
        one = Reassembly(consecutive=consecutive)
        wholes = [taken.whole for packet in packets if (taken := one.take(packet, NOW)).whole]
        joined[consecutive] = [(whole.message, len(whole.body)) for whole in wholes]
    assert joined[True] == [(0x1205, 5046), (0x1205, 986)]
    assert joined[False] == [*joined[True], (0x0104, 1219)]
