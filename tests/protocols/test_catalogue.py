"""The catalogue as a whole: what it holds, the columns that it agrees with, what it passes through, and gzip."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Quality
from protocols.jt808 import catalogue, framing, intake, items
from protocols.jt808.body import BodyError
from protocols.jt808.catalogue import CATALOGUE
from protocols.jt808.messages.passthrough import MAX_INFLATED
from tests.protocols.frames import EDITIONS, NOW, batches, locations

SPEC = {
    0x0001, 0x8001, 0x0002, 0x8003, 0x0005, 0x0003, 0x0004, 0x8004, 0x0100, 0x8100, 0x0102, 0x8103, 0x8104, 0x8106,
    0x0104, 0x8105, 0x8107, 0x0107, 0x8108, 0x0108, 0x0200, 0x8201, 0x0201, 0x8202, 0x8203, 0x8204, 0x8300, 0x8301,
    0x0301, 0x8302, 0x0302, 0x8303, 0x0303, 0x8304, 0x8400, 0x8401, 0x8500, 0x0500, *range(0x8600, 0x8609), 0x0608,
    0x8700, 0x0700, 0x8701, 0x0701, 0x8702, 0x0702, 0x0704, 0x0705, 0x0800, 0x0801, 0x8800, 0x8801, 0x0805, 0x8802,
    0x0802, 0x8803, 0x8804, 0x8805, 0x8900, 0x0900, 0x0901, 0x8A00, 0x0A00,
}  # fmt: skip
"""Annex B of the three editions."""
PAGE = (Path(__file__).parents[2] / "docs/jt808-editions.md").read_text("utf-8")
ROW = re.compile(
    r"^\| 0x([0-9A-F]{4}) \| (up|down) \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", re.MULTILINE
)
relaxed = settings(deadline=None, max_examples=100)


def test_every_message_of_the_standard_once():
    """All of annex B, each under its id, going the way that its top bit says."""
    assert set(CATALOGUE) == SPEC
    assert sum(len(part.MESSAGES) for part in catalogue._PARTS) == len(CATALOGUE)
    for number, message in CATALOGUE.items():
        assert (message.id, message.direction) == (number, "down" if number & 0x8000 else "up")
        assert message.editions.keys() <= set(EDITIONS)
        assert message.name
        assert re.search("[一-鿿]", message.name_zh)


def changes(message) -> list[str]:
    """For each edition a dash where it lacks the message, "differs" where its layout is not the last one's, else "yes"."""
    said, before = [], ()
    for edition in EDITIONS:
        forms = message.layouts(edition)
        same = len(forms) == len(before) and all(one is other for one, other in zip(forms, before, strict=True))
        said.append("-" if not forms else "yes" if same or not before else "differs")
        before = forms or before
    return said


def test_the_page_compares_the_editions_as_the_code_does():
    """docs/jt808-editions.md has one row for each message, in order: direction, both names, and where its layout changes."""
    rows = [(int(row[0], 16), row[1], row[2], row[3], list(row[4:])) for row in ROW.findall(PAGE)]
    expected = [
        (each.id, each.direction, each.name, each.name_zh, changes(each)) for _, each in sorted(CATALOGUE.items())
    ]
    assert rows == expected


def test_the_page_says_what_differs():
    """Every row in which an edition differs says how."""
    for line in PAGE.splitlines():
        if line.startswith("| 0x") and "differs" in line:
            assert len(line.rstrip("| ").rsplit("|", 1)[1].strip()) > 5, line


@given(bodies=st.lists(locations(), min_size=1, max_size=5))
@relaxed
def test_positions_agree_with_the_columns(bodies):
    """One report says the same through the catalogue as through the columns, whatever its bytes are."""
    read = intake.read([framing.encode(0x0200, body, bytes(6), "2013", 1) for body in bodies], NOW).positions
    mileage, satellites = items.scan(read.extras)
    for row, body in enumerate(bodies):
        assert_same(catalogue.decode(0x0200, body, "2013"), read, row, mileage[row], satellites[row])


@given(body=batches())
@relaxed
def test_batches_agree_with_the_columns(body):
    """The same reports, the same refused ones, and a body that one does not read the other does not read."""
    read = intake.read([framing.encode(0x0704, body, bytes(6), "2013", 1)], NOW)
    try:
        said = catalogue.decode(0x0704, body, "2013")["positions"]
    except BodyError:
        assert read.malformed.tolist() == [0]
        return
    assert not len(read.malformed)
    good = [each for each in said if "hex" not in each]
    assert [each["hex"] for each in said if "hex" in each] == [
        read.rejects.data[i].hex() for i in range(len(read.rejects))
    ]
    assert len(good) == len(read.positions)
    mileage, satellites = items.scan(read.positions.extras)
    for row, each in enumerate(good):
        assert_same(each, read.positions, row, mileage[row], satellites[row])


def assert_same(said, positions, row, mileage, satellites):
    columns = ("lon", "lat", "altitude", "course", "alarm", "status")
    names = ("longitude", "latitude", "altitude_m", "course_deg", "alarm", "status")
    assert [said[name] for name in names] == [getattr(positions, column)[row] for column in columns]
    assert said["speed_kmh"] == positions.speed[row] / 10
    bad = bool(positions.quality[row] & Quality.BAD_TIME)
    assert bad == (len(said["time"]) == 12)
    if not bad:
        assert np.datetime64(said["time"][:19], "us").astype(np.int64) - 8 * 3600 * 10**6 == positions.time[row]
    named = {item["name"]: item["value"] for item in said["items"] if "name" in item}
    if mileage >= 0:
        assert round(named["mileage_km"] * 10) == mileage
    assert named.get("satellites", -1) == satellites


@pytest.mark.parametrize(
    ("message", "key"),
    [(0x0F00, "reserved"), (0x8FFF, "reserved"), (0x1205, "jt1078"), (0x9101, "jt1078"), (0xE001, "vendor"),
     (0xFFFF, "vendor"), (0x0091, "unassigned"), (0x8005, "unassigned")],
)  # fmt: skip
def test_what_is_not_in_the_catalogue_passes_through(message, key):
    """Raw, with the range that its id lies in, and written back."""
    said = catalogue.read(message, b"\x01\x02", v2019=True).values
    assert said == {"hex": "0102", "range": key}
    assert catalogue.encode(message, said, "2019") == b"\x01\x02"
    assert all(catalogue.names(message))
    with pytest.raises(BodyError, match="hex"):
        catalogue.encode(message, {}, "2019")


def test_an_edition_without_the_message():
    """Exactly that edition cannot have it; a terminal that sends it none the less is read."""
    with pytest.raises(BodyError, match="2011 版没有"):
        catalogue.decode(0x0704, b"", "2011")
    with pytest.raises(BodyError, match="not a message of 2013"):
        catalogue.encode(0x0004, {}, "2013")
    assert catalogue.read(0x0004, b"", v2019=False) == ("2019", {})
    assert catalogue.read(0x0301, b"\x07", v2019=True) == ("2013", {"id": 7})


def test_a_tail_is_kept():
    """Vendor bytes behind a heartbeat, and a byte too many behind a fixed body."""
    assert catalogue.read(0x0002, b"\xab", v2019=False).values == {"tail": "ab"}
    body = bytes.fromhex("0007810300ff")
    said = catalogue.decode(0x0001, body, "2013")
    assert said["tail"] == "ff"
    assert catalogue.encode(0x0001, said, "2013") == body


def test_maker_of_5_or_11_bytes():
    """0x0107 of 2019: the text's five bytes, or eleven as in its registration; the one that ends exactly."""
    rest = b"T1".ljust(30, b"\0") + b"T000001".ljust(30, b"\0") + bytes(10) + b"\x01A\x01B\x03\x01"
    for maker in (b"ABCDE", b"370102ABCDE"):
        said = catalogue.read(0x0107, b"\x00\x07" + maker + rest, v2019=True)
        assert (said.edition, said.values["maker"]) == ("2019", maker.decode())
        assert (said.values["model"], said.values["terminal_id"]) == ("T1", "T000001")
        assert catalogue.encode(0x0107, said.values, "2019") == b"\x00\x07" + maker + rest


def test_fewer_parameters_than_counted():
    """What is there is read; the rest, if it does not read, is the tail."""
    said = catalogue.read(0x0104, bytes.fromhex("00070300000001040000003c"), v2019=False)
    assert said == (
        "2013", {"request_serial": 7, "parameters": [{"id": 1, "name": "heartbeat_interval_s", "value": 60}]}
    )  # fmt: skip


def test_a_parameter_that_says_less_than_its_bytes():
    """A text with a zero behind it keeps its bytes beside it, and they are what is written."""
    body = bytes.fromhex("01" + "00000013" + "04" + "612e6200")
    said = catalogue.decode(0x8103, body, "2013")
    assert said["parameters"] == [{"id": 0x13, "name": "main_server", "value": "a.b", "hex": "612e6200"}]
    assert catalogue.encode(0x8103, said, "2013") == body
    with pytest.raises(BodyError, match="heartbeat_interval_s at byte 6"):
        catalogue.encode(0x8103, {"parameters": [{"id": 1, "value": -1}]}, "2013")
    with pytest.raises(BodyError, match="not named"):
        catalogue.encode(0x8103, {"parameters": [{"id": 1, "name": "tcp_retries", "value": 1}]}, "2013")
    with pytest.raises(BodyError, match="hex needed"):
        catalogue.encode(0x8103, {"parameters": [{"id": 0xF000, "value": 1}]}, "2013")


def compressed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def test_compressed_messages():
    """What gzip holds, whoever compressed it; written the same every time."""
    said = {"message": b"0200".hex()}
    assert catalogue.decode(0x0901, compressed(gzip.compress(b"0200", mtime=123456)), "2013") == said
    body = catalogue.encode(0x0901, said, "2013")
    assert body == catalogue.encode(0x0901, said, "2013")
    assert body[8:12] == bytes(4)  # gzip's own time
    assert gzip.decompress(body[4:]) == b"0200"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not gzip", "not gzip"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "cut off"),
        (gzip.compress(b"x" * 100, mtime=0)[:-8] + bytes(8), "not gzip"),
        (gzip.compress(bytes(MAX_INFLATED + 1), mtime=0), "more than 1048576"),
        (zlib.compress(bytes(100)), "not gzip"),
        (gzip.compress(b"x", mtime=0) + b"y", "too many"),
        (b"", "cut off"),
    ],
)
def test_bad_compression(data, reason):
    """No gzip, half of it, a wrong checksum, a bomb, something behind it: a BodyError that says which."""
    with pytest.raises(BodyError, match=reason):
        catalogue.decode(0x0901, compressed(data), "2013")


def test_the_largest_compressed_message():
    """Exactly the limit is no bomb."""
    body = compressed(gzip.compress(bytes(MAX_INFLATED), mtime=0))
    assert len(body) < 2000
    assert catalogue.decode(0x0901, body, "2013") == {"message": "00" * MAX_INFLATED}
    with pytest.raises(BodyError, match="more than"):
        catalogue.encode(0x0901, {"message": "00" * (MAX_INFLATED + 1)}, "2013")
