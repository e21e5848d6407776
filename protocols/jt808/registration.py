"""Bodies of 0x0100 (终端注册) and 0x0102 (终端鉴权): three editions, told apart by shape.

    0x0100   province WORD, city WORD, then
             2011  maker[5] 4   model[8] 9    id[7] 17   colour 24  plate 25..
             2013  maker[5] 4   model[20] 9   id[7] 29   colour 36  plate 37..
             2019  maker[11] 4  model[30] 15  id[30] 45  colour 75  plate 76..
    0x0102   2011, 2013: code;  2019: n BYTE, code[n], IMEI[15], software version[20]

The header tells 2019, the body alone the other two. Its length does not: a 2011 plate of twelve bytes makes a body as
long as one of 2013 (a Chinese machine number is that long), and would be read as a model. So the fields are asked whether
they look like what they should be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocols.jt808.framing import Edition

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_COLOUR = 9  # JT/T 415: 1 to 4 and 9, 0 without a plate; a character of a plate is never that small


class BodyError(ValueError):
    """The body does not have the shape of its message: answered with result 2, counted as Reason.BODY."""


@dataclass(frozen=True, slots=True)
class _Layout:
    edition: Edition
    maker: slice
    model: slice
    terminal_id: slice
    colour: int


_2011 = _Layout("2011", slice(4, 9), slice(9, 17), slice(17, 24), 24)
_2013 = _Layout("2013", slice(4, 9), slice(9, 29), slice(29, 36), 36)
_2019 = _Layout("2019", slice(4, 15), slice(15, 45), slice(45, 75), 75)


@dataclass(frozen=True, slots=True)
class Registration:
    """province, city: GB/T 2260 as two numbers (Liaocheng Dongchangfu 371502 -> 37, 1502); plate_colour: JT/T 697.7."""

    edition: Edition
    province: int
    city: int
    maker: str
    model: str
    terminal_id: str
    plate_colour: int
    plate: str


@dataclass(frozen=True, slots=True)
class Authentication:
    """imei and version are empty save in the 2019 edition, and there too where the terminal left them out."""

    code: str
    imei: str = ""
    version: str = ""


def text(data: bytes) -> str:
    """A STRING or a padded BYTE[n]: terminals pad with zeros or spaces, before or after. GBK by its superset.

    A zero inside ends it, as in C: what follows was never cleared. No control character is let through: PostgreSQL
    stores no U+0000, and a person would not see the others.
    """
    said, _, _ = data.strip(b"\x00 ").partition(b"\x00")
    return _CONTROLS.sub("\ufffd", said.rstrip(b" ").decode("gb18030", "replace"))


def registration(body: bytes, *, v2019: bool) -> Registration:
    """Raises BodyError where the body is shorter than its edition's fixed part."""
    layout = _2019 if v2019 else _legacy(body)
    if len(body) <= layout.colour:
        raise BodyError(f"0x0100 has {len(body)} bytes, a {layout.edition} one has {layout.colour + 1} and a plate")
    return Registration(
        edition=layout.edition,
        province=int.from_bytes(body[:2], "big"),
        city=int.from_bytes(body[2:4], "big"),
        maker=text(body[layout.maker]),
        model=text(body[layout.model]),
        terminal_id=text(body[layout.terminal_id]),
        plate_colour=body[layout.colour],
        plate=text(body[layout.colour + 1 :]),
    )


def _legacy(body: bytes) -> _Layout:
    if len(body) <= _2013.colour:
        return _2011
    return _2011 if _looks_like(body, _2011) and not _looks_like(body, _2013) else _2013


def _looks_like(body: bytes, layout: _Layout) -> bool:
    fields = (body[layout.maker], body[layout.model], body[layout.terminal_id], body[layout.colour + 1 :])
    return body[layout.colour] <= _MAX_COLOUR and all(min(field.strip(b"\x00 "), default=32) >= 32 for field in fields)


def authentication(body: bytes, *, v2019: bool) -> Authentication:
    """Accepts a 2019 body with a short or absent tail. Raises BodyError where it holds no whole code."""
    if not v2019:
        if not body:
            raise BodyError("0x0102 is empty")
        return Authentication(text(body))
    end = 1 + body[0] if body else 0
    if not 1 < end <= len(body):
        raise BodyError(f"0x0102 has {len(body)} bytes, and its code would end at {end}")
    return Authentication(text(body[1:end]), text(body[end : end + 15]), text(body[end + 15 : end + 35]))
