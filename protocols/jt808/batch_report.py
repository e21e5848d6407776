"""The batch of position reports (0x0704, 定位数据批量上传): count WORD, type BYTE, then items, each a WORD of length and a
0x0200 body. The items' lengths are believed and the count is not: terminals get it wrong, and lengths can be checked.

A terminal's reports mostly have one length, and then the items of all packets are cut out at once; a packet whose items
differ is walked, one step of Python per item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Source
from protocols.jt808.location import BASIC

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from protocols.jt808.header import Packets

PREFIX = 3
BACKFILL = 1  # the reports of a blind area; 0 is an ordinary batch
_LENGTH = 2


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """The reports of many 0x0704, flat: the packet's row, where each begins and ends in the buffer, and its source.

    Those of one packet are in its order, the packets in any. bad: (packet's row, item with its length word) for each
    item that does not read beside some that do; malformed: rows of packets in which none does.
    """

    packet: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    source: NDArray[np.uint8]
    bad: list[tuple[int, bytes]]
    malformed: list[int]


def read(packets: Packets, rows: NDArray[np.intp]) -> Items:
    """All items of packets[rows]."""
    buffer, first, end = packets.buffer, packets.body_start[rows] + PREFIX, packets.body_end[rows]
    length = _word(buffer, first)
    count = (end - first) // (length + _LENGTH)
    even = (length >= BASIC) & (count > 0) & (count * (length + _LENGTH) == end - first)
    which, at = _spread(first, length + _LENGTH, np.where(even, count, 0))
    different = _word(buffer, at) != length[which]
    if different.any():
        even[which[different]] = False
        keep = even[which]
        which, at = which[keep], at[keep]
    starts, ends = at + _LENGTH, at + _LENGTH + length[which]

    bad: list[tuple[int, bytes]] = []
    malformed: list[int] = []
    more: tuple[list[int], list[int], list[int]] = ([], [], [])
    for i in (~even).nonzero()[0].tolist():
        row = int(rows[i])
        body = packets.body(row)
        good, refused = walk(body)
        if len(body) < PREFIX or (refused and not good):
            malformed.append(row)
            continue
        begin = int(first[i]) - PREFIX
        more[0].extend([i] * len(good))
        more[1].extend([begin + start for start, _ in good])
        more[2].extend([begin + stop for _, stop in good])
        bad.extend([(row, body[start:stop]) for start, stop in refused])
    if more[0]:
        which, starts, ends = (np.concatenate((a, b)) for a, b in zip((which, starts, ends), more, strict=True))
    backfill = buffer[first - 1] == BACKFILL
    source = np.where(backfill, np.uint8(Source.BACKFILL), np.uint8(Source.BATCH))
    return Items(rows[which].astype(np.int32), starts, ends, source[which], bad, malformed)


def walk(body: bytes) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(start, end) within the body of the good items, and of the bad ones with their length word.

    An item is bad when it is shorter than a position report or longer than what is left; the latter ends the walk.
    """
    good, bad = [], []
    at, size = PREFIX, len(body)
    while at < size:
        stop = at + _LENGTH + int.from_bytes(body[at : at + _LENGTH], "big")
        if at + _LENGTH + BASIC <= stop <= size:
            good.append((at + _LENGTH, stop))
        else:
            stop = min(stop, size)
            bad.append((at, stop))
        at = stop
    return good, bad


def _word(buffer: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    return buffer[at].astype(np.int64) << 8 | buffer[at + 1]


def _spread(
    first: NDArray[np.int64], stride: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """(i, first[i] + k * stride[i]) for every i and every k below count[i]."""
    which = np.repeat(np.arange(len(count)), count)
    before = count.cumsum() - count
    return which, first[which] + stride[which] * (np.arange(len(which)) - before[which])
