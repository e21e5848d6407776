"""The terminal's side: what it builds is what the standard's layouts say, and it reads what the platform answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocols.jt808 import framing, terminal
from tests.protocols.frames import NOW

PHONE = "13812345678"
FIXTURE = Path(__file__).parents[2] / "fixtures/frames/worked-examples.jsonl"
EXAMPLES = {example["name"]: example["hex"] for example in map(json.loads, FIXTURE.read_text("utf-8").splitlines())}
REPORT = terminal.location(
    NOW, 115.98542, 36.45312, altitude=33, status=0xC0003, items={1: b"\0\0\x30\x39", 0x30: b"\x1c", 0x31: b"\x0c"}
)
NEXT = terminal.location(NOW + 30_000_000, 115.9855, 36.4532, speed_kmh=1.2, course=90, altitude=33)


@pytest.mark.parametrize(
    ("name", "edition", "serial", "message", "body"),
    [
        ("heartbeat", "2013", 3, 0x0002, terminal.EMPTY),
        ("register 2013", "2013", 1, 0x0100, terminal.register("2013", "ABCDE", plate="3-FCB04871")),
        ("register 2019", "2019", 1, 0x0100, terminal.register("2019", "370102ABCDE", plate="3-FCB04871")),
        ("authenticate 2013", "2013", 2, 0x0102, terminal.authenticate("2013", "AUTH0001")),
        (
            "authenticate 2019",
            "2019",
            2,
            0x0102,
            terminal.authenticate("2019", "AUTH0001", "860000000000001", "V1.0.0"),
        ),
        ("report 2013", "2013", 7, 0x0200, REPORT),
        ("report 2019", "2019", 7, 0x0200, REPORT),
        ("backfill of two", "2013", 9, 0x0704, terminal.batch([REPORT, NEXT], 1)),
    ],
)
def test_worked_examples(name, edition, serial, message, body):
    """Built from their fields, the worked examples come out byte by byte."""
    frame = framing.encode(message, body, terminal.phone_bcd(PHONE, edition), edition, serial)
    assert frame.hex() == EXAMPLES[name]


@pytest.mark.parametrize("edition", ["2013", "2019"])
def test_replies(edition):
    """0x8001 and 0x8100, accepted or refused, in both layouts."""
    phone = terminal.phone_bcd(PHONE, edition)

    def read(message: int, body: bytes) -> terminal.Reply | None:
        return terminal.read_reply(framing.encode(message, body, phone, edition, 0x7E)[1:-1])

    assert read(0x8001, bytes.fromhex("0007020003")) == terminal.Reply(0x8001, 0x7E, 7, 0x0200, 3)
    assert read(0x8100, b"\x00\x01\x00AUTH") == terminal.Reply(0x8100, 0x7E, 1, 0x0100, 0, "AUTH")
    assert read(0x8100, b"\x00\x01\x04") == terminal.Reply(0x8100, 0x7E, 1, 0x0100, 4)
    assert read(0x8104, b"abcde") is None
    assert read(0x8001, b"ab") is None


def test_a_damaged_reply_is_none():
    """A wrong checksum, or nothing at all."""
    frame = bytearray(framing.encode(0x8001, bytes(5), bytes(6), "2013", 1))
    frame[-2] ^= 1
    assert terminal.read_reply(bytes(frame[1:-1])) is None
    assert terminal.read_reply(b"") is None


def test_what_does_not_fit_is_refused():
    """A text longer than its field, and a phone longer than its header."""
    with pytest.raises(ValueError, match="fit"):
        terminal.register("2011", model="NRMM-LONGER")
    with pytest.raises(ValueError, match="digits"):
        terminal.phone_bcd("1234567890123", "2013")
