"""Intake: everything that all connections sent within one linger, read as columns at once.

    chunks -> runs between flags -> unescape -> checksum -> header -> telemetry | conversation | malformed

Telemetry is 0x0200 and 0x0704, neither sub-packaged nor encrypted. A run that is no packet becomes a reject with its
Reason; a packet always becomes exactly one row. No step runs Python per report; the calls are few, because at fifty
reports a linger their fixed cost is what a report costs. The scalar oracle is tests/protocols/oracle.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Positions, Quality, Source
from columns.ragged import Ragged, concatenate, cut
from columns.reason import Reason
from protocols.contract import Intake, Rejects
from protocols.jt808 import batch_report, header, location
from protocols.jt808.body import BodyError
from protocols.jt808.framing import ENCRYPTION, ESCAPE, FLAG, MAX_PACKET, MAX_WIRE, SUBPACKAGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from protocols.jt808.header import Packet, Packets

LOCATION, BATCH = 0x0200, 0x0704
_REQUEST = 2
_SHORTEST = 13  # the header of 2013 and a checksum
_PADDING = bytes(header.PADDING)
_NO_ROWS = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """What lies between flags: the bytes as received and where all their flags are; the runs that are not empty (as
    rows of `flags`), unescaped, each with the XOR of its bytes and the row of its chunk.
    """

    wire: NDArray[np.uint8]
    flags: NDArray[np.int64]
    rows: NDArray[np.intp]
    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    checksum: NDArray[np.uint8]
    chunk: NDArray[np.int32]


def read(chunks: Sequence[bytes], received: int) -> Intake[Packets]:
    """Each chunk is what `framing.split` completed: it ends with a flag. received: int64 us UTC, of all of them.

    Never raises on anything that a terminal can send.
    """
    runs = _cut(chunks)
    size = runs.ends - runs.starts
    sound = (runs.checksum == 0) & (size >= _SHORTEST) & (size <= MAX_PACKET)
    rows = sound.nonzero()[0]
    if len(rows) == len(sound):
        packets, fits = header.read(runs.buffer, runs.starts, runs.ends, runs.chunk)
    else:
        packets, fits = header.read(runs.buffer, runs.starts[rows], runs.ends[rows], runs.chunk[rows])
    if len(packets) == len(sound):
        return _sort(packets, received, Rejects.empty())
    return _sort(packets, received, _rejects(runs, rows[fits]))


def read_whole(packet: Packet, received: int) -> Intake[Packets]:
    """As `read`, of one 0x0200 or 0x0704 whose body may be longer than a packet holds: it came in parts."""
    return _sort(header.alone(packet), received, Rejects.empty())


def read_answer(packet: Packet, received: int) -> Intake[Packets]:
    """The position in an answer to a command (0x0201, 0x0500): the request's serial number, then a 0x0200 body.

    2011 has no serial number in 0x0201, and some terminals of later editions send none. Two bytes further on many a
    report has a time and a place, too; the one that was asked for is on earth and now. Raises BodyError where the body is
    too short.
    """
    found: Intake[Packets] | None = None
    least = (0, 0, 0)
    for skip in (_REQUEST, 0):
        if len(packet.body) < skip + location.BASIC:
            continue
        one = header.alone(replace(packet, body=packet.body[skip:]))
        whole = np.zeros(1, np.intp)
        source = np.full(1, Source.QUERY, np.uint8)
        rows = location.read(one, whole.astype(np.int32), one.body_start, one.body_end, source, received)
        quality, away = int(rows.quality[0]), abs(int(rows.time[0]) - received)
        doubt = quality & Quality.BAD_TIME, quality & Quality.OUT_OF_RANGE, away
        if found is None or doubt < least:
            found, least = Intake(one, rows, whole, _NO_ROWS, _NO_ROWS, Rejects.empty()), doubt
    if found is None:
        raise BodyError(f"0x{packet.message:04x} has {len(packet.body)} bytes, too few for a position")
    return found


def _cut(chunks: Sequence[bytes]) -> _Runs:
    wire = np.frombuffer(b"".join((*chunks, _PADDING)), np.uint8)
    flags = (wire == FLAG).nonzero()[0]
    buffer, ends = _unescape(wire, flags)
    starts = _after(ends)
    # A segment of reduceat goes on to the next start, so the run's own flag is in its XOR.
    checksum = np.bitwise_xor.reduceat(buffer, starts) ^ np.uint8(FLAG)
    rows = (starts < ends).nonzero()[0]
    last = np.fromiter(map(len, chunks), np.int64, len(chunks)).cumsum()
    chunk = last.searchsorted(flags[rows], side="right").astype(np.int32)
    return _Runs(wire, flags, rows, buffer, starts[rows], ends[rows], checksum[rows], chunk)


def _after(flags: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the run that ends there begins: right after the flag before it."""
    starts = np.zeros(len(flags), np.int64)
    np.add(flags[:-1], 1, out=starts[1:])
    return starts


def _unescape(wire: NDArray[np.uint8], flags: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(the bytes with 7d 01 and 7d 02 resolved, where the flags are in them).

    The byte after a 7d decides alone, and it is neither 7d nor a flag where the pair is legal: pairs cannot overlap, and
    an illegal one keeps both bytes.
    """
    first = (wire == ESCAPE).nonzero()[0]
    first = first[wire[first + 1] - np.uint8(1) < 2]
    if not len(first):
        return wire, flags
    second = first + 1
    resolved = wire.copy()
    resolved[first] = wire[second] + np.uint8(ESCAPE - 1)
    keep = np.ones(len(wire), np.bool_)
    keep[second] = False
    return resolved[keep], flags - first.searchsorted(flags)


def _rejects(runs: _Runs, intact: NDArray[np.intp]) -> Rejects:
    """All runs but the intact ones, as received; of one that is too long, as much as any split of the stream keeps."""
    begins, ends = _after(runs.flags)[runs.rows], runs.flags[runs.rows]
    reason = np.where(runs.checksum == 0, np.uint8(Reason.LENGTH), np.uint8(Reason.CHECKSUM))
    reason[runs.ends - runs.starts < _SHORTEST] = Reason.NOISE
    reason[ends - begins > MAX_WIRE] = Reason.OVERSIZE
    reason[intact] = 0
    rows = reason.nonzero()[0]
    begins = begins[rows]
    return Rejects(
        runs.chunk[rows], reason[rows], cut(runs.wire, begins, np.minimum(ends[rows], begins + MAX_WIRE + 1))
    )


def _sort(packets: Packets, received: int, rejects: Rejects) -> Intake[Packets]:
    """Each packet to its lane."""
    plain = (packets.properties & (ENCRYPTION | SUBPACKAGED)) == 0
    located = plain & (packets.message == LOCATION)
    telemetry = located & (packets.body_end - packets.body_start >= location.BASIC)
    rows = telemetry.nonzero()[0]
    packet, starts, ends = rows.astype(np.int32), packets.body_start[rows], packets.body_end[rows]
    source = np.zeros(len(rows), np.uint8)  # Source.LIVE
    if len(rows) == len(packets):
        positions = location.read(packets, packet, starts, ends, source, received)
        return Intake(packets, positions, rows, _NO_ROWS, _NO_ROWS, rejects)
    batched = plain & (packets.message == BATCH)
    if batched.any():
        items = batch_report.read(packets, batched.nonzero()[0])
        telemetry |= batched
        telemetry[items.malformed] = False
        rows = telemetry.nonzero()[0]
        packet = np.concatenate((packet, items.packet))
        order = packet.argsort(kind="stable")
        packet = packet[order]
        starts = np.concatenate((starts, items.starts))[order]
        ends = np.concatenate((ends, items.ends))[order]
        source = np.concatenate((source, items.source))[order]
        rejects = _with_items(rejects, packets, items.bad)
    heard = located | batched
    return Intake(
        packets=packets,
        positions=location.read(packets, packet, starts, ends, source, received) if len(packet) else Positions.empty(),
        telemetry=rows,
        conversation=(~heard).nonzero()[0],
        malformed=(heard & ~telemetry).nonzero()[0],
        rejects=rejects,
    )


def _with_items(rejects: Rejects, packets: Packets, bad: list[tuple[int, bytes]]) -> Rejects:
    if not bad:
        return rejects
    chunk = packets.chunk[[row for row, _ in bad]]
    return Rejects(
        np.concatenate((rejects.chunk, chunk)),
        np.concatenate((rejects.reason, np.full(len(bad), Reason.ITEM, np.uint8))),
        concatenate([rejects.data, Ragged.of([item for _, item in bad])]),
    )
