"""How long to wait before the next try: ever longer, and never in step with others that wait for the same thing."""

from __future__ import annotations

import random

JITTER = 0.5  # of the pause, either way: a fleet of processes must not knock at one moment when a server comes back


class Pauses:
    """next() grows from ``first`` to ``longest`` seconds; start_again() after a success."""

    def __init__(self, first: float = 0.1, longest: float = 2.0) -> None:
        self._first = first
        self._longest = longest
        self._pause = first

    def next(self) -> float:
        pause, self._pause = self._pause, min(self._longest, 2 * self._pause)
        return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311

    def start_again(self) -> None:
        self._pause = self._first
