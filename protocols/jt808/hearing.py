"""What each message of the conversation is heard as: when, by which handler, and what that answers.

A handler does nothing itself: it says what the message came to (Event), and what is to be done (Response). It may raise
BodyError, which the session answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from columns.outcome import Outcome
from columns.reason import Reason
from protocols.contract import Response, Trust
from protocols.jt808 import media, registration
from protocols.jt808.bcd import time_bcd
from protocols.jt808.intake import read_answer
from protocols.jt808.replies import GENERAL, RESULTS, general

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocols.contract import Directory
    from protocols.jt808.header import Packet
    from protocols.jt808.session import Session

REGISTERED = 0x8100
CLOCK = 0x8004
MAX_KEPT = 64 * 1024
"""Bytes of a message that is kept as it is: a log's batch has room for a few."""


class Event(Enum):
    """What a message came to, as far as the state is concerned."""

    NOTHING = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    LEFT = auto()
    EXHAUSTED = auto()


@dataclass(frozen=True, slots=True)
class Heard:
    """How one message is heard."""

    handler: Callable[[Session, Packet, Directory, int], tuple[Event, Response]]
    before_authentication: bool = False


def acknowledgement(packet: Packet, outcome: Outcome) -> tuple[int, bytes]:
    return GENERAL, general(packet.serial, packet.message, RESULTS[outcome])


def refusal(packet: Packet, outcome: Outcome, reason: Reason) -> Response:
    return Response(outcome, (acknowledgement(packet, outcome),), reason=reason)


def _register(session: Session, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
    asked = registration.registration(packet.body, v2019=packet.v2019)
    fields = {name: getattr(asked, name) for name in asked.__slots__}
    session.edition, session.registered = asked.edition, packet.identity
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
    trust = directory.verify(packet.identity, given.code)
    if trust is Trust.NONE:
        return Event.REFUSED, refusal(packet, Outcome.FAILED, Reason.BAD_CODE)
    record = session.record("authenticated", packet, now, imei=given.imei, version=given.version)
    replies = (acknowledgement(packet, Outcome.STORED),)
    return Event.ACCEPTED, Response(
        Outcome.STORED, replies, record, authenticated=packet.identity, unverified=trust is Trust.LEGACY
    )


def _leave(session: Session, packet: Packet, _: Directory, now: int) -> tuple[Event, Response]:
    """Only who is authenticated can leave; anyone else's 0x0003 changes nothing and is told so politely."""
    replies = (acknowledgement(packet, Outcome.STORED),)
    if packet.identity != session.identity:
        return Event.NOTHING, Response(Outcome.STORED, replies)
    return Event.LEFT, Response(Outcome.STORED, replies, session.record("left", packet, now))


def _heartbeat(_: Session, packet: Packet, _directory: Directory, _now: int) -> tuple[Event, Response]:
    return Event.NOTHING, Response(Outcome.STORED, (acknowledgement(packet, Outcome.STORED),))


def _clock(_: Session, _packet: Packet, _directory: Directory, now: int) -> tuple[Event, Response]:
    """0x8004 is in UTC, the one time in the protocol that is (查询服务器时间应答)."""
    return Event.NOTHING, Response(Outcome.STORED, ((CLOCK, time_bcd(now, offset=0)),))


def _resend(session: Session, packet: Packet, _: Directory, _now: int) -> tuple[Event, Response]:
    """0x0005 is answered by the parts that it lists, or, where we no longer have them, by result 1."""
    frames = [] if session.sent is None else session.sent.resend(packet.body, packet.edition)
    if not frames:
        return Event.NOTHING, Response(Outcome.FAILED, (acknowledgement(packet, Outcome.FAILED),))
    return Event.NOTHING, Response(Outcome.STORED, resend=tuple(frames))


def _upload(session: Session, packet: Packet, _: Directory, now: int) -> tuple[Event, Response]:
    of_2011 = session.edition == "2011"
    file = media.upload(packet, now, placed=not of_2011)
    record = session.record("media", packet, now, **file.about, size=len(file.data))
    reply = (media.MEDIA_ANSWER, media.received(file.about["media_id"], packet.serial, of_2011=of_2011))
    return Event.NOTHING, Response(Outcome.STORED, (reply,), record, upload=file)


def _received(_: Session, _packet: Packet, _directory: Directory, _now: int) -> tuple[Event, Response]:
    """0x0001 is the terminal's acknowledgement of ours."""
    return Event.NOTHING, Response(Outcome.STORED)


def _kept(session: Session, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
    """Kept as it is, and acknowledged when it is on disk."""
    event, response = _answer(session, packet, directory, now)
    if response.record is None:
        return event, replace(response, replies=(acknowledgement(packet, response.outcome),))
    return event, replace(response, replies=(acknowledgement(packet, Outcome.STORED),))


def _answer(session: Session, packet: Packet, _: Directory, now: int) -> tuple[Event, Response]:
    """A terminal's answer to a command of ours: kept, and not answered again."""
    if len(packet.body) > MAX_KEPT:
        return Event.NOTHING, Response(Outcome.FAILED, reason=Reason.PART_LIMIT)
    record = session.record(
        "message", packet, now, message=packet.message, serial=packet.serial, body=packet.body.hex()
    )
    return Event.NOTHING, Response(Outcome.STORED, record=record)


def _position(session: Session, packet: Packet, directory: Directory, now: int) -> tuple[Event, Response]:
    """A position that was asked for is stored as any other, and so is the whole answer."""
    event, response = _answer(session, packet, directory, now)
    return event, replace(response, reports=read_answer(packet, now))


MESSAGES: dict[int, Heard] = {
    0x0001: Heard(_received),
    0x0002: Heard(_heartbeat, before_authentication=True),
    0x0003: Heard(_leave, before_authentication=True),
    0x0004: Heard(_clock, before_authentication=True),
    0x0005: Heard(_resend),
    0x0100: Heard(_register, before_authentication=True),
    0x0102: Heard(_authenticate, before_authentication=True),
    0x0104: Heard(_answer),
    0x0107: Heard(_answer),
    0x0108: Heard(_kept),
    0x0201: Heard(_position),
    0x0301: Heard(_kept),
    0x0302: Heard(_kept),
    0x0303: Heard(_kept),
    0x0500: Heard(_position),
    0x0608: Heard(_answer),
    0x0700: Heard(_answer),
    0x0701: Heard(_kept),
    0x0702: Heard(_kept),
    0x0705: Heard(_kept),
    0x0800: Heard(_kept),
    0x0801: Heard(_upload),
    0x0802: Heard(_answer),
    0x0805: Heard(_answer),
    0x0900: Heard(_kept),
    0x0901: Heard(_kept),
    0x0A00: Heard(_kept),
}
"""Every message of the conversation that is handled. Any other is answered with result 3, after authentication."""
