"""Weather: what may go wrong in one run, and how often. Each seed has its own mixture, some of them fair.

Of every kind of fault a run has much, little or none at all, so that one kind does not hide what another would show.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.loop import VirtualLoop

KINDS = (
    "drop", "delay", "duplicate", "late_copy", "refuse", "lose_delivery", "log_down",
    "edge_crash", "edge_stall", "edge_restart", "worker_crash", "worker_stall", "reset", "clock",
    "cut", "database_down", "lock_lost", "doubt", "edit", "flap", "blind", "resend", "mad_clock", "garbage", "stranger", "crash_at_call", "refused_rows", "poison",
    "shares",
)  # fmt: skip
LATE_COPY_S = 150.0  # beyond the log's window for message ids


class Weather:
    """``bad``: whether a fault of this kind happens now; all is fair once ``healed``; who dies when it is ``over`` stays dead."""

    def __init__(self, seed: int, loop: VirtualLoop, say: Callable[[str], None]) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.loop = loop
        self.say = say
        self.healed = self.over = False
        self.rate = {kind: self.random.choice([0.0, 0.0, 1.0, 4.0]) for kind in KINDS}
        say("weather " + " ".join(f"{kind}={rate:g}" for kind, rate in self.rate.items() if rate))

    def bad(self, kind: str, chance: float) -> bool:
        """chance: of a rate of 1."""
        return not self.healed and self.rate[kind] > 0 and self.random.random() < chance * self.rate[kind]

    def has(self, kind: str) -> bool:
        return self.rate[kind] > 0

    def latency(self) -> float:
        """Of one message from here to there, seconds."""
        if self.bad("delay", 0.02):
            return self.random.choice([0.2, 1.0, 4.0]) * self.random.random()
        return 0.0002 + self.random.expovariate(1 / 0.001)

    def pause(self, mean_s: float) -> float:
        return self.random.expovariate(1 / mean_s)


class Channel:
    """One direction of a connection: in order, and nothing after it is cut."""

    def __init__(self, weather: Weather) -> None:
        self.weather = weather
        self.open = True
        self._last = 0.0

    def send(self, callback: Callable[..., object], *args: object) -> None:
        loop = self.weather.loop
        self._last = max(self._last, loop.time() + self.weather.latency())
        loop.after(self._last - loop.time(), self._arrive, callback, args)

    def _arrive(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        if self.open:
            callback(*args)
