"""The conversation of one connection: who may say what when, and what it is answered.

                 0x0102 accepted
    CONNECTED ─────────────────────▶ AUTHENTICATED          MAX_REFUSALS registrations or codes refused: CLOSED
        ▲                                  │
        └──────────── 0x0003 ──────────────┘

Everything that affects the state lives in this file: MESSAGES says what each message is and when it is heard,
TRANSITIONS what follows. A session does nothing itself; it returns a Response. It knows nothing of telemetry, which the
edge reads in columns, save that it belongs to `identity` alone; nor of time, which is an argument.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from columns.outcome import Outcome
from columns.reason import Reason
from protocols.contract import Response
from protocols.jt808 import registration
from protocols.jt808.bcd import time_bcd
from protocols.jt808.registration import BodyError
from protocols.jt808.replies import GENERAL, RESULTS, general

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocols.contract import Directory
    from protocols.jt808.framing import Edition
    from protocols.jt808.header import Packet

REGISTERED = 0x8100
CLOCK = 0x8004
MAX_REFUSALS = 10
"""A terminal tries what it has a few times; who tries more on one connection is guessing."""


class State(Enum):
    CONNECTED = auto()
    AUTHENTICATED = auto()
    CLOSED = auto()


class Event(Enum):
    """What a message came to, as far as the state is concerned."""

    NOTHING = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    LEFT = auto()
    EXHAUSTED = auto()


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CONNECTED, Event.ACCEPTED): State.AUTHENTICATED,
    (State.AUTHENTICATED, Event.ACCEPTED): State.AUTHENTICATED,
    (State.CONNECTED, Event.LEFT): State.CONNECTED,
    (State.AUTHENTICATED, Event.LEFT): State.CONNECTED,
    (State.CONNECTED, Event.EXHAUSTED): State.CLOSED,
    (State.AUTHENTICATED, Event.EXHAUSTED): State.CLOSED,
}
"""Any other pair leaves the state as it is; in particular a wrong code does not throw out who is authenticated."""


@dataclass(frozen=True, slots=True)
class _Message:
    handler: Callable[[Session, Packet, Directory, int], tuple[Event, Response]]
    before_authentication: bool = False


class Session:
    """One connection's conversation. state and identity change by `receive` alone."""

    __slots__ = ("edition", "identity", "refusals", "state")

    def __init__(self) -> None:
        self.state = State.CONNECTED
        self.identity: str | None = None
        self.edition: Edition | None = None
        self.refusals = 0

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
        elif self.state is not State.AUTHENTICATED:
            self.identity = None
        return response

    def _hear(self, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
        if self.state is State.CLOSED:
            return Event.NOTHING, Response(Outcome.IGNORED)
        rule = MESSAGES.get(packet.message)
        if not (rule and rule.before_authentication) and packet.identity != self.identity:
            return Event.NOTHING, _refusal(packet, Outcome.NOT_AUTHENTICATED, Reason.NOT_AUTHENTICATED)
        if packet.encrypted:
            return Event.NOTHING, _refusal(packet, Outcome.UNSUPPORTED, Reason.ENCRYPTED)
        if packet.part:
            return Event.NOTHING, _refusal(packet, Outcome.UNSUPPORTED, Reason.SUBPACKAGED)
        if not rule:
            return Event.NOTHING, _refusal(packet, Outcome.UNSUPPORTED, Reason.UNSUPPORTED)
        try:
            return rule.handler(self, packet, directory, now)
        except BodyError:
            return Event.NOTHING, _refusal(packet, Outcome.MALFORMED, Reason.BODY)

    def record(self, event: str, packet: Packet, now: int, **more: Any) -> dict[str, Any]:
        """What goes into the log about this terminal; time: int64 us UTC, phone: the header's, hex."""
        edition = self.edition or packet.edition
        who = {"identity": packet.identity, "phone": packet.phone.hex()}
        return {"event": event, "time": now, **who, "edition": edition, **more}


def _register(session: Session, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
    asked = registration.registration(packet.body, v2019=packet.v2019)
    fields = asdict(asked)
    session.edition = asked.edition
    result, code = directory.register(packet.identity, fields)
    head = packet.serial.to_bytes(2, "big") + bytes([result])
    if result:
        record = session.record("refused", packet, now, **{**fields, "result": result})
        reply = (REGISTERED, head)
        return Event.REFUSED, Response(Outcome.FAILED, (reply,), record, reason=Reason.UNKNOWN_TERMINAL)
    reply = (REGISTERED, head + code.encode("gb18030"))
    return Event.NOTHING, Response(Outcome.STORED, (reply,), session.record("registered", packet, now, **fields))


def _authenticate(session: Session, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
    given = registration.authentication(packet.body, v2019=packet.v2019)
    if not directory.verify(packet.identity, given.code):
        return Event.REFUSED, _refusal(packet, Outcome.FAILED, Reason.BAD_CODE)
    record = session.record("authenticated", packet, now, imei=given.imei, version=given.version)
    replies = (_acknowledgement(packet, Outcome.STORED),)
    return Event.ACCEPTED, Response(Outcome.STORED, replies, record, authenticated=packet.identity)


def _leave(session: Session, packet: Packet, _: Directory, now: int) -> tuple[Event, Response]:
    """Only who is authenticated can leave; anyone else's 0x0003 changes nothing and is told so politely."""
    replies = (_acknowledgement(packet, Outcome.STORED),)
    if packet.identity != session.identity:
        return Event.NOTHING, Response(Outcome.STORED, replies)
    return Event.LEFT, Response(Outcome.STORED, replies, session.record("left", packet, now))


def _heartbeat(_: Session, packet: Packet, _directory: Directory, _now: int) -> tuple[Event, Response]:
    return Event.NOTHING, Response(Outcome.STORED, (_acknowledgement(packet, Outcome.STORED),))


def _clock(_: Session, _packet: Packet, _directory: Directory, now: int) -> tuple[Event, Response]:
    """0x8004 is in UTC, the one time in the protocol that is (查询服务器时间应答)."""
    return Event.NOTHING, Response(Outcome.STORED, ((CLOCK, time_bcd(now, offset=0)),))


def _answer(_: Session, _packet: Packet, _directory: Directory, _now: int) -> tuple[Event, Response]:
    """A terminal's answer to a command of ours is not answered again."""
    return Event.NOTHING, Response(Outcome.STORED)


MESSAGES: dict[int, _Message] = {
    0x0001: _Message(_answer),
    0x0002: _Message(_heartbeat, before_authentication=True),
    0x0003: _Message(_leave, before_authentication=True),
    0x0004: _Message(_clock, before_authentication=True),
    0x0100: _Message(_register, before_authentication=True),
    0x0102: _Message(_authenticate, before_authentication=True),
    0x0104: _Message(_answer),
    0x0107: _Message(_answer),
    0x0201: _Message(_answer),
    0x0500: _Message(_answer),
    0x0608: _Message(_answer),
    0x0700: _Message(_answer),
    0x0802: _Message(_answer),
    0x0805: _Message(_answer),
}
"""Every message of the conversation that is handled. Any other is answered with result 3, after authentication."""


def _acknowledgement(packet: Packet, outcome: Outcome) -> tuple[int, bytes]:
    return GENERAL, general(packet.serial, packet.message, RESULTS[outcome])


def _refusal(packet: Packet, outcome: Outcome, reason: Reason) -> Response:
    return Response(outcome, (_acknowledgement(packet, outcome),), reason=reason)
