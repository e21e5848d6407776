"""Framing (JT/T 808 4.4): a stream is runs of bytes between flags, and every run that a flag ends may be a packet.

Nothing is expected of the stream: doubled flags, one flag shared by two packets, noise between packets and a connection
that begins in the middle of one all fall out of the same rule. This module does not look into a run, save to escape it;
`intake` does. Invariant: any split of a stream gives the same runs.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Literal

Edition = Literal["2011", "2013", "2019"]

FLAG = 0x7E
ESCAPE = 0x7D
MAX_BODY = 1023  # ten bits of the body properties
MAX_PACKET = 21 + MAX_BODY + 1  # longest header (2019, sub-packaged), body, checksum
MAX_WIRE = 2 * MAX_PACKET + 2  # every byte escaped, and two flags: a run longer than this is no packet

VERSION_FLAG = 0x4000  # bit 14 of the properties: the 2019 layout
SUBPACKAGED = 0x2000
ENCRYPTION = 0x1C00
LENGTH = 0x03FF
PROTOCOL_VERSION = 1  # of the 2019 header: 1, and +1 per key revision of the standard

_FLAG = b"\x7e"
_ONE_TOO_MANY = MAX_WIRE + 1


def split(left: bytes, data: bytes) -> tuple[bytes, bytes]:
    """(whole runs, the unfinished one): what `left`, the unfinished run so far, and newly received `data` hold.

    The first is empty or ends with a flag. The second is without its leading flag, and at most MAX_WIRE + 1 bytes: of a
    run that is too long already the rest is forgotten as it comes, and what is kept is enough to reject it once, when
    its flag comes at last.
    """
    if not left and data.endswith(_FLAG):
        return data, b""
    last = data.rfind(_FLAG) + 1
    if not last:
        return b"", (left + data[: _ONE_TOO_MANY - len(left)])
    return left + data[:last], data[last : last + _ONE_TOO_MANY]


def escape(data: bytes) -> bytes:
    return data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")


def unescape(data: bytes) -> bytes:
    """The inverse of `escape`. An illegal pair (7d and neither 01 nor 02) stays as it is: the checksum decides."""
    return data.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")


def checksum(data: bytes) -> int:
    """The XOR of all bytes; 0 for an intact packet with its checksum."""
    return reduce(xor, data, 0)


def encode(
    message: int, body: bytes, phone: bytes, edition: Edition, serial: int, part: tuple[int, int] | None = None
) -> bytes:
    """One packet on the wire, flags included.

    phone: the BCD as in the header, 6 bytes, or 10 in the 2019 edition; part: (total, index from 1) of a sub-packaged
    message. Raises ValueError where the phone has another length or the body is longer than MAX_BODY.
    """
    modern = edition == "2019"
    if len(phone) != (10 if modern else 6):
        raise ValueError(f"a phone of {len(phone)} bytes does not fit the {edition} header")
    if len(body) > MAX_BODY:
        raise ValueError(f"a body of {len(body)} bytes does not fit one packet; {MAX_BODY} do")
    properties = len(body) | (VERSION_FLAG if modern else 0) | (SUBPACKAGED if part else 0)
    packet = b"".join(
        (
            message.to_bytes(2, "big"),
            properties.to_bytes(2, "big"),
            bytes([PROTOCOL_VERSION]) if modern else b"",
            phone,
            (serial & 0xFFFF).to_bytes(2, "big"),
            b"".join(number.to_bytes(2, "big") for number in part) if part else b"",
            body,
        )
    )
    return b"".join((_FLAG, escape(packet + bytes([checksum(packet)])), _FLAG))
