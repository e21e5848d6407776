"""Reading and writing one message body, byte by byte, with the place of whatever is wrong.

A Reader walks over given bytes, a Writer collects them; both know the field at hand, so that every refusal names it and
its offset. What reads but does not look like what it should be is a doubt, not an error: the catalogue prefers a layout
without doubts where several fit.
"""

from __future__ import annotations


class BodyError(ValueError):
    """The body, or the values for one, do not have the shape of their message.

    A terminal is answered with result 2 and the body counted as Reason.BODY. field: the innermost one that is wrong;
    offset: in the body, in bytes.
    """

    def __init__(self, message: str, field: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.field, self.offset = field, offset


def _error(field: str, offset: int, english: str, chinese: str) -> BodyError:
    where = f"{field} at byte {offset}: {english} | {field}(第 {offset} 字节):{chinese}"
    return BodyError(where, field, offset)


class Reader:
    """The bytes data[at:end]. doubts: names of the fields that do not look like what they should be."""

    __slots__ = ("at", "data", "doubts", "end", "field")

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.end = data, 0, len(data)
        self.field = "body"
        self.doubts: list[str] = []

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, size: int) -> bytes:
        """The next bytes. Raises BodyError where fewer are left."""
        self._need(size)
        start, self.at = self.at, self.at + size
        return self.data[start : self.at]

    def peek(self, ahead: int) -> int:
        """The byte that stands so many bytes further on. Raises BodyError where there is none."""
        self._need(ahead + 1)
        return self.data[self.at + ahead]

    def rest(self) -> bytes:
        return self.take(self.left)

    def part(self, size: int) -> Reader:
        """The next bytes as a reader of their own, which this one skips; its doubts are this one's."""
        inner = Reader(self.data)
        inner.at, inner.field, inner.doubts = self.at, self.field, self.doubts
        self.take(size)
        inner.end = self.at
        return inner

    def doubt(self) -> None:
        self.doubts.append(self.field)

    def error(self, english: str, chinese: str) -> BodyError:
        return _error(self.field, self.at, english, chinese)

    def _need(self, size: int) -> None:
        if size > self.left:
            raise self.error(f"{size} bytes needed, {self.left} left", f"需要 {size} 字节,只剩 {self.left} 字节")


class Writer:
    """Bytes so far; `start` is where they begin in the body."""

    __slots__ = ("data", "field", "start")

    def __init__(self, start: int = 0) -> None:
        self.data, self.start = bytearray(), start
        self.field = "body"

    def put(self, data: bytes) -> None:
        self.data += data

    def part(self, ahead: int) -> Writer:
        """A writer for what stands `ahead` bytes further on, behind a length that is not known yet."""
        inner = Writer(self.start + len(self.data) + ahead)
        inner.field = self.field
        return inner

    def error(self, english: str, chinese: str) -> BodyError:
        return _error(self.field, self.start + len(self.data), english, chinese)
