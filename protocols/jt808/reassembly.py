"""Reassembly (分包, 4.4.3): the parts of sub-packaged messages of one connection become whole messages.

A message is known by its terminal, its message id, its header's layout and the serial number of its first part, which
every part tells (serial - index + 1): two messages that overlap never mix, though both have one id and one total.

Parts may come in any order and again. What a part says is believed over what is held: where it contradicts its message,
by another total or by other bytes for an index that is there, the message is dropped and begins anew with this part. The
other way round, a terminal that restarted and counts from 0 again would have its new picture mixed with the old one;
this way a message costs at most being asked for again. What was whole is remembered for a while by the checksums of its
parts, so a part that is sent again does not begin a second message.

Some terminals say other things between two parts and go on counting, so that their parts tell different first serials. With
``consecutive`` False such a part joins the message of its id and total whose last part was the one before it, if there
is only one; that is a guess, and a lost part can make it wrong, so it is off unless asked for.

Everything is bounded (`Limits`), and whatever is dropped has a Reason for the caller to count. There is no clock here:
times are int64 us UTC, and `due` is to be called now and then while `nbytes` is not 0. What the platform sends in parts
is the business of `splitting`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING
from zlib import crc32

from columns.reason import Reason
from protocols.jt808.framing import LENGTH, SUBPACKAGED
from protocols.jt808.missing import ask_for

if TYPE_CHECKING:
    from protocols.jt808.framing import Edition
    from protocols.jt808.header import Packet
    from protocols.jt808.missing import Ask

SECOND = 1_000_000
PART_BYTES = 192
"""What a part costs beside its body: a bytes object, its place in a dict, its checksum later on."""
MESSAGE_BYTES = 1024
"""What a message costs beside its parts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection. Pictures have up to some 200 KB, short recordings a few MB."""

    nbytes: int = 8 * 1024**2
    """Of everything that is held, PART_BYTES and MESSAGE_BYTES included."""
    parts: int = 8192
    """Of one message: as many as fill `nbytes`."""
    messages: int = 8
    """Gathered at a time; terminals send one or two."""
    finished: int = 16
    """Messages remembered after their end."""
    silence_us: int = 10 * SECOND
    """A message without a part for so long is asked after; a part takes about a second on a bad link."""
    asks: int = 3
    """Asked in vain so many times in a row, a message is given up."""
    age_us: int = 30 * 60 * SECOND
    """A message that takes longer is given up: serial numbers come round again."""


class Came(Enum):
    """What a part came to."""

    KEPT = auto()
    REPEATED = auto()
    """It was there already; nothing changed."""
    WHOLE = auto()
    FINISHED = auto()
    """Its message was whole before: answer it as then."""
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Taken:
    """whole: the message, with WHOLE; reason: why, with REFUSED; lost: one for each message that was dropped for it."""

    came: Came
    whole: Packet | None = None
    reason: Reason | None = None
    lost: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    asks: tuple[Ask, ...] = ()
    lost: tuple[Reason, ...] = ()
    """One for each message that was given up."""


_Key = tuple[str, int, bool, int]


@dataclass(slots=True)
class _Gathering:
    """like: the part that came first, without its body; began, heard: us UTC; highest: index of a part that is here;
    asked: times since the last new part.
    """

    like: Packet
    total: int
    began: int
    heard: int
    highest: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    nbytes: int = MESSAGE_BYTES
    asked: int = 0


@dataclass(frozen=True, slots=True)
class _Finished:
    """checksums: CRC-32 of each part; None: the message was larger than we gather, and so are its further parts."""

    total: int
    at: int
    checksums: array[int] | None
    nbytes: int


def first_serial(packet: Packet) -> int:
    """The serial number of the message's first part, by which it is acknowledged and asked after."""
    return packet.serial if packet.part is None else (packet.serial - packet.part[1] + 1) & 0xFFFF


class Reassembly:
    """nbytes: what is held, about as many bytes of memory; 0 where nothing is."""

    __slots__ = ("_consecutive", "_finished", "_gathering", "_limits", "nbytes")

    def __init__(self, limits: Limits = Limits(), *, consecutive: bool = True) -> None:
        self.nbytes = 0
        self._limits = limits
        self._consecutive = consecutive
        self._gathering: dict[_Key, _Gathering] = {}
        self._finished: dict[_Key, _Finished] = {}  # oldest first

    def __len__(self) -> int:
        """Messages that are being gathered."""
        return len(self._gathering)

    def take(self, packet: Packet, now: int) -> Taken:
        """One part; ``packet.part`` is not None. Never raises on what a terminal can send."""
        assert packet.part is not None  # noqa: S101  a whole packet is the caller's mistake
        total, index = packet.part
        if packet.encrypted:
            return Taken(Came.REFUSED, reason=Reason.ENCRYPTED)
        if not 1 <= index <= total:
            return Taken(Came.REFUSED, reason=Reason.PART)
        if total > self._limits.parts:
            return Taken(Came.REFUSED, reason=Reason.PART_LIMIT)
        key = _key(packet) if self._consecutive else self._followed(packet, total, index)
        if (before := self._remembered(key, total, now)) is not None:
            if before.checksums is None:
                return Taken(Came.REFUSED, reason=Reason.PART_LIMIT)
            if before.checksums[index - 1] == crc32(packet.body):
                return Taken(Came.FINISHED)
            self._forget(key)
        lost: list[Reason] = []
        message = self._gathering.get(key)
        if message is not None:
            held = message.parts.get(index)
            if now - message.began > self._limits.age_us:
                self._drop(key, Reason.INCOMPLETE, lost)
            elif message.total != total or held not in {None, packet.body}:
                self._drop(key, Reason.PART_CONFLICT, lost)
            elif held is not None:
                message.heard = now
                return Taken(Came.REPEATED)
        message = self._gathering.get(key) or self._begin(key, packet, now, lost)
        if not self._make_room(key, len(packet.body) + PART_BYTES, lost):
            self._drop(key, Reason.PART_LIMIT, lost)
            self._finish(key, total, now, None)
            return Taken(Came.REFUSED, reason=Reason.PART_LIMIT, lost=tuple(lost))
        self._add(message, packet, now)
        if len(message.parts) < total:
            return Taken(Came.KEPT, lost=tuple(lost))
        return Taken(Came.WHOLE, whole=self._join(key, now), lost=tuple(lost))

    def due(self, now: int, edition: Edition | None = None) -> Due:
        """What to ask for, and what was given up. ``edition``: of the terminal, where its registration told it: the
        header of 2011 is that of 2013, but its terminals know no 0x8003, only the list in 0x8800.
        """
        asks, lost = [], list[Reason]()
        for key, message in list(self._gathering.items()):
            silent = now - message.heard >= self._limits.silence_us
            if now - message.began > self._limits.age_us or (silent and message.asked >= self._limits.asks):
                self._drop(key, Reason.INCOMPLETE, lost)
            elif silent:
                message.asked += 1
                message.heard = now
                ask = ask_for(message.like, first_serial(message.like), message.parts, edition)
                asks += [ask] if ask else []
        for key, finished in list(self._finished.items()):
            if now - finished.at > self._limits.age_us:
                self._forget(key)
        return Due(tuple(asks), tuple(lost))

    def forget(self, whole: Packet) -> None:
        """The message could not be stored: when the terminal sends it again, it is gathered again."""
        self._forget((whole.identity, whole.message, whole.v2019, whole.serial))

    def clear(self) -> tuple[Reason, ...]:
        """Drops everything: the connection has ended, or the edge needs the memory."""
        lost = (Reason.INCOMPLETE,) * len(self._gathering)
        self._gathering.clear()
        self._finished.clear()
        self.nbytes = 0
        return lost

    def _followed(self, packet: Packet, total: int, index: int) -> _Key:
        """Whose part this is where serial numbers are not consecutive: its own message's, or the one that it follows."""
        key = _key(packet)
        if index == 1 or key in self._gathering or key in self._finished:
            return key
        found = [
            other
            for other, message in self._gathering.items()
            if other[:3] == key[:3]
            and message.total == total
            and (message.highest == index - 1 or message.parts.get(index) == packet.body)
        ]
        found += [
            other
            for other, finished in self._finished.items()
            if other[:3] == key[:3]
            and finished.total == total
            and finished.checksums is not None
            and finished.checksums[index - 1] == crc32(packet.body)
        ]
        return found[0] if len(found) == 1 else key

    def _remembered(self, key: _Key, total: int, now: int) -> _Finished | None:
        finished = self._finished.get(key)
        if finished is not None and (finished.total != total or now - finished.at > self._limits.age_us):
            self._forget(key)
            return None
        return finished

    def _begin(self, key: _Key, packet: Packet, now: int, lost: list[Reason]) -> _Gathering:
        if len(self._gathering) >= self._limits.messages:
            self._drop(self._quietest(), Reason.INCOMPLETE, lost)
        assert packet.part is not None  # noqa: S101
        message = self._gathering[key] = _Gathering(replace(packet, body=b""), packet.part[0], now, now)
        self.nbytes += message.nbytes
        return message

    def _make_room(self, key: _Key, needed: int, lost: list[Reason]) -> bool:
        """Whether ``needed`` more bytes fit this message; others go first, those that were silent longest."""
        while self.nbytes + needed > self._limits.nbytes:
            if self._finished:
                self._forget(next(iter(self._finished)))
            elif len(self._gathering) > 1:
                self._drop(self._quietest(but=key), Reason.INCOMPLETE, lost)
            else:
                return False
        return True

    def _quietest(self, but: _Key | None = None) -> _Key:
        return min((key for key in self._gathering if key != but), key=lambda key: self._gathering[key].heard)

    def _add(self, message: _Gathering, packet: Packet, now: int) -> None:
        assert packet.part is not None  # noqa: S101
        message.parts[packet.part[1]] = packet.body
        message.highest = max(message.highest, packet.part[1])
        message.heard, message.asked = now, 0
        message.nbytes += len(packet.body) + PART_BYTES
        self.nbytes += len(packet.body) + PART_BYTES

    def _join(self, key: _Key, now: int) -> Packet:
        message = self._gathering[key]
        bodies = [message.parts[index] for index in range(1, message.total + 1)]
        self._drop(key, Reason.INCOMPLETE, [])
        self._finish(key, message.total, now, array("I", map(crc32, bodies)))
        properties = message.like.properties & ~(SUBPACKAGED | LENGTH)  # of no packet: its body has any length
        return replace(message.like, serial=key[-1], properties=properties, part=None, body=b"".join(bodies))

    def _drop(self, key: _Key, reason: Reason, lost: list[Reason]) -> None:
        self.nbytes -= self._gathering.pop(key).nbytes
        lost.append(reason)

    def _finish(self, key: _Key, total: int, now: int, checksums: array[int] | None) -> None:
        nbytes = MESSAGE_BYTES + (0 if checksums is None else 4 * total)
        while self._finished and (
            len(self._finished) >= self._limits.finished or self.nbytes + nbytes > self._limits.nbytes
        ):
            self._forget(next(iter(self._finished)))
        if self.nbytes + nbytes <= self._limits.nbytes:
            self._finished[key] = _Finished(total, now, checksums, nbytes)
            self.nbytes += nbytes

    def _forget(self, key: _Key) -> None:
        finished = self._finished.pop(key, None)
        self.nbytes -= 0 if finished is None else finished.nbytes


def _key(packet: Packet) -> _Key:
    return packet.identity, packet.message, packet.v2019, first_serial(packet)
