"""Trails: the last few fixes of a terminal that was not settled, each with what was known before it.

A row that comes late, or another report of the same second with a smaller fingerprint, is judged from the fix that it
stands before (retracing.py), without the terminal's history. That is what a terminal's first seconds in a zone are full
of; what goes further back than a trail is read from the database (late.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from geofence.fence import FOREVER
from geofence.grades import WORKING
from geofence.lookup.zonesets import NOWHERE
from geofence.walking import Fix, Previous, Track, advance

if TYPE_CHECKING:
    from geofence.presences import Change
    from geofence.ruleset import Ruleset

MOST_FIXES = 8  # an entry takes two, an exit two; a terminal that empties its memory goes back further, and seldom
MOST_TRAILS = 20_000  # some 3 KB each; a city's terminals are near a border by the hundred
NO_SET = -1
NO_GRADE = -1


class Pace(NamedTuple):
    """How a terminal is judged until something happens: its track, and the columns of state.py by these names."""

    track: Track
    settled: int
    until: int
    lost: int
    best: int
    since: int


class Place(NamedTuple):
    """A terminal's fix before those of its trail: as much as the fix after it needs to know."""

    time: int
    set_id: int
    lon: float
    lat: float
    fingerprint: int

    def fix(self, received: int) -> Fix:
        """As a fix that may be replaced, or followed by others, and that nothing may come before: it is not all known."""
        return Fix(
            self.time, self.set_id, self.lon, self.lat, received, 0, NO_GRADE, jump=False, late=False, news=False,
            fingerprint=self.fingerprint,
        )  # fmt: skip


class Passed(NamedTuple):
    """A fix, the pace before it, and what it changed."""

    pace: Pace
    fix: Fix
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """before: None where the first fix is the terminal's first; passed: one or more, ascending, none left out between."""

    before: Place | None
    passed: tuple[Passed, ...]

    @property
    def end(self) -> Fix:
        return self.passed[-1].fix

    def ends_with(self, time: int, fingerprint: int) -> bool:
        """Whether its last fix is this one: a settled terminal's goes on without it, or gives way to another of its second."""
        return self.end.time == time and self.end.fingerprint == fingerprint

    def extended(self, passed: list[Passed]) -> Trail:
        """With fixes that follow upon it, the last MOST_FIXES of all."""
        return trail_of(self.before, [*self.passed, *passed])


def trail_of(before: Place | None, passed: list[Passed]) -> Trail:
    """The last MOST_FIXES of these."""
    over = len(passed) - MOST_FIXES
    if over > 0:
        fix = passed[over - 1].fix
        before, passed = Place(fix.time, fix.set_id, fix.lon, fix.lat, fix.fingerprint), passed[over:]
    return Trail(before, tuple(passed))


def walk_on(device: int, pace: Pace, before: Previous, fix: Fix, rules: Ruleset) -> tuple[Pace, list[Change]]:
    """The pace after one fix later than all before, and what it changed."""
    gap = 0 if before.time is None else fix.time - before.time
    if fix.set_id == pace.settled and fix.time < pace.until and fix.grade <= pace.best and gap <= pace.lost:
        return pace, []
    track, changes = advance(device, pace.track, before, fix, rules)
    if not track.settled:
        return Pace(track, NO_SET, FOREVER, FOREVER, WORKING, fix.time), changes
    until = min(track.until, rules.fence.unchanged_until(fix.set_id, fix.time))
    return Pace(track, fix.set_id, until, track.lost, track.best, fix.time), changes


def first_pace(fix: Fix) -> Pace:
    """Before a terminal's first fix; a second one of its first second is as good as the first."""
    return Pace(Track({}), NOWHERE, FOREVER, FOREVER, WORKING, fix.time - 1)
