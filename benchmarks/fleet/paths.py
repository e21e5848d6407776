"""True paths: straight legs at constant speed, and the exact times at which they are within a shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_LONG = 1e8
"""More seconds than any simulation has: machine * _LONG + time puts all machines on one axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Intervals of true time [begin, end) in s, by machine and time; those of one machine don't overlap once joined."""

    machine: Ints
    begin: Floats
    end: Floats

    def __len__(self) -> int:
        return len(self.machine)

    def take(self, index: NDArray[Any]) -> Spans:
        return Spans(self.machine[index], self.begin[index], self.end[index])

    def joined(self, gap_s: float = 1e-6) -> Spans:
        """One span where the next begins within ``gap_s`` of the end of those before."""
        if not len(self):
            return self
        order = np.lexsort((self.begin, self.machine))
        machine = self.machine[order]
        begin, end = self.begin[order] + machine * _LONG, self.end[order] + machine * _LONG
        reach = np.maximum.accumulate(end)
        first = np.flatnonzero(np.append(True, begin[1:] > reach[:-1] + gap_s))
        last = np.append(first[1:], len(begin)) - 1
        machine = machine[first]
        return Spans(machine, begin[first] - machine * _LONG, reach[last] - machine * _LONG)

    def touching(self, machine: int, begin: float, end: float) -> Ints:
        """Indices of this machine's spans that share a moment with [begin, end]; the spans are joined."""
        first, last = np.searchsorted(self.machine, (machine, machine + 1))
        low = first + np.searchsorted(self.end[first:last], begin)
        high = first + np.searchsorted(self.begin[first:last], end, side="right")
        return np.arange(low, high)


def together(parts: list[Spans]) -> Spans:
    return Spans(
        np.concatenate([part.machine for part in parts]),
        np.concatenate([part.begin for part in parts]),
        np.concatenate([part.end for part in parts]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Legs by machine and time, without gaps: from (x0, y0) at ``begin`` to (x1, y1) at ``end``; metres, seconds.

    engine: ACC on, and not carried.
    """

    machine: Ints
    begin: Floats
    end: Floats
    x0: Floats
    y0: Floats
    x1: Floats
    y1: Floats
    engine: NDArray[np.bool_]

    def legs_at(self, machine: Ints, time: Floats) -> Ints:
        """The leg of each machine at each time."""
        return np.searchsorted(self.begin + self.machine * _LONG, time + machine * _LONG, side="right") - 1

    def places(self, legs: Ints, time: Floats) -> tuple[Floats, Floats]:
        """Metres east and north."""
        share = (time - self.begin[legs]) / np.maximum(self.end[legs] - self.begin[legs], 1e-9)
        return (
            self.x0[legs] + share * (self.x1[legs] - self.x0[legs]),
            self.y0[legs] + share * (self.y1[legs] - self.y0[legs]),
        )

    def speeds_kmh(self) -> Floats:
        """Of each leg."""
        return np.hypot(self.x1 - self.x0, self.y1 - self.y0) / np.maximum(self.end - self.begin, 1e-9) * 3.6

    def within(self, shape: Any, machines: NDArray[np.bool_]) -> Spans:
        """When the chosen machines (a flag by machine) are within the shape or on its line, joined."""
        legs = np.flatnonzero(machines[self.machine])
        a = np.column_stack([self.x0[legs], self.y0[legs]])
        b = np.column_stack([self.x1[legs], self.y1[legs]])
        leg, share = _cuts(shape, a, b)
        order = np.lexsort((share, leg))
        leg, share = leg[order], share[order]
        whole = np.flatnonzero(leg[1:] == leg[:-1])  # from this cut to the next, on the same leg
        middle = (share[whole] + share[whole + 1]) / 2
        on = leg[whole]
        at = a[on] + middle[:, None] * (b - a)[on]
        shapely.prepare(shape)
        kept = whole[shapely.intersects_xy(shape, at[:, 0], at[:, 1])]
        length = (self.end - self.begin)[legs]
        on = leg[kept]
        start = self.begin[legs][on]
        spans = Spans(self.machine[legs][on], start + share[kept] * length[on], start + share[kept + 1] * length[on])
        return spans.joined()


def _cuts(shape: Any, a: Floats, b: Floats) -> tuple[Ints, Floats]:
    """(leg, share of its length): both ends of every leg, and wherever it meets the shape's line."""
    line = shapely.boundary(shape)
    shapely.prepare(line)
    moving = np.flatnonzero((a != b).any(axis=1))
    legs = shapely.linestrings(np.stack([a[moving], b[moving]], axis=1))
    meeting = np.flatnonzero(shapely.intersects(line, legs))
    points, index = shapely.get_coordinates(shapely.intersection(legs[meeting], line), return_index=True)
    hit = moving[meeting][index]
    along = (b - a)[hit]
    share = ((points - a[hit]) * along).sum(1) / (along**2).sum(1)
    count = np.arange(len(a))
    return (
        np.concatenate([count, count, hit]),
        np.concatenate([np.zeros(len(a)), np.ones(len(a)), np.clip(share, 0, 1)]),
    )
