"""The slow oracle: one run at a time, one byte at a time, in the order of the standard's text. Shares nothing with the
column code but the fingerprint function, so that a mistake would have to be made twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import numpy as np

from columns.fingerprint import fingerprints
from columns.positions import Quality, Source
from columns.reason import Reason

GMT8 = timezone(timedelta(hours=8))
LONGEST = 2 * (21 + 1023 + 1) + 2
MINUTE = 60_000_000


@dataclass
class Read:
    """What one run is: a reject has a reason, a packet has a lane and its header, telemetry has rows and bad items."""

    reason: Reason | None = None
    lane: str = ""
    header: dict = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    bad_items: list[bytes] = field(default_factory=list)


def runs(stream: bytes) -> list[bytes]:
    """All finished, non-empty runs of a stream."""
    return [run for run in stream.split(b"\x7e")[:-1] if run]


def unescape(run: bytes) -> bytes:
    out, i = bytearray(), 0
    while i < len(run):
        if run[i] == 0x7D and run[i + 1 : i + 2] in {b"\x01", b"\x02"}:
            out.append(0x7D if run[i + 1] == 1 else 0x7E)
            i += 2
        else:
            out.append(run[i])
            i += 1
    return bytes(out)


def word(data: bytes, at: int) -> int:
    return data[at] * 256 + data[at + 1]


def read(run: bytes, received: int) -> Read:
    packet = unescape(run)
    if len(run) > LONGEST:
        return Read(Reason.OVERSIZE)
    if len(packet) < 13:
        return Read(Reason.NOISE)
    total = 0
    for byte in packet:
        total ^= byte
    if total:
        return Read(Reason.CHECKSUM)
    properties = word(packet, 2)
    said = bool(properties & 0x4000)
    for v2019 in (said, not said):
        start = (17 if v2019 else 12) + (4 if properties & 0x2000 else 0)
        if start + (properties & 0x3FF) + 1 == len(packet):
            break
    else:
        return Read(Reason.LENGTH)
    phone = packet[5:15] if v2019 else packet[4:10]
    header = {
        "message": word(packet, 0),
        "properties": properties,
        "v2019": v2019,
        "phone": phone,
        "serial": word(packet, 15 if v2019 else 10),
        "part": (word(packet, start - 4), word(packet, start - 2)) if properties & 0x2000 else None,
        "body": packet[start:-1],
    }
    if header["message"] not in {0x0200, 0x0704} or properties & 0x3C00:
        return Read(lane="conversation", header=header)
    return telemetry(packet, start, header, received)


def telemetry(packet: bytes, start: int, header: dict, received: int) -> Read:
    body, end = header["body"], len(packet) - 1
    if header["message"] == 0x0200:
        if len(body) < 28:
            return Read(lane="malformed", header=header)
        return Read(lane="telemetry", header=header, rows=[row(packet, start, end, Source.LIVE, header, received)])
    read = Read(lane="telemetry", header=header)
    if len(body) < 3:
        return Read(lane="malformed", header=header)
    source = Source.BACKFILL if body[2] == 1 else Source.BATCH
    at = start + 3
    while at < end:
        length = word(packet, at) if at + 2 <= end else end
        if at + 2 + length > end:
            read.bad_items.append(packet[at:end])
            break
        if length < 28:
            read.bad_items.append(packet[at : at + 2 + length])
        else:
            read.rows.append(row(packet, at + 2, at + 2 + length, source, header, received))
        at += 2 + length
    if read.bad_items and not read.rows:
        return Read(lane="malformed", header=header)
    return read


def row(packet: bytes, start: int, end: int, source: Source, header: dict, received: int) -> dict:
    body = packet[start:end]
    alarm, status, lat, lon = (int.from_bytes(body[i : i + 4], "big") for i in (0, 4, 8, 12))
    quality = 0
    if not status & 2:
        quality |= Quality.NOT_FIXED
    if status & 32:
        quality |= Quality.ENCRYPTED
    if lat == 0 and lon == 0:
        quality |= Quality.ZERO
    if lat > 90_000_000 or lon > 180_000_000:
        quality |= Quality.OUT_OF_RANGE
    time, print_of = moment(body[22:28]), body
    if time is None:
        time, print_of = received - received % 1_000_000, packet[:end]
        quality |= Quality.BAD_TIME
    if time > received + 5 * MINUTE:
        quality |= Quality.FUTURE
    altitude = word(body, 16)
    data = np.frombuffer(print_of, np.uint8)
    return {
        "time": time,
        "fingerprint": int(fingerprints(data, np.array([0]), np.array([len(data)]))[0]),
        "received": received,
        "lon": -lon / 1e6 if status & 8 else lon / 1e6,
        "lat": -lat / 1e6 if status & 4 else lat / 1e6,
        "altitude": altitude - 65536 if altitude >= 0x8000 else altitude,
        "speed": word(body, 18),
        "course": word(body, 20),
        "alarm": alarm,
        "status": status,
        "mileage": -1,
        "satellites": -1,
        "serial": header["serial"],
        "source": int(source),
        "quality": int(quality),
        "extras": body[28:],
    }


def moment(bcd: bytes) -> int | None:
    """us since 1970 UTC, or None where the six bytes are no time."""
    digits = bcd.hex()
    if not digits.isdigit():
        return None
    year, *rest = (int(digits[i : i + 2]) for i in range(0, 12, 2))
    try:
        return int(datetime(2000 + year, *rest, tzinfo=GMT8).timestamp()) * 1_000_000 if year >= 11 else None
    except ValueError:
        return None


def acknowledgement(header: dict, result: int, serial: int) -> bytes:
    """The framed 0x8001 for a packet with this header."""
    packet = b"\x80\x01" + (b"\x40\x05\x01" if header["v2019"] else b"\x00\x05") + header["phone"]
    packet += serial.to_bytes(2, "big") + header["serial"].to_bytes(2, "big")
    packet += header["message"].to_bytes(2, "big") + bytes([result])
    check = 0
    for byte in packet:
        check ^= byte
    out = bytearray()
    for byte in packet + bytes([check]):
        out += {0x7D: b"\x7d\x01", 0x7E: b"\x7d\x02"}.get(byte, bytes([byte]))
    return b"\x7e" + bytes(out) + b"\x7e"
