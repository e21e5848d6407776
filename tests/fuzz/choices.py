"""Choices: an input's bytes taken as decisions, from the front. What is not there is zero, so any bytes are a whole test."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Choices:
    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """At most so many bytes."""
        start, self._at = self._at, self._at + size
        return self._data[start : self._at]

    def byte(self) -> int:
        return int.from_bytes(self.take(1), "big")

    def word(self) -> int:
        return int.from_bytes(self.take(2).ljust(2, b"\x00"), "big")

    def pick(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def octets(self) -> bytes:
        """A length BYTE and its bytes."""
        return self.take(self.byte())

    def rest(self) -> bytes:
        return self.take(len(self._data))
