"""Rows that all snapshots of a grid share: what is there keeps its number and its content, what is new comes after it."""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

# numpy asks the kernel for huge pages from 4 MiB on: a look-up in tables with them took 50 ns a point, without 53 (medians of
# 13 alternating rounds, 160 zones). Small tables don't need them.
_HUGE, _SMALL = 1 << 22, 1 << 19


class Pool(Generic[T]):
    """An append-only array. ``rows`` may be longer than what is in use; take it anew for each use, since it may grow."""

    def __init__(self, rows: NDArray[T]) -> None:
        self.rows = rows
        self.used = len(rows)
        self._lock = Lock()

    def put(self, rows: NDArray[T]) -> int:
        """Appends rows; the number of the first."""
        with self._lock:
            first, self.used = self.used, self.used + len(rows)
            if self.used > len(self.rows):
                row = self.rows.itemsize * math.prod(self.rows.shape[1:])
                # Twice what is needed: memory that nothing was written to is not resident.
                room = max(2 * self.used, _HUGE // row) if self.used * row > _SMALL else 2 * self.used
                grown: NDArray[Any] = np.empty((room, *self.rows.shape[1:]), self.rows.dtype)
                grown[:first] = self.rows[:first]
                self.rows = grown
            self.rows[first : self.used] = rows
            return first
