"""The batch of position reports (0x0704, 8.49, table 76): count WORD, type BYTE, then items, each a WORD of length and a
0x0200 body. The items' lengths are walked and the count is not believed: terminals get it wrong, and lengths can be
checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from columns.positions import Source
from protocols.jt808.location import BASIC

if TYPE_CHECKING:
    from protocols.jt808.header import Packets

PREFIX = 3
BACKFILL = 1  # the reports of a blind area; 0 is an ordinary batch


@dataclass(slots=True)
class Items:
    """The reports of many 0x0704, flat: where in the buffer each begins and ends, and the packet's row and source.

    bad: (packet, item with its length word) for each item that does not read; malformed: rows where none does.
    """

    packet: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    source: list[int] = field(default_factory=list)
    bad: list[tuple[int, bytes]] = field(default_factory=list)
    malformed: list[int] = field(default_factory=list)


def walk(body: bytes) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """(starts, ends) of the good items within the body, and (start, end) of the bad ones, length word included.

    An item is bad when it is shorter than a position report or longer than what is left; the latter ends the walk.
    """
    starts, ends, bad = [], [], []
    at, size = PREFIX, len(body)
    while at < size:
        stop = at + 2 + int.from_bytes(body[at : at + 2], "big")
        if at + 2 + BASIC <= stop <= size:
            starts.append(at + 2)
            ends.append(stop)
        else:
            stop = min(stop, size)
            bad.append((at, stop))
        at = stop
    return starts, ends, bad


def read(packets: Packets, rows: list[int]) -> Items:
    """All items of packets[rows]. One step of Python per item: a tenth of what each costs in a packet of its own."""
    items = Items()
    for row in rows:
        body, first = packets.body(row), int(packets.body_start[row])
        starts, ends, bad = walk(body)
        if len(body) < PREFIX or (bad and not starts):
            items.malformed.append(row)
            continue
        source = Source.BACKFILL if body[PREFIX - 1] == BACKFILL else Source.BATCH
        items.packet += [row] * len(starts)
        items.source += [source] * len(starts)
        items.starts += [first + at for at in starts]
        items.ends += [first + at for at in ends]
        items.bad += [(row, body[at:stop]) for at, stop in bad]
    return items
