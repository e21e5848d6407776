"""Every message of JT/T 808, read and written in every edition that has it.

The header says no more than 2019 or not, and some terminals have that wrong. So `read` tries the layouts that a message
has, and takes the first that ends where the body ends and whose fields look like what they should be: those of the
header's own editions first, newest first, then the others. Where none does, the header's newest that reads at all.

    header       tried in this order
    2019         2019 | 2013, 2011
    2011, 2013   2013, 2011 | 2019

What is not in the catalogue is no error: its bytes pass through as hex, with the range that its id lies in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from protocols.jt808 import layout
from protocols.jt808.body import BodyError, Writer
from protocols.jt808.fields import OCTETS
from protocols.jt808.layout import TAIL
from protocols.jt808.messages import (
    areas,
    can_bus,
    control,
    general,
    location,
    media,
    parameters,
    passthrough,
    recorder,
    registration,
    telephone,
    text_and_events,
    vehicle_control,
    waybill_and_driver,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocols.jt808.framing import Edition
    from protocols.jt808.layout import Decoded, Layout
    from protocols.jt808.messages.message import Message

_PARTS = (
    general, registration, parameters, control, location, text_and_events, telephone, vehicle_control, areas, recorder,
    waybill_and_driver, can_bus, media, passthrough,
)  # fmt: skip
CATALOGUE: dict[int, Message] = {message.id: message for part in _PARTS for message in part.MESSAGES}

_LEGACY: tuple[Edition, ...] = ("2013", "2011")
_MODERN: tuple[Edition, ...] = ("2019",)


class Range(NamedTuple):
    """Ids that the standard leaves to others, first to last, and their names."""

    first: int
    last: int
    key: str
    name: str
    name_zh: str


RANGES = (
    Range(0x0F00, 0x0FFF, "reserved", "reserved, from the terminal", "终端上行消息保留"),
    Range(0x8F00, 0x8FFF, "reserved", "reserved, from the platform", "平台下行消息保留"),
    Range(0x1000, 0x1FFF, "jt1078", "video (JT/T 1078), from the terminal", "视频上行消息(JT/T 1078)"),
    Range(0x9000, 0x9FFF, "jt1078", "video (JT/T 1078), from the platform", "视频下行消息(JT/T 1078)"),
    Range(0xE000, 0xEFFF, "vendor", "the vendor's, from the terminal", "厂商自定义上行消息"),
    Range(0xF000, 0xFFFF, "vendor", "the vendor's, from the platform", "厂商自定义下行消息"),
)
UNASSIGNED = Range(0x0000, 0xFFFF, "unassigned", "unassigned", "未定义消息")


class Body(NamedTuple):
    """edition: of the layout that was read; values: as `layout.decode` gives them."""

    edition: Edition
    values: dict[str, Any]


def names(message: int) -> tuple[str, str]:
    """(English, Chinese) name of a message, or of the range that its id lies in."""
    known = CATALOGUE.get(message) or _range(message)
    return known.name, known.name_zh


def read(message: int, body: bytes, *, v2019: bool) -> Body:
    """The values of a whole body, and the edition whose layout it has. v2019: the header's layout.

    Raises BodyError where it reads in no edition.
    """
    known = CATALOGUE.get(message)
    if known is None:
        return Body("2019" if v2019 else "2013", _raw(message, body))
    own, foreign = (_MODERN, _LEGACY) if v2019 else (_LEGACY, _MODERN)
    if not any(known.layouts(edition) for edition in own):
        own, foreign = foreign, own
    tried = _Tried()
    for edition, form in _layouts(known, own):
        tried.add(edition, form, body)
    best = tried.best()
    if best and best.decoded.clean:
        return Body(best.edition, best.decoded.values)
    others = _Tried()
    for edition, form in _layouts(known, foreign):
        others.add(edition, form, body)
    better = others.best()
    if better and better.decoded.clean:
        best = better
    if best:
        return Body(best.edition, best.decoded.values)
    raise tried.errors[0]


def decode(message: int, body: bytes, edition: Edition) -> dict[str, Any]:
    """The values of a whole body in this very edition. Raises BodyError where it does not read, or the edition lacks
    the message.
    """
    known = CATALOGUE.get(message)
    if known is None:
        return _raw(message, body)
    tried = _Tried()
    for form in _forms(known, edition):
        tried.add(edition, form, body)
    best = tried.best()
    if best:
        return best.decoded.values
    raise tried.errors[0]


def encode(message: int, values: dict[str, Any], edition: Edition) -> bytes:
    """The body for such values as `decode` gives. Raises BodyError, naming the field, where they do not make one.

    Where an edition has several layouts, the first that takes the values.
    """
    known = CATALOGUE.get(message)
    if known is None:
        writer = Writer()
        writer.field = "hex"
        OCTETS.write(writer, values.get("hex") if isinstance(values, dict) else None, {})
        return bytes(writer.data)
    errors = []
    for form in _forms(known, edition):
        try:
            return layout.encode(form, values)
        except BodyError as error:
            errors.append(error)
    raise errors[0]


class _Attempt(NamedTuple):
    edition: Edition
    form: Layout
    decoded: Decoded

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Least is best; of equals the first."""
        return self.decoded.doubts > 0, TAIL in self.decoded.values, self.form.loose


class _Tried:
    """Layouts tried on one body: those that read, and why the others did not."""

    def __init__(self) -> None:
        self.attempts: list[_Attempt] = []
        self.errors: list[BodyError] = []

    def add(self, edition: Edition, form: Layout, body: bytes) -> None:
        try:
            self.attempts.append(_Attempt(edition, form, layout.decode(form, body)))
        except BodyError as error:
            self.errors.append(error)

    def best(self) -> _Attempt | None:
        return min(self.attempts, key=lambda attempt: attempt.rank, default=None)


def _layouts(message: Message, editions: tuple[Edition, ...]) -> Iterator[tuple[Edition, Layout]]:
    """Each layout once, under the newest edition that has it."""
    seen: list[Layout] = []
    for edition in editions:
        for form in message.layouts(edition):
            if not any(form is each for each in seen):
                seen.append(form)
                yield edition, form


def _forms(message: Message, edition: Edition) -> tuple[Layout, ...]:
    forms = message.layouts(edition)
    if not forms:
        number = f"0x{message.id:04x}"
        raise BodyError(f"{number} is not a message of {edition} | {edition} 版没有消息 {number}")
    return forms


def _range(message: int) -> Range:
    return next((each for each in RANGES if each.first <= message <= each.last), UNASSIGNED)


def _raw(message: int, body: bytes) -> dict[str, Any]:
    return {"hex": body.hex(), "range": _range(message).key}
