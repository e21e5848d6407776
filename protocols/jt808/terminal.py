"""The other side: bodies that a terminal sends, in all three editions, and what it reads in the platform's replies.

For simulators, load tests and tests; the gateway itself never needs it. `framing.encode` frames a body, `phone.phone_bcd`
makes the header's phone. 0x0002 and 0x0003 have empty bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocols.jt808 import catalogue, framing
from protocols.jt808.bcd import time_bcd
from protocols.jt808.hearing import REGISTERED
from protocols.jt808.location import SOUTH, WEST
from protocols.jt808.phone import phone_bcd
from protocols.jt808.registration import AUTHENTICATE, REGISTER
from protocols.jt808.replies import GENERAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocols.jt808.framing import Edition

__all__ = ["EMPTY", "Reply", "authenticate", "batch", "location", "phone_bcd", "read_reply", "register"]

EMPTY = b""
"""The body of 0x0002 (heartbeat), 0x0003 (leave) and 0x0004 (what time is it)."""


def location(
    time_us: int,
    lon: float,
    lat: float,
    speed_kmh: float = 0.0,
    course: int = 0,
    status: int = 3,
    alarm: int = 0,
    altitude: int = 0,
    items: Mapping[int, bytes] | None = None,
) -> bytes:
    """The body of 0x0200. time_us: us UTC; lon, lat: signed degrees WGS-84; course: degrees; altitude: m.

    status: 状态位, 3 for ACC on and fixed; the hemispheres are added to it.
    """
    status |= (SOUTH if lat < 0 else 0) | (WEST if lon < 0 else 0)
    return b"".join(
        (
            alarm.to_bytes(4, "big"),
            status.to_bytes(4, "big"),
            round(abs(lat) * 1e6).to_bytes(4, "big"),
            round(abs(lon) * 1e6).to_bytes(4, "big"),
            altitude.to_bytes(2, "big", signed=altitude < 0),
            round(speed_kmh * 10).to_bytes(2, "big"),
            course.to_bytes(2, "big"),
            time_bcd(time_us),
            *(bytes([number, len(value)]) + value for number, value in (items or {}).items()),
        )
    )


def batch(reports: Sequence[bytes], kind: int = 0) -> bytes:
    """The body of 0x0704. reports: bodies of 0x0200; kind: 0 ordinary batch, 1 reports of a blind area."""
    head = len(reports).to_bytes(2, "big") + bytes([kind])
    return head + b"".join(len(report).to_bytes(2, "big") + report for report in reports)


def register(
    edition: Edition,
    maker: str = "LZSIM",
    model: str = "NRMM-T1",
    terminal_id: str = "T000001",
    colour: int = 0,
    plate: str = "",
    province: int = 37,
    city: int = 1502,
) -> bytes:
    """The body of 0x0100, padded as the edition says. Raises BodyError, a ValueError, where a text does not fit its field."""
    values = {
        "province": province,
        "city": city,
        "maker": maker,
        "model": model,
        "terminal_id": terminal_id,
        "plate_colour": colour,
        "plate": plate,
    }
    return catalogue.encode(REGISTER, values, edition)


def authenticate(edition: Edition, code: str, imei: str = "", version: str = "") -> bytes:
    """The body of 0x0102; imei (15 digits) and software version go into that of 2019 alone."""
    more = {"imei": imei, "version": version} if edition == "2019" else {}
    return catalogue.encode(AUTHENTICATE, {"code": code, **more}, edition)


@dataclass(frozen=True, slots=True)
class Reply:
    """0x8001 or 0x8100. message: which; serial: the platform's; request, request_message: what it answers (0x8100 can
    only answer 0x0100); code: the authentication code, empty save in an accepted registration.
    """

    message: int
    serial: int
    request: int
    request_message: int
    result: int
    code: str = ""


def read_reply(run: bytes) -> Reply | None:
    """The reply in a run (what lies between two flags); None where it is another message or not intact."""
    packet = framing.unescape(run)
    properties = int.from_bytes(packet[2:4], "big")
    header = 17 if properties & framing.VERSION_FLAG else 12
    body = packet[header:-1]
    if framing.checksum(packet) or len(body) != properties & framing.LENGTH or len(body) < 3:
        return None
    message = int.from_bytes(packet[:2], "big")
    serial, request = int.from_bytes(packet[header - 2 : header], "big"), int.from_bytes(body[:2], "big")
    if message == GENERAL and len(body) == 5:
        return Reply(message, serial, request, int.from_bytes(body[2:4], "big"), body[4])
    if message == REGISTERED:
        return Reply(message, serial, request, 0x0100, body[2], body[3:].decode("gb18030", "replace"))
    return None
