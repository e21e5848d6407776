"""The conversation of one terminal: who may say what when, and what it is answered. docs/jt808.md draws it.

TRANSITIONS says what follows from what; what each message is, and when it is heard, is in `hearing`. A session does
nothing itself; it returns a Response. It knows nothing of telemetry that comes whole, which the edge reads in columns, save
that it belongs to `identity` alone; nor of time, which is an argument.

Sub-packages (分包): every part is acknowledged as it comes, save the one that makes its message whole, which is
acknowledged when the message is on disk: until then the terminal knows that something is missing, and sends it again.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from columns.outcome import Outcome
from columns.reason import Reason
from protocols.contract import Response
from protocols.jt808 import media
from protocols.jt808.body import BodyError
from protocols.jt808.hearing import MESSAGES, Event, acknowledgement, refusal
from protocols.jt808.intake import BATCH, LOCATION, read_whole
from protocols.jt808.reassembly import Came, Due, Reassembly

if TYPE_CHECKING:
    from protocols.contract import Directory
    from protocols.jt808.framing import Edition
    from protocols.jt808.header import Packet
    from protocols.jt808.splitting import Sent

MAX_REFUSALS = 10
"""A terminal tries what it has a few times; who tries more on one connection is guessing."""
MAX_REPORTS = 128 * 1024
"""Bytes of a 0x0704 in parts: over 4,000 reports, which are 370 KB in the log, whose messages have 1 MB at most."""


class State(Enum):
    CONNECTED = auto()
    AUTHENTICATED = auto()
    CLOSED = auto()


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CONNECTED, Event.ACCEPTED): State.AUTHENTICATED,
    (State.AUTHENTICATED, Event.ACCEPTED): State.AUTHENTICATED,
    (State.CONNECTED, Event.LEFT): State.CONNECTED,
    (State.AUTHENTICATED, Event.LEFT): State.CONNECTED,
    (State.CONNECTED, Event.EXHAUSTED): State.CLOSED,
    (State.AUTHENTICATED, Event.EXHAUSTED): State.CLOSED,
}
"""Any other pair leaves the state as it is; in particular a wrong code does not throw out who is authenticated."""


class Session:
    """One terminal's conversation. state and identity change by `receive` alone.

    edition: as the registration of `registered` told it; a header alone does not tell 2011 from 2013.
    """

    __slots__ = ("_parts", "edition", "identity", "refusals", "registered", "sent", "state")

    def __init__(self) -> None:
        self.state = State.CONNECTED
        self.identity: str | None = None
        self.edition: Edition | None = None
        self.registered: str | None = None
        self.refusals = 0
        self.sent: Sent | None = None
        """What was sent in parts, by who sends it."""
        self._parts: Reassembly | None = None

    @property
    def held(self) -> int:
        """Bytes of parts that wait for others."""
        return 0 if self._parts is None else self._parts.nbytes

    def receive(self, packet: Packet, directory: Directory, now: int) -> Response:
        """Never raises on what a terminal can send. now: int64 us UTC."""
        event, response = self._hear(packet, directory, now)
        if event is Event.REFUSED:
            self.refusals += 1
            if self.refusals >= MAX_REFUSALS:
                event, response = Event.EXHAUSTED, replace(response, close="refused")
        self.state = TRANSITIONS.get((self.state, event), self.state)
        if event is Event.ACCEPTED:
            self.identity, self.refusals = packet.identity, 0
            if self.registered != packet.identity:  # somebody else told it
                self.edition, self.registered = None, packet.identity
        elif self.state is not State.AUTHENTICATED:
            self.identity = None
        return response

    def due(self, now: int) -> Due:
        """What parts to ask for again, and what was given up; to be called now and then while `held` is not 0."""
        return Due() if self._parts is None else self._parts.due(now, self.edition)

    def give_up(self) -> tuple[Reason, ...]:
        """Forgets all parts: one reason for each message that was not whole."""
        return () if self._parts is None else self._parts.clear()

    def not_stored(self, whole: Packet) -> None:
        """A message could not be stored: when its parts come again, they are gathered again."""
        if self._parts is not None:
            self._parts.forget(whole)

    def _hear(self, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
        if self.state is State.CLOSED:
            return Event.NOTHING, Response(Outcome.IGNORED)
        rule = MESSAGES.get(packet.message)
        if not (rule and rule.before_authentication) and packet.identity != self.identity:
            return Event.NOTHING, refusal(packet, Outcome.NOT_AUTHENTICATED, Reason.NOT_AUTHENTICATED)
        if packet.encrypted:
            return Event.NOTHING, refusal(packet, Outcome.UNSUPPORTED, Reason.ENCRYPTED)
        try:
            if packet.part is None and packet.message == media.MEDIA and self.edition in {None, "2011"}:
                packet = self._of_2011(packet, now)
            if not rule and not (packet.part and packet.message in {LOCATION, BATCH}):
                return Event.NOTHING, refusal(packet, Outcome.UNSUPPORTED, Reason.UNSUPPORTED)
            if packet.part:
                if packet.identity != self.identity:  # registration and authentication fit one packet
                    return Event.NOTHING, refusal(packet, Outcome.UNSUPPORTED, Reason.SUBPACKAGED)
                return self._gather(packet, directory, now)
            assert rule is not None  # noqa: S101  whole reports are read in columns
            return rule.handler(self, packet, directory, now)
        except BodyError:
            return Event.NOTHING, refusal(packet, Outcome.MALFORMED, Reason.BODY)

    def _of_2011(self, packet: Packet, now: int) -> Packet:
        """A 0x0801 that numbers its parts in its body; where no registration told the edition, the body does."""
        if self.edition is None and media.dated(packet, now):
            return packet
        part = media.part_of_2011(packet)
        if part is not None:
            self.edition = "2011"
            return part
        if self.edition == "2011":
            raise BodyError("0x0801 of 2011 without the number of its part")
        return packet

    def _gather(self, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
        if self._parts is None:
            self._parts = Reassembly(consecutive=False)
        taken = self._parts.take(packet, now)
        if taken.reason is not None:
            outcome = Outcome.MALFORMED if taken.reason is Reason.PART else Outcome.UNSUPPORTED
            return Event.NOTHING, replace(refusal(packet, outcome, taken.reason), lost=taken.lost)
        if taken.whole is None:
            # Its message may have been whole before, and be on its way to the disk: then the answer follows it there.
            reply = (acknowledgement(packet, Outcome.STORED),)
            return Event.NOTHING, Response(Outcome.STORED, reply, ordered=taken.came is Came.FINISHED, lost=taken.lost)
        whole = replace(taken.whole, serial=packet.serial)  # the part that was missing is the one to acknowledge
        try:
            event, response = self._hear_whole(taken.whole, whole, directory, now)
        except BodyError:
            event, response = Event.NOTHING, refusal(whole, Outcome.MALFORMED, Reason.BODY)
        if response.outcome is not Outcome.STORED or (response.reports and len(response.reports.malformed)):
            self.not_stored(taken.whole)  # or its parts, sent again, would be told that it was
        return event, replace(response, whole=taken.whole, lost=taken.lost)

    def _hear_whole(self, message: Packet, whole: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
        """A message that came in parts; ``whole``: the same with the last one's serial. Raises BodyError."""
        rule = MESSAGES.get(whole.message)
        if rule:  # written down with its own serial, the first part's: sent again, it may end with another part
            message = whole if whole.message == media.MEDIA else message  # a file of 2011: parts are messages
            event, response = rule.handler(self, message, directory, now)
            mine, last = acknowledgement(message, response.outcome), acknowledgement(whole, response.outcome)
            return event, replace(response, replies=tuple(last if one == mine else one for one in response.replies))
        if len(whole.body) > MAX_REPORTS:
            return Event.NOTHING, refusal(whole, Outcome.UNSUPPORTED, Reason.PART_LIMIT)
        return Event.NOTHING, Response(Outcome.STORED, reports=read_whole(whole, now))

    def record(self, event: str, packet: Packet, now: int, **more: Any) -> dict[str, Any]:
        """What goes into the log about this terminal; time: int64 us UTC, phone: the header's, hex."""
        edition = self.edition or packet.edition
        who = {"identity": packet.identity, "phone": packet.phone.hex()}
        return {"event": event, "time": now, **who, "edition": edition, **more}
