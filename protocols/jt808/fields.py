"""The fields that bodies are made of: one frozen descriptor each, which reads a value from bytes and writes it back.

Values are what JSON can hold. Integers are big-endian and unsigned, STRING is GBK, and BYTE[n] is hex digits in lower
case. `write` takes what `read` gives; both raise BodyError alone, whatever they are given. `layout` puts fields together.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocols.jt808.body import Reader, Writer

    Scope = Mapping[str, Any]
    """The values of the layout that are known so far, and those of the layouts around it."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_PADDING = b"\x00 "
_MICRODEGREE = 1_000_000


class Field(ABC):
    """read and write move on by the field's own bytes, read_whole and write_whole expect it to fill what is left."""

    @abstractmethod
    def read(self, reader: Reader, scope: Scope) -> Any: ...

    @abstractmethod
    def write(self, writer: Writer, value: Any, scope: Scope) -> None: ...

    def read_whole(self, reader: Reader, scope: Scope) -> Any:
        value = self.read(reader, scope)
        if reader.left:
            raise reader.error(f"{reader.left} bytes too many", f"多出 {reader.left} 字节")
        return value

    def write_whole(self, writer: Writer, value: Any, scope: Scope) -> None:
        self.write(writer, value, scope)

    def present(self, reader: Reader, scope: Scope) -> bool:  # noqa: ARG002 (conditional fields override it)
        """Whether a body has the field at all."""
        return True

    def wanted(self, scope: Scope, *, given: bool) -> bool:  # noqa: ARG002
        """Whether a body is to have the field; given: whether there is a value for it."""
        return True


def text(data: bytes) -> str:
    """A STRING or a padded BYTE[n]: terminals pad with zeros or spaces, before or after. GBK by its superset.

    A zero inside ends it, as in C: what follows was never cleared. No control character is let through: PostgreSQL
    stores no U+0000, and a person would not see the others.
    """
    said, _, _ = data.strip(_PADDING).partition(b"\x00")
    return _CONTROLS.sub("\ufffd", said.rstrip(b" ").decode("gb18030", "replace"))


@dataclass(frozen=True, slots=True)
class Uint(Field):
    """BYTE, WORD or DWORD. most: the largest value that is plausible; beyond it a reader doubts the layout."""

    size: int
    most: int | None = None

    def read(self, reader: Reader, scope: Scope) -> int:  # noqa: ARG002
        value = int.from_bytes(reader.take(self.size), "big")
        if self.most is not None and value > self.most:
            reader.doubt()
        return value

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        writer.put(_integer(writer, value, 0, (1 << 8 * self.size) - 1).to_bytes(self.size, "big"))


BYTE, WORD, DWORD = Uint(1), Uint(2), Uint(4)


@dataclass(frozen=True, slots=True)
class Metres(Field):
    """WORD, height in m: unsigned in the standard, but terminals below the sea send 0x8000 and above."""

    def read(self, reader: Reader, scope: Scope) -> int:  # noqa: ARG002
        return int.from_bytes(reader.take(2), "big", signed=True)

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        writer.put(_integer(writer, value, -0x8000, 0x7FFF).to_bytes(2, "big", signed=True))


@dataclass(frozen=True, slots=True)
class Tenths(Field):
    """An unsigned integer that counts tenths: 123 is 12.3."""

    size: int

    def read(self, reader: Reader, scope: Scope) -> float:  # noqa: ARG002
        return int.from_bytes(reader.take(self.size), "big") / 10

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        number = round(_number(writer, value) * 10)
        writer.put(_integer(writer, number, 0, (1 << 8 * self.size) - 1).to_bytes(self.size, "big"))


@dataclass(frozen=True, slots=True)
class Degrees(Field):
    """DWORD, 1e-6 degrees without a sign: `bit` of the value `flags` says south or west. Signed degrees here.

    The flags were read before, or are the byte that stands `ahead` bytes after the field's first.
    """

    flags: str
    bit: int
    ahead: int | None = None

    def read(self, reader: Reader, scope: Scope) -> float:
        flags = scope[self.flags] if self.ahead is None else reader.peek(self.ahead)
        value = int.from_bytes(reader.take(4), "big")
        return (-value if flags >> self.bit & 1 else value) / _MICRODEGREE

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        flags = scope.get(self.flags)
        number = round(_number(writer, value) * _MICRODEGREE)
        if isinstance(flags, int) and flags >> self.bit & 1:
            number = -number
        if number < 0:
            flag = f"bit {self.bit} of {self.flags}"
            raise writer.error(f"its sign contradicts {flag}", f"正负号与 {self.flags} 第 {self.bit} 位不符")
        writer.put(_integer(writer, number, 0, 0xFFFFFFFF).to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class MessageId(Field):
    """WORD, a message id: "0x0200"."""

    def read(self, reader: Reader, scope: Scope) -> str:  # noqa: ARG002
        return f"0x{reader.take(2).hex()}"

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        if not (isinstance(value, str) and len(value) == 6 and value.startswith("0x") and _HEX.fullmatch(value[2:])):
            raise writer.error("not a message id such as 0x0200", "不是 0x0200 形式的消息 ID")
        writer.put(bytes.fromhex(value[2:]))


@dataclass(frozen=True, slots=True)
class Octets(Field):
    """BYTE[size], or all that is left: hex digits."""

    size: int | None = None

    def read(self, reader: Reader, scope: Scope) -> str:  # noqa: ARG002
        return reader.take(reader.left if self.size is None else self.size).hex()

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        if not (isinstance(value, str) and _HEX.fullmatch(value)):
            raise writer.error("not an even number of lower-case hexadecimal digits", "不是偶数个小写十六进制数字")
        if self.size is not None and len(value) != 2 * self.size:
            raise writer.error(f"{2 * self.size} digits needed", f"需要 {2 * self.size} 位数字")
        writer.put(bytes.fromhex(value))


@dataclass(frozen=True, slots=True)
class Bcd(Octets):
    """BCD[size]: 2 * size digits. A nibble above 9, which some terminals send, stays a letter from a to f."""


@dataclass(frozen=True, slots=True)
class Time(Field):
    """BCD[6] YYMMDDhhmmss: ISO 8601 with its offset, "2025-03-28T09:30:15+08:00".

    What is no date and time of this century stays twelve digits: 000000hhmmss is every day in an area's period, all
    zeros no limit in a search, and anything else a clock that is not set. hours: GMT+8 save in 0x8004.
    """

    hours: int = 8

    def read(self, reader: Reader, scope: Scope) -> str:  # noqa: ARG002
        digits = reader.take(6).hex()
        if digits.isdigit():
            year, *rest = (int(digits[i : i + 2]) for i in range(0, 12, 2))
            try:
                return datetime(2000 + year, *rest, tzinfo=self._zone).isoformat()  # type: ignore[arg-type, misc]
            except ValueError:
                pass
        if digits[:6].strip("0"):
            reader.doubt()
        return digits

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        if not isinstance(value, str):
            raise writer.error("not a time", "不是时间")
        if len(value) == 12 and _HEX.fullmatch(value):
            writer.put(bytes.fromhex(value))
            return
        try:
            time = datetime.fromisoformat(value)
        except ValueError as error:
            raise writer.error("not a time in ISO 8601", "不是 ISO 8601 时间") from error
        if time.tzinfo is None:
            raise writer.error("a time without its offset from UTC", "时间缺少时区")
        if not 1999 <= time.year <= 2100 or not 2000 <= (local := time.astimezone(self._zone)).year < 2100:
            raise writer.error("not between 2000 and 2099", "不在 2000 至 2099 年之间")
        writer.put(bytes.fromhex(local.strftime("%y%m%d%H%M%S")))

    @property
    def _zone(self) -> timezone:
        return timezone(timedelta(hours=self.hours))


@dataclass(frozen=True, slots=True)
class Text(Field):
    """STRING to the end of what is left, or a text in BYTE[size].

    Written with `pad` behind it, or `before` it; read with whatever padding it has. short: a body may end within it;
    filled: an empty one is an error.
    """

    size: int | None = None
    pad: bytes = b"\x00"
    before: bool = False
    short: bool = False
    filled: bool = False

    def read(self, reader: Reader, scope: Scope) -> str:  # noqa: ARG002
        size = reader.left if self.size is None else self.size
        data = reader.take(min(size, reader.left) if self.short else size)
        value = text(data)
        if self.filled and not value:
            raise reader.error("empty", "为空")
        if value.encode("gb18030") != data.strip(_PADDING):
            reader.doubt()
        return value

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:  # noqa: ARG002
        if not isinstance(value, str):
            raise writer.error("not a text", "不是文本")
        if self.filled and not value:
            raise writer.error("empty", "为空")
        if _CONTROLS.search(value):
            raise writer.error("a control character", "含有控制字符")
        try:
            data = value.encode("gb18030")  # the bytes of GBK wherever GBK has the character
        except UnicodeEncodeError as error:
            raise writer.error("a character that GBK and GB 18030 lack", "含有国标编码没有的字符") from error
        if self.size is not None:
            if len(data) > self.size:
                raise writer.error(f"does not fit {self.size} bytes", f"超过 {self.size} 字节")
            data = data.rjust(self.size, self.pad) if self.before else data.ljust(self.size, self.pad)
        writer.put(data)


TEXT, OCTETS = Text(), Octets()


def _integer(writer: Writer, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise writer.error(f"not an integer from {least} to {most}", f"不是 {least} 至 {most} 的整数")
    return value


def _number(writer: Writer, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e12:
        raise writer.error("not a number", "不是数值")
    return value
