"""The worker reads the bodies of `message` records: any bytes whatever become a row that PostgreSQL takes."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from columns.batch import Batch, DeadLetters, encode
from columns.positions import Positions
from gateway.worker import decision as deciding
from gateway.worker.memory import Memory
from gateway.worker.rules import Rules
from gateway.worker.terminal_messages import MOST_SAID, _storable, read
from geofence.fence import Fence
from geofence.machines import Machines
from geofence.ruleset import Ruleset
from protocols.jt808.catalogue import CATALOGUE

NOON = 1_772_366_400_000_000


def record(message: int, body: bytes, edition: str = "2013", **changes: Any) -> dict[str, Any]:
    """As an edge appends it."""
    return {
        "event": "message", "time": NOON, "identity": "13800000007", "phone": "013800000007", "edition": edition,
        "device": 7, "received": NOON, "message": message, "serial": 3, "body": body.hex(), **changes,
    }  # fmt: skip


def test_a_body_is_read() -> None:
    """Values as JSON, the bytes beside them; other records pass through as they are, in their order."""
    left = {"event": "left", "identity": "1", "device": 1}
    before, event, after = read([left, record(0x0301, b"\x03"), left])
    assert before is after is left
    assert (event["body"], orjson.loads(event["said"]), event["reason"]) == (b"\x03", {"id": 3}, None)
    assert {name: event[name] for name in ("device", "message", "serial", "time")} == {
        "device": 7, "message": 0x0301, "serial": 3, "time": NOON,
    }  # fmt: skip


def test_the_edition_is_the_bodys() -> None:
    """A header that says 2019 over a body of 2013 is read as what it is."""
    body = bytes([1]) + bytes.fromhex("260301120000") + b"\x00" + b"\x04" + "张三".encode("gbk") + b"C" * 20
    body += b"\x02" + "局".encode("gbk") + bytes.fromhex("20300101")
    (driver,) = read([record(0x0702, body, "2019")])
    assert (driver["edition"], orjson.loads(driver["said"])["name"]) == ("2013", "张三")


def test_a_body_that_does_not_read_keeps_its_bytes() -> None:
    """No values, the reason in both languages, the edition of the session."""
    (got,) = read([record(0x0302, b"\x01", "2011")])
    assert (got["body"], got["said"], got["edition"]) == (b"\x01", None, "2011")
    assert "bytes needed" in got["reason"]
    assert " | " in got["reason"]


def test_values_that_are_too_long_are_not_kept() -> None:
    """A kilobyte of gzip must not become a megabyte of row; what fits is kept."""
    packed = {size: gzip.compress(bytes(size)) for size in (1000, 1_000_000)}
    small, large = read([record(0x0901, len(data).to_bytes(4, "big") + data) for data in packed.values()])
    assert orjson.loads(small["said"]) == {"message": "00" * 1000}
    assert (large["said"], len(large["body"]) < 2000) == (None, True)
    assert large["reason"].startswith("2000014 bytes as JSON are too long to keep | ")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\x00b", "a\ufffdb"), ("\ud800", "?"), (float("nan"), None), (float("inf"), None), (1.5, 1.5),
        ([{"a\x00": ["\x00", True, None]}], [{"a\ufffd": ["\ufffd", True, None]}]),
    ],
)  # fmt: skip
def test_what_postgresql_refuses_is_replaced(value: Any, stored: Any) -> None:
    """U+0000, half a surrogate pair and numbers that are none, however deep."""
    assert _storable(value) == stored


@given(
    message=st.sampled_from(sorted(CATALOGUE)) | st.integers(0, 0xFFFF),
    body=st.binary(max_size=80),
    edition=st.sampled_from(["2011", "2013", "2019"]),
)
def test_no_bytes_stop_a_batch(message: int, body: bytes, edition: str) -> None:
    """Whatever a terminal sends: either values as JSON text, or a reason; never an exception."""
    (got,) = read([record(message, body, edition)])
    assert got["body"] == body
    assert (got["said"] is None) != (got["reason"] is None)
    if got["said"] is not None:
        assert "\\u0000" not in got["said"]
        assert len(got["said"].encode()) <= MOST_SAID
        assert isinstance(orjson.loads(got["said"]), dict)


def test_a_work_has_them_read() -> None:
    """From the log's bytes to what a commit writes."""
    data = encode(Batch("boot", 1, "jt808", Positions.empty(), DeadLetters.empty(), [record(0x0301, b"\x03")]))
    memory = Memory()
    gathered = deciding.gather([(5, data)], {})
    rules = Rules(1, Ruleset(Fence.compile([]), Machines()))
    judged = deciding.judge(memory, rules, gathered.positions)
    work = deciding.work(
        gathered, gathered.positions, judged, rules, memory=memory, partition=0, stream="s", previous=4, now=NOON
    )
    assert [each["said"] for each in work.sessions] == ['{"id":3}']
