"""A file that came in 0x0801 (多媒体数据上传), for its record and its store.

2013, 2019   id DWORD, type, format, event, channel BYTE, position[28] 8, data 36..   in parts of the header's (4.4.3)
2011         id DWORD, type, format, event, channel BYTE, total DWORD 8, index DWORD 12, data 16..   each a message
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.positions import Quality
from protocols.contract import Upload
from protocols.jt808 import header, location
from protocols.jt808.body import BodyError

if TYPE_CHECKING:
    from protocols.jt808.header import Packet

MEDIA, MEDIA_ANSWER = 0x0801, 0x8800
_HEAD = 8
_DATA = _HEAD + location.BASIC
_DATA_2011 = 16
_NO_PLACE = Quality.NOT_FIXED | Quality.ENCRYPTED | Quality.ZERO | Quality.OUT_OF_RANGE


def part_of_2011(packet: Packet) -> Packet | None:
    """The same part as the later editions send it; None where its body does not number it."""
    body = packet.body
    total, index = int.from_bytes(body[8:12], "big"), int.from_bytes(body[12:_DATA_2011], "big")
    if packet.v2019 or len(body) < _DATA_2011 or not 1 <= index <= total <= 0xFFFF:
        return None
    return replace(packet, part=(total, index), body=(body[:_HEAD] if index == 1 else b"") + body[_DATA_2011:])


def dated(packet: Packet, received: int) -> bool:
    """Whether a device time stands where the position of 2013 and 2019 has it: its alarm and status may look like the
    numbers of a part. received: int64 us UTC.
    """
    return len(packet.body) >= _DATA and _place(packet, received)["device_time"] is not None


def upload(packet: Packet, received: int, *, placed: bool = True) -> Upload:
    """The file of a whole 0x0801; ``placed``: with a position, which all editions but 2011 have.

    Raises BodyError where the body ends before the data begins. received: int64 us UTC.
    """
    body, start = packet.body, _DATA if placed else _HEAD
    if len(body) < start:
        raise BodyError(f"0x0801 has {len(body)} bytes, its data begins at {start}")
    about: dict[str, Any] = {"media_id": int.from_bytes(body[:4], "big")}
    about |= zip(("kind", "format", "trigger", "channel"), body[4:_HEAD], strict=True)
    place = _place(packet, received) if placed else {"device_time": None, "lon": None, "lat": None}
    return Upload(about | place, body[start:])


def _place(packet: Packet, received: int) -> dict[str, Any]:
    one = header.alone(replace(packet, body=packet.body[_HEAD:_DATA]))
    row, source = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    said = location.read(one, row, one.body_start, one.body_end, source, received)
    quality = int(said.quality[0])
    known = not quality & _NO_PLACE
    return {
        "device_time": None if quality & Quality.BAD_TIME else int(said.time[0]),
        "lon": float(said.lon[0]) if known else None,
        "lat": float(said.lat[0]) if known else None,
    }


def received(media_id: int, serial: int, *, of_2011: bool) -> bytes:
    """The body of 0x8800 for a file that is complete; 2011's begins with the request's serial number."""
    return (serial.to_bytes(2, "big") if of_2011 else b"") + media_id.to_bytes(4, "big")
