"""Throttle: how many failures one key may have in a window. Kept in memory: a restart forgives."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Keys kept at most; the oldest goes first. An attacker who fills it only buys slow guesses by other names.
_MOST_KEYS = 10_000


class Throttle:
    def __init__(
        self, failures: int = 5, window_seconds: float = 900.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failures = failures
        self.window = window_seconds
        self.clock = clock
        self._seen: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, key: str) -> int:
        """Seconds until this key may try again; 0: now."""
        recent = [at for at in self._seen.get(key, ()) if at > self.clock() - self.window]
        if len(recent) < self.failures:
            return 0
        return int(recent[-self.failures] + self.window - self.clock()) + 1

    def failed(self, key: str) -> None:
        self._seen.setdefault(key, []).append(self.clock())
        self._seen[key] = self._seen[key][-self.failures :]
        self._seen.move_to_end(key)
        while len(self._seen) > _MOST_KEYS:
            self._seen.popitem(last=False)

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)
