"""Conversation: packets of a small grammar, off the wire, through one session. No exception is allowed.

An input: steps, each a message BYTE, head BYTE, serial BYTE, [total BYTE, index BYTE], [seconds BYTE], body. Every reply
frames and reads back, what is kept is JSON, held bytes stay within the limits, nobody is authenticated without the code.
"""

from __future__ import annotations

import orjson

from columns.outcome import Outcome
from protocols.contract import Trust
from protocols.jt808 import framing, intake, terminal
from protocols.jt808.hearing import MESSAGES
from protocols.jt808.reassembly import SECOND, Limits
from protocols.jt808.session import Session, State
from protocols.jt808.splitting import Sent, split
from tests.fuzz import seeds as made
from tests.fuzz.choices import Choices
from tests.protocols import oracle
from tests.protocols.frames import EDITIONS, NOW, resealed
from tests.protocols.test_intake import row

_MODERN, _OTHER, _PART, _ENCRYPTED, _LATER, _LOST, _OURS, _FAR = 1, 2, 4, 8, 16, 32, 64, 128
_IDS = [*sorted(MESSAGES), intake.LOCATION, intake.BATCH, 0x1210]
_PHONES = ("138", made.PHONE)
_MOST_STEPS = 60
_REFUSED = {Outcome.MALFORMED, Outcome.UNSUPPORTED, Outcome.NOT_AUTHENTICATED}
_BODIES = {edition: dict(made.said(edition)) for edition in EDITIONS}


_Said = tuple[int, bytes, bytes, framing.Edition]
"""Message id, body, phone, edition."""


class _Book:
    """A directory with one terminal in it, and others that a public code is accepted from; proven: who said the right one."""

    def __init__(self) -> None:
        self.proven: set[str] = set()

    def register(self, identity, registration):
        orjson.dumps(dict(registration))
        return (0, made.CODE) if identity == made.PHONE else (3, "")

    def verify(self, identity, code):
        right, trust = (made.CODE, Trust.PROVEN) if identity == made.PHONE else ("any", Trust.LEGACY)
        if code != right:
            return Trust.NONE
        self.proven.add(identity)
        return trust


def check(data: bytes) -> None:
    steps = _steps(Choices(data))
    read = intake.read([frame for frame, _, _ in steps], NOW)
    assert len(read.packets) == len(steps)
    spoken = set(read.conversation.tolist())
    one, book, now = Session(), _Book(), NOW
    one.sent = Sent()
    one.sent.remember(7, split(0x8103, bytes(3000), terminal.phone_bcd(made.PHONE, "2013"), "2013", 7))
    said: list[_Said] = []
    resent: list[bytes] = []
    for i, (_, seconds, lost) in enumerate(steps):
        if i not in spoken:
            continue
        now += seconds * SECOND
        said += [(ask.message, ask.body, ask.phone, ask.edition) for ask in one.due(now).asks]
        packet = read.packets.packet(i)
        response = one.receive(packet, book, now)
        said += [(message, body, packet.phone, packet.edition) for message, body in response.replies]
        resent += response.resend
        _kept(response, now)
        assert response.outcome not in _REFUSED or response.reason is not None
        assert response.outcome is not Outcome.STORED or response.reason is None
        assert 0 <= one.held <= Limits().nbytes
        assert (one.identity is not None) == (one.state is State.AUTHENTICATED)
        assert response.authenticated in {None, one.identity}
        assert one.identity is None or one.identity in book.proven
        if lost and response.whole is not None:
            one.not_stored(response.whole)
    one.give_up()
    assert one.held == 0
    _framed(said)
    assert len(intake.read(resent, NOW).packets) == len(resent)


def seeds() -> list[bytes]:
    login = [_step(0x0100, _OURS), _step(0x0102, _OURS)]
    modern = [_step(0x0100, _OURS | _MODERN), _step(0x0102, _OURS | _MODERN)]
    alone = [b"".join([*login, _step(message, _OURS)]) for message in _IDS]
    alone += [b"".join([*modern, _step(message, _OURS | _MODERN)]) for message in _IDS]
    parts = [
        b"".join([
            *login,
            *(_step(message, _PART | _LATER | more, body, serial=i, part=(3, i)) for i in (1, 3, 2)),
            _step(0x0002, _LATER, seconds=40),
        ])
        for message in (0x0801, intake.LOCATION, intake.BATCH, 0x0104, 0x0900)
        for body, more in ((_BODIES["2013"].get(message, b"")[:200], 0), (b"part", _LOST))
    ]  # fmt: skip
    return [*alone, *parts, _step(0x0102, 0, b"wrong") * 12, _step(0x0801, _PART, serial=2, part=(2, 1))]


def _step(message: int, head: int, body: bytes = b"", *, serial: int = 5, part=(0, 0), seconds: int = 0) -> bytes:
    """One step, as `_steps` takes it apart."""
    said = bytes([_IDS.index(message), head, serial])
    said += bytes(part) if head & _PART else b""
    said += bytes([seconds]) if head & _LATER else b""
    return said if head & _OURS else said + bytes([len(body)]) + body


def _steps(choices: Choices) -> list[tuple[bytes, int, bool]]:
    """(frame, seconds since the last one, whether its message cannot be stored)."""
    steps = []
    while choices and len(steps) < _MOST_STEPS:
        message, head, serial = choices.pick(_IDS), choices.byte(), choices.byte()
        part = (choices.byte(), choices.byte()) if head & _PART else None
        seconds = choices.byte() * (60 if head & _FAR else 1) if head & _LATER else 0
        edition = "2019" if head & _MODERN else "2013"
        body = _BODIES[edition].get(message, b"") if head & _OURS else choices.octets()
        phone = terminal.phone_bcd(_PHONES[not head & _OTHER], edition)
        frame = framing.encode(message, body, phone, edition, serial, part)
        if head & _ENCRYPTED:
            frame = resealed(frame, b2=framing.unescape(frame[1:-1])[2] | 0x04)
        steps.append((frame, seconds, bool(head & _LOST)))
    return steps


def _framed(said: list[_Said]) -> None:
    """All of it goes out and reads back."""
    again = intake.read([framing.encode(*each, 0x7E7D) for each in said], NOW).packets
    found = [(int(again.message[i]), again.body(i), again.phone(i)) for i in range(len(again))]
    assert found == [(message, body, phone) for message, body, phone, _ in said]


def _kept(response, now: int) -> None:
    if response.record is not None:
        assert b"\\u0000" not in orjson.dumps(response.record)
    if response.upload is not None:
        orjson.dumps(response.upload.about)
    if response.reports is None or response.whole is None:
        return
    packets = response.reports.packets
    if response.whole.message in {intake.LOCATION, intake.BATCH}:
        packet = packets.packet(0)
        header = {"message": packet.message, "serial": packet.serial, "body": packet.body}
        expected = oracle.telemetry(packets.raw(0), int(packets.body_start[0]), header, now)
        positions = response.reports.positions
        assert [row(positions, i) for i in range(len(positions))] == expected.rows
        assert bool(len(response.reports.malformed)) == (expected.lane == "malformed")
