"""Frames: any bytes, cut anywhere, through framing, intake and acknowledgements. No exception is allowed.

An input: flags BYTE (1: give each run a right checksum; 2: and a right length), cuts BYTE and as many WORDs, the stream.
Every run becomes one packet or one reject, the columns are the scalar oracle's, and each acknowledgement reads back.
"""

from __future__ import annotations

import numpy as np

from columns.outcome import Outcome
from protocols.jt808 import framing, intake, replies
from tests.fuzz import seeds as made
from tests.fuzz.choices import Choices
from tests.protocols import oracle
from tests.protocols.frames import NOW
from tests.protocols.test_framing import cut, fed
from tests.protocols.test_intake import assert_agrees

_CHECKSUMS, _LENGTHS = 1, 2
_SHORTEST = 13


def check(data: bytes) -> None:
    choices = Choices(data)
    flags = choices.byte()
    cuts = [choices.word() for _ in range(choices.byte() % 8)]
    stream = choices.rest()
    if flags & (_CHECKSUMS | _LENGTHS):
        stream = b"\x7e".join(_mended(run, lengths=bool(flags & _LENGTHS)) for run in stream.split(b"\x7e"))
    pieces = cut(stream, [place % (len(stream) + 1) for place in cuts])
    runs, left = fed(pieces)
    assert (runs, left) == fed([stream])
    assert runs == [run[: framing.MAX_WIRE + 1] for run in oracle.runs(stream)]
    chunks = _chunks(pieces)
    assert_agrees(chunks, NOW)
    _acknowledged(chunks, runs)


def seeds() -> list[bytes]:
    frames = made.frames()
    alone = [bytes([flags, 0]) + frame for frame in frames for flags in (0, 2)]
    long = [b"\x00\x00" + b"\x55" * 2100 + b"\x7e" + frames[0], b"\x00\x00\x7e\x7e\x7d\x7e" + frames[0][1:]]
    streams = [b"\x00\x02\x00\x09\x00\x80" + b"".join(frames[i : i + 4]) for i in range(0, len(frames), 4)]
    return alone + long + streams


def _mended(run: bytes, *, lengths: bool) -> bytes:
    packet = bytearray(framing.unescape(run))
    if not packet:
        return run
    if lengths and len(packet) > _SHORTEST:
        header = (17 if packet[2] & 0x40 else 12) + (4 if packet[2] & 0x20 else 0)
        size = max(0, len(packet) - header - 1) & framing.LENGTH
        packet[2:4] = (packet[2] & 0xFC | size >> 8, size & 0xFF)
    packet[-1] ^= framing.checksum(packet)
    return framing.escape(bytes(packet))


def _chunks(pieces: list[bytes]) -> list[bytes]:
    left, chunks = b"", []
    for piece in pieces:
        whole, left = framing.split(left, piece)
        if whole:
            chunks.append(whole)
    return chunks


def _acknowledged(chunks: list[bytes], runs: list[bytes]) -> None:
    packets = intake.read(chunks, NOW).packets
    rows = np.arange(len(packets))
    results = (rows % Outcome.IGNORED).astype(np.uint8)
    serials = (rows * 0x0101 + 0x7D7E).astype(np.uint16)
    acks = replies.acknowledge(packets, rows, results, serials)
    headers = [read.header for read in (oracle.read(run, NOW) for run in runs) if read.reason is None]
    said = [replies.RESULTS[Outcome(result)] for result in results.tolist()]
    expected = map(oracle.acknowledgement, headers, said, serials.tolist())
    assert [acks[i] for i in range(len(acks))] == list(expected)
    again = intake.read([acks.blob.tobytes()], NOW)
    assert (len(again.packets), len(again.rejects), len(again.conversation)) == (len(packets), 0, len(packets))
