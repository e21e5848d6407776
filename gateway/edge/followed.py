"""Followed: one terminal that is traced. It knows the terminal's packets by their bytes, where it speaks, and its budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of
from protocols.jt808 import framing
from protocols.jt808.framing import FLAG, VERSION_FLAG
from protocols.jt808.phone import identity as identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from protocols.jt808.header import Packets

WINDOW_US = 1_000_000
MOST_LINES = 30  # in a window: a terminal that comes in says ten things and is answered; nobody reads more
SPARED = 10  # of these, for refusals and endings, which are why somebody looks
MOST_HOSTS = 32  # connections that spoke as this terminal; the oldest is forgotten
_HALF = 64
_LOW = (1 << _HALF) - 1


class Followed:
    """orders: until when (int64 us UTC) by the audit's row; hosts: the generation of each slot of a connection on which
    the terminal speaks, or tried to; events: what is to be published; left_out: how many in this window were too many.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.device = device_of(identity)
        self.orders: dict[int, int] = {}
        self.hosts: dict[int, int] = {}
        self.events: list[dict[str, Any]] = []
        self.left_out = 0
        digits = identity.removeprefix("x")
        number = int(digits, 16)
        self._phone_hi, self._phone_lo = number >> _HALF, number & _LOW
        # The header pads with zeros to 6 or 10 bytes, so these are in every packet of the terminal, as on the wire.
        self._bytes = framing.escape(bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2)))
        self._lines = 0
        self._since = 0

    def rows(self, packets: Packets) -> NDArray[np.intp]:
        """Which of these packets are the terminal's."""
        mine = (packets.phone_lo == self._phone_lo) & (packets.phone_hi == self._phone_hi)
        found: NDArray[np.intp] = mine.nonzero()[0]
        return found

    def names(self, data: bytes) -> bool:
        """Whether the terminal's phone is somewhere in these bytes, which are no packet."""
        return self._bytes in data

    def frames(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Those of the frames in ``data`` (whole, as on the wire) that are to the terminal: (where, unescaped)."""
        end = 0
        while (at := data.find(self._bytes, end)) >= 0:
            begin, end = data.rfind(FLAG, 0, at) + 1, data.find(FLAG, at)
            packet = framing.unescape(data[begin:end])
            modern = int.from_bytes(packet[2:4], "big") & VERSION_FLAG
            if identity_of(packet[5:15] if modern else packet[4:10]) == self.identity:
                yield begin, packet

    def speaks_on(self, host: int, generation: int) -> None:
        self.hosts.pop(host, None)
        self.hosts[host] = generation
        if len(self.hosts) > MOST_HOSTS:
            del self.hosts[next(iter(self.hosts))]

    def has_room(self, now: int, *, spared: bool = False) -> bool:
        """Whether one more line may be published at ``now`` (int64 us UTC); one that may not is counted."""
        if not 0 <= now - self._since < WINDOW_US:
            self.say_left_out(now)
            self._since, self._lines = now, 0
        if self._lines >= MOST_LINES - (0 if spared else SPARED):
            self.left_out += 1
            return False
        self._lines += 1
        return True

    def say_left_out(self, now: int) -> None:
        if self.left_out:
            self.events.append({"kind": "left_out", "time": now, "count": self.left_out})
            self.left_out = 0
