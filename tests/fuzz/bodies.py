"""Bodies: any bytes as any message in any edition, through the catalogue, registration and description. BodyError alone is
allowed, and none where a packet is described.

An input: flags BYTE (1: the header of 2019; 2: any id, not the catalogue's; 4: describe the bytes as text), id WORD, body.
What is read can be written and read again, and is JSON that PostgreSQL stores.
"""

from __future__ import annotations

import orjson

from protocols.jt808 import catalogue, framing, registration, terminal
from protocols.jt808.body import BodyError
from protocols.jt808.catalogue import CATALOGUE
from protocols.jt808.describe import describe, describe_all
from tests.fuzz import seeds as made
from tests.fuzz.choices import Choices
from tests.protocols.frames import EDITIONS
from tests.protocols.test_messages import assert_stable

_MODERN, _ANY, _TEXT = 1, 2, 4
_IDS = sorted(CATALOGUE)


def check(data: bytes) -> None:
    choices = Choices(data)
    flags, number = choices.byte(), choices.word()
    message = number if flags & _ANY else _IDS[number % len(_IDS)]
    body, v2019 = choices.rest(), bool(flags & _MODERN)
    reads = _read(message, body, v2019=v2019)
    _forms(message, body)
    if message == registration.REGISTER:
        _allowed(registration.registration, body, v2019=v2019)
    if message == registration.AUTHENTICATE:
        _allowed(registration.authentication, body, v2019=v2019)
    _described(message, body, v2019=v2019, reads=reads)
    if flags & _TEXT:
        for said in describe_all(body.decode("utf-8", "replace")):
            orjson.dumps(said)


def seeds() -> list[bytes]:
    bodies = [(edition, *each) for edition in EDITIONS for each in made.said(edition)]
    spoken = [
        bytes([edition == "2019"]) + _IDS.index(message).to_bytes(2, "big") + body for edition, message, body in bodies
    ]
    silent = [bytes([v2019]) + i.to_bytes(2, "big") + bytes(60) for i in range(len(_IDS)) for v2019 in (0, 1)]
    frame = made.frames()[0]
    return [*spoken, *silent, b"\x06\xe0\x01" + frame.hex().encode(), b"\x06\xe0\x01" + frame.hex(" ").encode() * 2]


def _read(message: int, body: bytes, *, v2019: bool) -> bool:
    """Whether it reads."""
    try:
        edition, values = catalogue.read(message, body, v2019=v2019)
    except BodyError as error:
        assert message in CATALOGUE
        _explained(error)
        return False
    _stored(values)
    again = _allowed(catalogue.encode, message, values, edition)
    if again is None:  # what was no text is longer as the sign that says so
        assert "\ufffd" in str(values)
    else:
        catalogue.read(message, again, v2019=v2019)
    return True


def _forms(message: int, body: bytes) -> None:
    """Each edition's own reading, and each layout once: what was read is written and read the same."""
    for edition in EDITIONS:
        _allowed(catalogue.decode, message, body, edition)
    if message in CATALOGUE:
        forms = {id(form): form for edition in EDITIONS for form in CATALOGUE[message].layouts(edition)}
        for form in forms.values():
            assert_stable(form, body)


def _described(message: int, body: bytes, *, v2019: bool, reads: bool) -> None:
    if len(body) > framing.MAX_BODY:
        return
    edition = "2019" if v2019 else "2013"
    frame = framing.encode(message, body, terminal.phone_bcd(made.PHONE, edition), edition, 7)
    said = describe(frame.hex())
    _stored(said)
    assert ("error" in said) != reads
    assert said["message_id"] == f"0x{message:04x}"


def _allowed(function, *given, **named):
    """What it returns; None where it raises the one exception that it may."""
    try:
        return function(*given, **named)
    except BodyError as error:
        _explained(error)
        return None


def _explained(error: BodyError) -> None:
    assert " | " in str(error)


def _stored(values: object) -> None:
    assert b"\\u0000" not in orjson.dumps(values)
