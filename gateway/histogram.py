"""Histogram: how long something took, counted in buckets whose bounds never change, for /metrics.

Invariants: counts only grow while the process lives; every observation is in exactly one bucket (the last has no bound).
It keeps no label and no time: what it measures, and of whom, is said by whoever publishes it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds. Dense where the bars are (an acknowledgement 50 ms, an alarm 1 s), thin where all is lost anyway.
LATENCY = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """``bounds``: ascending; a value that equals a bound is counted below it, as Prometheus's `le` says."""

    def __init__(self, bounds: Sequence[float] = LATENCY) -> None:
        self.bounds = tuple(float(bound) for bound in bounds)
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds must ascend: {bounds}")
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """``times``: how many had this value, so that a batch is one call."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def to_json(self) -> dict[str, Any]:
        """{"le": bounds, "counts": of each bucket alone, the last without a bound; "sum"}: for a process's status."""
        return {"le": list(self.bounds), "counts": list(self.counts), "sum": self.sum}
