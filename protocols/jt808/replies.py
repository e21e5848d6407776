"""Acknowledgements: framed 0x8001 (8.2) for a column of packets, mixed editions, columns in and bytes out.

The longest form, 2019's, is one record of 25 bytes; the 2013 form lacks five of them. Both are laid out as that record,
then every byte is repeated 0, 1 or 2 times: left out, kept, or escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from columns.outcome import Outcome
from columns.ragged import Ragged
from protocols.jt808.framing import ESCAPE, FLAG, PROTOCOL_VERSION, VERSION_FLAG

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from protocols.jt808.header import Packets

GENERAL = 0x8001
_BODY = 5

RESULTS = {
    Outcome.STORED: 0,
    Outcome.FAILED: 1,
    Outcome.MALFORMED: 2,
    Outcome.UNSUPPORTED: 3,
    Outcome.NOT_AUTHENTICATED: 1,
}
"""Outcome -> result of 0x8001 (table 5). Nothing is said about a packet that is IGNORED."""
_RESULTS = np.array([RESULTS.get(outcome, 1) for outcome in Outcome], np.uint8)

_RECORD = np.dtype(
    [
        ("flag", "u1"),
        ("message", ">u2"),
        ("properties", ">u2"),
        ("version", "u1"),
        ("phone_hi", ">u2"),
        ("phone_lo", ">u8"),
        ("serial", ">u2"),
        ("request", ">u2"),
        ("request_message", ">u2"),
        ("result", "u1"),
        ("checksum", "u1"),
        ("end", "u1"),
    ]
)
_WIDTH = _RECORD.itemsize
_MODERN_ONLY = slice(5, 10)  # the version, and the first four bytes of a ten-byte phone
_TEMPLATE = np.zeros(1, _RECORD)
_TEMPLATE["flag"] = _TEMPLATE["end"] = FLAG
_TEMPLATE["message"] = GENERAL


def general(serial: int, message: int, result: int) -> bytes:
    """The body of 0x8001: the request's serial number and message id, and the result."""
    return serial.to_bytes(2, "big") + message.to_bytes(2, "big") + bytes([result])


def acknowledge(
    packets: Packets, rows: NDArray[np.intp], results: NDArray[np.uint8], serials: NDArray[np.uint16]
) -> Ragged:
    """One framed 0x8001 for each of packets[rows], in that order and each in its packet's edition.

    results: uint8, Outcome (0 to 3 are the standard's own numbers); serials: uint16, the platform's serial numbers.
    Never raises save where the columns' lengths differ.
    """
    v2019 = packets.v2019[rows]
    record = np.repeat(_TEMPLATE, len(rows))
    record["properties"] = v2019 * np.uint16(VERSION_FLAG) + np.uint16(_BODY)
    record["version"] = v2019 * np.uint8(PROTOCOL_VERSION)
    record["phone_hi"] = packets.phone_hi[rows]
    record["phone_lo"] = packets.phone_lo[rows]
    record["serial"] = serials
    record["request"] = packets.serial[rows]
    record["request_message"] = packets.message[rows]
    record["result"] = _RESULTS[results]
    octets = record.view(np.uint8).reshape(-1, _WIDTH)
    # The flags cancel out, and the checksum is still zero.
    octets[:, -2] = np.bitwise_xor.reduce(octets, axis=1)

    special = octets - np.uint8(ESCAPE) < 2  # 7d and 7e; anything below wraps around
    special[:, 0] = special[:, -1] = False
    times = special.view(np.uint8) + np.uint8(1)
    times[~v2019, _MODERN_ONLY] = 0
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(times.sum(axis=1), out=offsets[1:])
    flat = times.reshape(-1)
    blob = np.repeat(octets.reshape(-1), flat)
    doubled = np.flatnonzero(special)
    if len(doubled):
        at = np.cumsum(flat, dtype=np.int64)[doubled] - 2
        blob[at + 1] -= np.uint8(ESCAPE - 1)  # 7d -> 01, 7e -> 02
        blob[at] = ESCAPE
    return Ragged(blob, offsets)
