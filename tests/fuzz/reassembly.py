"""Reassembly: sequences of parts, and of what else a session does with them. No exception is allowed.

An input: steps of a head BYTE, total BYTE, index BYTE, first serial BYTE, seconds BYTE, and a body. With room for
everything the messages are those of the simple oracle; with little, bytes and messages stay within the limits.
"""

from __future__ import annotations

from protocols.jt808.framing import ENCRYPTION, SUBPACKAGED
from protocols.jt808.header import Packet
from protocols.jt808.reassembly import SECOND, Came, Limits, Reassembly
from tests.fuzz.choices import Choices
from tests.protocols.frames import NOW
from tests.protocols.test_reassembly import Oracle, wholes

_MODERN, _OTHER_ID, _OTHER_PHONE, _ENCRYPTED, _FORGET, _CLEAR, _OF_2011 = 1, 2, 4, 8, 16, 32, 64
_ROOMY = Limits(messages=1000, finished=1000)
_SMALL = Limits(nbytes=6_000, parts=40, messages=3, finished=2, age_us=100 * SECOND)
_MOST_STEPS = 120


def check(data: bytes) -> None:
    steps = _steps(Choices(data))
    sent = [packet for packet, _, _ in steps]
    oracle = Oracle()
    for packet in sent:
        if not packet.encrypted:
            oracle.take(packet)
    found, lost = wholes(sent, Reassembly(_ROOMY))
    assert found == oracle.whole
    assert lost.total() == oracle.conflicts
    for consecutive in (True, False):
        _bounded(steps, Reassembly(_SMALL, consecutive=consecutive))


def seeds() -> list[bytes]:
    in_order = b"".join(_step(0, 4, i, 7, b"body" * i) for i in range(1, 5))
    backwards = b"".join(_step(_MODERN, 3, i, 250, b"x", 11) for i in (3, 2, 1, 2))
    mixed = b"".join(_step(head, 2, i, head, b"ab") for i in (1, 2) for head in (0, 1, 2, 4))
    drifting = b"".join(_step(0, 3, i, 5 * i, b"abc"[:i]) for i in (1, 2, 3, 2))
    changed = _step(0, 3, 1, 0, b"old") + _step(0, 4, 1, 0, b"new") + _step(0, 4, 1, 0, b"newer")
    flood = b"".join(_step(0, 30, i, 0, bytes(255)) for i in range(1, 31))
    silent = _step(_OF_2011 | _OTHER_ID, 9, 1, 0, b"\0\0\0\x63") + _step(_OTHER_PHONE, 2, 1, 0, b"", 50) * 6
    again = (
        (_step(_FORGET, 2, 1, 0) + _step(_FORGET, 2, 2, 0)) * 2 + _step(_CLEAR, 5, 9, 0) + _step(_ENCRYPTED, 2, 1, 0)
    )
    return [in_order, backwards, mixed, drifting, changed, flood, silent, again]


def _step(head: int, total: int, index: int, first: int, body: bytes = b"", seconds: int = 0) -> bytes:
    """One step, as `_steps` takes it apart."""
    return bytes([head, total, index, first, seconds, len(body)]) + body


def _steps(choices: Choices) -> list[tuple[Packet, int, int]]:
    """(part, seconds since the last one, head)."""
    steps = []
    while choices and len(steps) < _MOST_STEPS:
        head, total, index, first, seconds = (choices.byte() for _ in range(5))
        modern, other = bool(head & _MODERN), bool(head & _OTHER_PHONE)
        packet = Packet(
            message=0x0900 if head & _OTHER_ID else 0x0801,
            serial=first - 128 + index - 1 & 0xFFFF,
            properties=SUBPACKAGED | (ENCRYPTION if head & _ENCRYPTED else 0),
            v2019=modern,
            phone=bytes([other] * (10 if modern else 6)),
            identity="2" if other else "1",
            part=(total, index),
            body=choices.octets(),
        )
        steps.append((packet, seconds, head))
    return steps


def _bounded(steps: list[tuple[Packet, int, int]], one: Reassembly) -> None:
    """Every message that was begun ends once: whole, lost with a reason, or cleared."""
    now, begun, ended = NOW, 0, 0
    for packet, seconds, head in steps:
        now += seconds * SECOND
        due = one.due(now, "2011" if head & _OF_2011 else None)
        assert all(len(ask.body) <= 1023 for ask in due.asks)
        ended += len(due.lost)
        before = len(one)
        taken = one.take(packet, now)
        whole = taken.came is Came.WHOLE
        assert whole == (taken.whole is not None)
        assert (taken.came is Came.REFUSED) == (taken.reason is not None)
        begun += len(one) - before + len(taken.lost) + whole
        ended += len(taken.lost) + whole
        if taken.whole is not None and head & _FORGET:
            one.forget(taken.whole)
        if head & _CLEAR:
            ended += len(one.clear())
            assert one.nbytes == 0
        held = [*one._gathering.values(), *one._finished.values()]
        assert one.nbytes == sum(each.nbytes for each in held) <= _SMALL.nbytes
        assert len(one) <= _SMALL.messages
        assert begun == ended + len(one)
    one.clear()
    assert (one.nbytes, len(one)) == (0, 0)
