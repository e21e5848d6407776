"""What inputs are made of: the project's worked examples, and what a terminal says in each edition."""

from __future__ import annotations

import json

from protocols.jt808 import catalogue, framing, terminal
from tests.fuzz import ROOT
from tests.protocols.frames import EDITIONS, NOW

PHONE = "13812345678"
CODE = "AUTH0001"
EXAMPLES = ROOT / "fixtures" / "frames" / "worked-examples.jsonl"


def frames() -> list[bytes]:
    """Framed packets."""
    worked = [bytes.fromhex(json.loads(line)["hex"]) for line in EXAMPLES.read_text("utf-8").splitlines()]
    return worked + [
        framing.encode(message, body, terminal.phone_bcd(PHONE, edition), edition, 7)
        for edition in EDITIONS
        for message, body in said(edition)
    ]


def said(edition: framing.Edition) -> list[tuple[int, bytes]]:
    """(message id, body) of what a terminal of this edition says."""
    report = terminal.location(NOW, 115.98, -36.45, 12.3, 271, items={1: bytes(4), 0x31: b"\x0c", 0x64: bytes(47)})
    return [
        (0x0100, terminal.register(edition, plate="鲁P12345", colour=2)),
        (0x0102, terminal.authenticate(edition, CODE, "8" * 15, "V1")),
        (0x0002, terminal.EMPTY),
        (0x0003, terminal.EMPTY),
        (0x0004, terminal.EMPTY),
        (0x0005, bytes.fromhex("0007" + ("0002" if edition == "2019" else "02") + "00010002")),
        (0x0200, report),
        (0x0704, terminal.batch([report, report[:28]], 1)),
        (0x0704, terminal.batch([report, b"short", report + bytes(9)])),
        (0x0201, b"\x00\x01" + report),
        (0x0801, b"\x00\x00\x00\x63\x00\x00\x00\x01" + report[:28] + b"picture"),
        (0x0801, b"\x00\x00\x00\x63\x00\x00\x00\x01" + bytes.fromhex("0000000200000001") + b"picture"),
        (0x0104, bytes.fromhex("0007" + "02" + "00000001040000003c" + "0000001303612e62")),
        (0x0900, b"\xf0vendor"),
        (0x0901, catalogue.encode(0x0901, {"message": report.hex()}, edition)),
    ]
