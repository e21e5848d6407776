"""Splitting (分包, 4.4.3): what the platform says at length goes out in parts, and again where a terminal asks (0x0005).

For bodies beyond what one packet holds: many parameters (0x8103), polygons (0x8604), routes (0x8606), upgrades (0x8108).
The way up is the business of `reassembly`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.jt808 import framing
from protocols.jt808.framing import MAX_BODY
from protocols.jt808.registration import BodyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocols.jt808.framing import Edition

MOST_PARTS = 0xFFFF  # the packet item's total is a WORD
SENT_BYTES = 256 * 1024
"""Frames remembered per terminal: the largest set of zones; a terminal asks for parts soon or never."""


def parts(body: bytes) -> int:
    """How many packets, and so how many consecutive serial numbers, a body takes: 1 for an empty one."""
    return max(1, -(-len(body) // MAX_BODY))


def split(message: int, body: bytes, phone: bytes, edition: Edition, serial: int) -> list[bytes]:
    """The framed packets of a message, with serial numbers from ``serial`` on; one that fits one packet is no part.

    phone: as in the header. Raises ValueError where the body is longer than 65,535 packets hold.
    """
    total = parts(body)
    if total > MOST_PARTS:
        raise ValueError(f"a body of {len(body)} bytes does not fit {MOST_PARTS} packets")
    if total == 1:
        return [framing.encode(message, body, phone, edition, serial)]
    return [
        framing.encode(message, body[i * MAX_BODY : (i + 1) * MAX_BODY], phone, edition, serial + i, (total, i + 1))
        for i in range(total)
    ]


class Sent:
    """The parts that one terminal was sent lately, by the first one's serial number."""

    __slots__ = ("_frames", "_most", "nbytes")

    def __init__(self, most: int = SENT_BYTES) -> None:
        self.nbytes = 0
        self._most = most
        self._frames: dict[int, tuple[bytes, ...]] = {}  # oldest first

    def remember(self, serial: int, frames: Sequence[bytes]) -> None:
        """``frames`` of `split`. The oldest messages are forgotten; one that is larger than all the room is not kept."""
        self._forget(serial)
        size = sum(map(len, frames))
        if size > self._most:
            return
        while self.nbytes + size > self._most:
            self._forget(next(iter(self._frames)))
        self._frames[serial] = tuple(frames)
        self.nbytes += size

    def resend(self, body: bytes, edition: Edition) -> list[bytes]:
        """The frames that a 0x0005 lists, unchanged, each once; none of a message that is no longer remembered.

        The count is a WORD in 2019, where the message comes from, and a BYTE in a header of 2013. Raises BodyError where
        the body holds fewer numbers than it says.
        """
        head = 4 if edition == "2019" else 3
        count = int.from_bytes(body[2:head], "big")
        if len(body) < head + 2 * count or len(body) < head:
            raise BodyError(f"0x0005 has {len(body)} bytes, not the {head + 2 * count} of {count} numbers")
        frames = self._frames.get(int.from_bytes(body[:2], "big"), ())
        listed = dict.fromkeys(int.from_bytes(body[i : i + 2], "big") for i in range(head, head + 2 * count, 2))
        return [frames[index - 1] for index in listed if 1 <= index <= len(frames)]

    def _forget(self, serial: int) -> None:
        self.nbytes -= sum(map(len, self._frames.pop(serial, ())))
