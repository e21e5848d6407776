"""What a terminal says of itself before it is heard: 0x0100 (终端注册) and 0x0102 (终端鉴权), as the session wants them.

The layouts of the three editions stand in `messages.registration`; `catalogue.read` tells them apart by shape. Length
alone does not: a 2011 plate of twelve bytes makes a body as long as one of 2013 (a Chinese machine number is that long),
and would be read as a model. There the colour and the texts do not look like what they should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocols.jt808 import catalogue
from protocols.jt808.body import BodyError
from protocols.jt808.fields import text

if TYPE_CHECKING:
    from protocols.jt808.framing import Edition

__all__ = ["Authentication", "BodyError", "Registration", "authentication", "registration", "text"]

REGISTER, AUTHENTICATE = 0x0100, 0x0102


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


def registration(body: bytes, *, v2019: bool) -> Registration:
    """v2019: the header's layout. Raises BodyError where the body is shorter than its edition's fixed part."""
    edition, values = catalogue.read(REGISTER, body, v2019=v2019)
    return Registration(edition=edition, **values)


def authentication(body: bytes, *, v2019: bool) -> Authentication:
    """Accepts a 2019 body with a short or absent tail. Raises BodyError where it holds no whole code."""
    _, values = catalogue.read(AUTHENTICATE, body, v2019=v2019)
    return Authentication(values["code"], values.get("imei", ""), values.get("version", ""))
