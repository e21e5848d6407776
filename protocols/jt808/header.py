"""Packets: the headers of all intact packets of one intake as columns (4.4.3), and one packet out of them.

    2011, 2013   message 0   properties 2                phone 4..9    serial 10   [total 12, index 14]   body
    2019         message 0   properties 2   version 4    phone 5..14   serial 15   [total 17, index 19]   body

Bit 14 of the properties names the layout, and so does the length: the two differ by five bytes, so at most one fits the
declared body. Deciding by length reads every packet that bit 14 reads, and those whose bit 14 lies as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protocols.jt808.framing import ENCRYPTION, LENGTH, PROTOCOL_VERSION, SUBPACKAGED
from protocols.jt808.phone import identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from protocols.jt808.framing import Edition

_LEGACY, _MODERN, _PART = 12, 17, 4
_SPAN = 17
# Both layouts at once: fields of a record may overlap. legacy_phone begins two bytes early, at the properties.
_FIELDS = np.dtype(
    {
        "names": ["message", "properties", "legacy_phone", "legacy_serial", "phone_hi", "phone_lo", "serial"],
        "formats": [">u2", ">u2", ">u8", ">u2", ">u2", ">u8", ">u2"],
        "offsets": [0, 2, 2, 10, 5, 7, 15],
        "itemsize": _SPAN,
    }
)
_PHONE48 = np.uint64((1 << 48) - 1)
PADDING = 64
"""Bytes that must follow the last packet in a buffer, since records of fixed length are read from every start."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. phone: raw bytes, 6 or 10; part: (total, index from 1) of a sub-packaged message, else None."""

    message: int
    serial: int
    properties: int
    v2019: bool
    phone: bytes
    identity: str
    part: tuple[int, int] | None
    body: bytes

    @property
    def edition(self) -> Edition:
        """The header's layout; 2011 has the layout of 2013, and only some bodies tell them apart."""
        return "2019" if self.v2019 else "2013"

    @property
    def encrypted(self) -> bool:
        return bool(self.properties & ENCRYPTION)


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """Equal-length columns, one row per intact packet, in the order of the stream.

    chunk       int32   row of the chunk list
    message     uint16  message id
    serial      uint16
    properties  uint16  as received
    v2019       bool    the layout that was read (not: bit 14)
    phone_hi    uint16  the BCD phone as one 80-bit big-endian number, so that a SIM's 12-digit and 20-digit forms
    phone_lo    uint64  are equal
    start, body_start, body_end   int64, in `buffer`; the checksum is buffer[body_end]
    buffer      uint8   unescaped bytes of everything
    """

    chunk: NDArray[np.int32]
    message: NDArray[np.uint16]
    serial: NDArray[np.uint16]
    properties: NDArray[np.uint16]
    v2019: NDArray[np.bool_]
    phone_hi: NDArray[np.uint16]
    phone_lo: NDArray[np.uint64]
    start: NDArray[np.int64]
    body_start: NDArray[np.int64]
    body_end: NDArray[np.int64]
    buffer: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.message)

    def raw(self, row: int) -> bytes:
        """The packet unescaped, header to checksum."""
        return self.buffer[self.start[row] : self.body_end[row] + 1].tobytes()

    def body(self, row: int) -> bytes:
        return self.buffer[self.body_start[row] : self.body_end[row]].tobytes()

    def phone(self, row: int) -> bytes:
        """The phone as in the header: 6 bytes, or 10 in the 2019 layout."""
        first, last = (5, 15) if self.v2019[row] else (4, 10)
        start = self.start[row]
        return self.buffer[start + first : start + last].tobytes()

    def packet(self, row: int) -> Packet:
        phone, properties = self.phone(row), int(self.properties[row])
        part = None
        if properties & SUBPACKAGED:
            item = self.buffer[self.body_start[row] - _PART : self.body_start[row]].tobytes()
            part = (int.from_bytes(item[:2], "big"), int.from_bytes(item[2:], "big"))
        return Packet(
            message=int(self.message[row]),
            serial=int(self.serial[row]),
            properties=properties,
            v2019=bool(self.v2019[row]),
            phone=phone,
            identity=identity(phone),
            part=part,
            body=self.body(row),
        )


def alone(packet: Packet) -> Packets:
    """The columns of this one packet, whose body may be longer than a packet holds; row and chunk 0."""
    head = b"".join(
        (
            packet.message.to_bytes(2, "big"),
            packet.properties.to_bytes(2, "big"),
            bytes([PROTOCOL_VERSION]) if packet.v2019 else b"",
            packet.phone,
            packet.serial.to_bytes(2, "big"),
        )
    )
    bare = np.frombuffer(head + packet.body + bytes(1 + PADDING), np.uint8).copy()
    size = len(head) + len(packet.body)
    bare[size] = np.bitwise_xor.reduce(bare)
    phone = int.from_bytes(packet.phone, "big")
    return Packets(
        chunk=np.zeros(1, np.int32),
        message=np.array([packet.message], np.uint16),
        serial=np.array([packet.serial], np.uint16),
        properties=np.array([packet.properties & ~(SUBPACKAGED | ENCRYPTION)], np.uint16),
        v2019=np.array([packet.v2019]),
        phone_hi=np.array([phone >> 64], np.uint16),
        phone_lo=np.array([phone & (1 << 64) - 1], np.uint64),
        start=np.zeros(1, np.int64),
        body_start=np.array([len(head)], np.int64),
        body_end=np.array([size], np.int64),
        buffer=bare,
    )


def records(buffer: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.void]:
    """The `width` bytes at every start, as one record each.

    A record of bytes has no alignment, so numpy copies each straight from where it lies: several times faster than
    indexing with a matrix of positions.
    """
    everywhere = np.ndarray((len(buffer) - width + 1,), f"V{width}", buffer, 0, (1,))
    taken: NDArray[np.void] = everywhere[starts]
    return taken


def read(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], chunk: NDArray[np.int32]
) -> tuple[Packets, NDArray[np.bool_]]:
    """The packets buffer[starts[i]:ends[i]], checksum included, that have the length they declare, and which those are.

    At least 13 bytes each, with PADDING bytes after the last.
    """
    fields = records(buffer, starts, _SPAN).view(_FIELDS)
    properties = fields["properties"].astype(np.uint16)
    # What is left for the header if the declared length is right: that alone tells the layouts apart.
    header = ends - starts - 1 - (properties & LENGTH)
    plain = header - ((properties & SUBPACKAGED) >> 11)  # bit 13 -> 4 bytes
    modern = plain == _MODERN
    fits = modern | (plain == _LEGACY)
    if not fits.all():
        return read(buffer, starts[fits], ends[fits], chunk[fits])[0], fits
    packets = Packets(
        chunk=chunk,
        message=fields["message"].astype(np.uint16),
        serial=np.where(modern, fields["serial"], fields["legacy_serial"]),
        properties=properties,
        v2019=modern,
        phone_hi=fields["phone_hi"] * modern,
        phone_lo=np.where(modern, fields["phone_lo"], fields["legacy_phone"] & _PHONE48),
        start=starts,
        body_start=starts + header,
        body_end=ends - 1,
        buffer=buffer,
    )
    return packets, fits
