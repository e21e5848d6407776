"""Acknowledgements: framed 0x8001 (8.2) for a column of packets, mixed editions, columns in and bytes out.

The longest form, 2019's, is one record of 25 bytes; the 2013 form lacks five of them. Both are filled in as that record,
which is padded to whole words, then laid end to end in their own lengths, then escaped.
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
        ("padding", "V7"),
    ]
)
_WIDTH = 25
_MODERN_ONLY = slice(5, 10)  # the version, and the first four bytes of a ten-byte phone
_CHECKSUM = 23
_TEMPLATE = np.zeros(1, _RECORD)
_TEMPLATE["flag"] = _TEMPLATE["end"] = FLAG
_TEMPLATE["message"] = GENERAL
_KEEP = np.ones((2, _WIDTH), np.bool_)  # by v2019
_KEEP[0, _MODERN_ONLY] = False
_LENGTHS = _KEEP.sum(axis=1)


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
    octets = record.view(np.uint8).reshape(-1, _RECORD.itemsize)
    octets[:, _CHECKSUM] = _xor(record)  # the flags cancel out, the padding is zero, and so is the checksum as yet
    return _escaped(*_laid_out(octets[:, :_WIDTH], v2019))


def _xor(record: NDArray[np.void]) -> NDArray[np.uint8]:
    """The XOR of each record's bytes, by words."""
    words = record.view("<u8").reshape(-1, _RECORD.itemsize // 8)
    folded = words[:, 0] ^ words[:, 1] ^ words[:, 2] ^ words[:, 3]
    for half in (32, 16, 8):
        folded ^= folded >> np.uint64(half)
    checksum: NDArray[np.uint8] = folded.astype(np.uint8)
    return checksum


def _laid_out(octets: NDArray[np.uint8], v2019: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(the frames end to end, each in its edition; their lengths), not escaped yet."""
    lengths = _LENGTHS[v2019.view(np.uint8)]
    if v2019.all():
        return octets.reshape(-1), lengths
    if not v2019.any():
        return np.concatenate((octets[:, : _MODERN_ONLY.start], octets[:, _MODERN_ONLY.stop :]), axis=1).reshape(
            -1
        ), lengths
    return octets[_KEEP[v2019.view(np.uint8)]], lengths


def _escaped(frames: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Ragged:
    """The same with 7d and 7e between the flags doubled: one byte in forty, so the frames move in one piece."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    special = frames - np.uint8(ESCAPE) < 2  # anything below wraps around
    special[offsets[:-1]] = special[offsets[1:] - 1] = False
    first = special.nonzero()[0]
    if not len(first):
        return Ragged(frames, offsets)
    row = offsets.searchsorted(first, side="right") - 1
    np.cumsum(lengths + np.bincount(row, minlength=len(lengths)), out=offsets[1:])
    blob = np.empty(len(frames) + len(first), np.uint8)
    at = first + np.arange(len(first))
    plain = np.ones(len(blob), np.bool_)
    plain[at] = False
    blob[plain] = frames
    blob[at] = ESCAPE
    blob[at + 1] -= np.uint8(ESCAPE - 1)  # 7d -> 01, 7e -> 02
    return Ragged(blob, offsets)
