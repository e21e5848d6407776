"""What goes wrong with terminals, one fault a machine, so that a result can be laid at one fault's door.

A fault changes columns of reports: the device's clock, when and whether it sends, what it says of its fix. Times are true
seconds since the run's start until the reports are encoded; the device's own clock is a column beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_HOUR_S = 3_600
_YEAR_S = 365 * 86_400
_EPOCH_2000 = 946_656_000  # 2000-01-01T00:00 in GMT+8, s since 1970 UTC
_EPOCH_1970 = -8 * _HOUR_S  # 1970-01-01T00:00 in GMT+8
_RESUME_S = 0.2  # from one 0x0704 of ten stored reports to the next


@dataclass(frozen=True, slots=True, eq=False)
class Reports:
    """One terminal's reports, equal-length columns by true time.

    true: s since the run's start; clock: what the device's clock says, s since 1970 UTC; sent: s since the start;
    fixed: status bit 1; zero: sent as 0, 0; lon, lat: as measured, degrees; speed_kmh; engine: ACC;
    stored: kept by the terminal and sent in a 0x0704; held: an earlier position is repeated.
    """

    true: Ints
    clock: Ints
    sent: Floats
    fixed: NDArray[np.bool_]
    zero: NDArray[np.bool_]
    lon: Floats
    lat: Floats
    speed_kmh: Floats
    engine: NDArray[np.bool_]
    stored: NDArray[np.bool_]
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.true)

    def take(self, index: NDArray[Any]) -> Reports:
        return Reports(*(getattr(self, name)[index] for name in self.__slots__))


def _spells(rng: np.random.Generator, true: Ints, apart_s: float, shortest_s: float, longest_s: float) -> Ints:
    """For each report the number of the spell it falls into, or -1; spells begin ``apart_s`` apart on average."""
    inside = np.full(len(true), -1)
    at, number = float(true[0]) + rng.exponential(apart_s), 0
    while at < true[-1]:
        until = at + rng.uniform(shortest_s, longest_s)
        inside[(true >= at) & (true < until)] = number
        at, number = until + rng.exponential(apart_s), number + 1
    return inside


def stored_and_sent_later(rng: np.random.Generator, r: Reports) -> Reports:
    """Dead zones of 2 to 60 minutes; the terminal keeps its reports and sends them when it is back (0x0704)."""
    spell = _spells(rng, r.true, 2 * _HOUR_S, 120, 3_600)
    sent = r.sent.copy()
    for number in range(int(spell.max(initial=-1)) + 1):
        rows = np.flatnonzero(spell == number)
        if len(rows):
            back = r.sent[rows[-1]] + rng.uniform(1, 30)
            sent[rows] = back + np.arange(len(rows)) // 10 * _RESUME_S
    return replace(r, sent=sent, stored=spell >= 0)


def dead_zones(rng: np.random.Generator, r: Reports) -> Reports:
    """Dead zones of 2 to 60 minutes; what was not sent is lost."""
    return r.take(_spells(rng, r.true, 2 * _HOUR_S, 120, 3_600) < 0)


def clock_off(rng: np.random.Generator, r: Reports) -> Reports:
    """A clock wrong by a constant of up to four minutes."""
    return replace(r, clock=r.clock + int(rng.integers(20, 240) * rng.choice((-1, 1))))


def clock_slow_8h(_: np.random.Generator, r: Reports) -> Reports:
    """A clock set to UTC where the standard wants GMT+8."""
    return replace(r, clock=r.clock - 8 * _HOUR_S)


def clock_fast_8h(_: np.random.Generator, r: Reports) -> Reports:
    """GMT+8 added twice."""
    return replace(r, clock=r.clock + 8 * _HOUR_S)


def _reset(rng: np.random.Generator, r: Reports, epoch: int) -> Reports:
    """Spells in which reports bear the time of a clock that began at an epoch and was never set."""
    off = _spells(rng, r.true, 3 * _HOUR_S, 120, 900) >= 0
    return replace(r, clock=np.where(off, epoch + r.true, r.clock))


def epoch_1970(rng: np.random.Generator, r: Reports) -> Reports:
    """Two-digit years can't say 1970: the terminal writes 70, which reads as 2070."""
    return _reset(rng, r, _EPOCH_1970)


def epoch_2000(rng: np.random.Generator, r: Reports) -> Reports:
    return _reset(rng, r, _EPOCH_2000)


def leaps_a_year(rng: np.random.Generator, r: Reports) -> Reports:
    """One report in 200 is dated a year ahead (a receiver's week rollover or leap bug)."""
    return replace(r, clock=np.where(rng.random(len(r)) < 0.005, r.clock + _YEAR_S, r.clock))


def frozen(rng: np.random.Generator, r: Reports) -> Reports:
    """Spells of 3 to 20 minutes in which the last position and speed are repeated under fresh times."""
    spell = _spells(rng, r.true, 2 * _HOUR_S, 180, 1_200)
    rows = np.arange(len(r))
    begins = np.append(True, spell[1:] != spell[:-1])
    source = np.where(spell >= 0, np.maximum.accumulate(np.where(begins, rows, 0)), rows)
    return replace(r, lon=r.lon[source], lat=r.lat[source], speed_kmh=r.speed_kmh[source], held=source != rows)


def zero_positions(rng: np.random.Generator, r: Reports) -> Reports:
    """One report in 50 says 0, 0 and claims a fix."""
    return replace(r, zero=rng.random(len(r)) < 0.02)


def no_fix(rng: np.random.Generator, r: Reports) -> Reports:
    """Spells of 1 to 15 minutes without a fix, and status bit 1 says so."""
    return replace(r, fixed=_spells(rng, r.true, 2 * _HOUR_S, 60, 900) < 0)


def duplicates(rng: np.random.Generator, r: Reports) -> Reports:
    """One report in ten is sent again, up to a minute later, since its acknowledgement was late."""
    again = np.flatnonzero(rng.random(len(r)) < 0.1)
    both = r.take(np.concatenate([np.arange(len(r)), again]))
    sent = both.sent.copy()
    sent[len(r) :] += rng.uniform(5, 60, len(again))
    return replace(both, sent=sent)


def healthy(_: np.random.Generator, r: Reports) -> Reports:
    return r


FAULTS: dict[str, Callable[[np.random.Generator, Reports], Reports]] = {
    "none": healthy,
    "dead zones, sent later": stored_and_sent_later,
    "dead zones, lost": dead_zones,
    "clock off by up to 4 min": clock_off,
    "clock 8 h slow": clock_slow_8h,
    "clock 8 h fast": clock_fast_8h,
    "clock from 1970 for a while": epoch_1970,
    "clock from 2000 for a while": epoch_2000,
    "a year ahead, 0.5 %": leaps_a_year,
    "frozen position": frozen,
    "0, 0 with a fix, 2 %": zero_positions,
    "no fix for a while": no_fix,
    "duplicates, 10 %": duplicates,
}
