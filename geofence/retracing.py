"""Retracing: late rows that a terminal's trail reaches back to are judged from there, without its history.

What comes out is what late.py makes of the same rows with all of the history (tests compare the two): presences are a
function of the set of fixes, and rows are taken in as they were received, since whom they page depends on that.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geofence.grades import ranks
from geofence.jumps import jumps
from geofence.late import Rejudged, next_group, same
from geofence.presence import is_late
from geofence.presences import Presence
from geofence.state import State
from geofence.trail import NO_GRADE, Passed, first_pace, trail_of, walk_on
from geofence.walking import Fix, Previous

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.presences import Change
    from geofence.ruleset import Ruleset
    from geofence.trail import Pace, Place, Trail


def retrace(state: State, rules: Ruleset, positions: Positions, devices: NDArray[np.int64]) -> dict[int, Rejudged]:
    """Of these terminals with late rows in ``positions`` (`Decision.late`), those whose trail suffices, judged."""
    slots = state.slots_of(devices)
    trails = {
        device: (slot, trail)
        for device, slot in zip(devices.tolist(), slots.tolist(), strict=True)
        if slot >= 0 and (trail := state.trail_of(slot)) is not None
    }
    if not trails:
        return {}
    wanted = np.fromiter(trails, np.int64, len(trails))
    fixes = _fixes(rules, positions, np.flatnonzero(positions.good & np.isin(positions.device, wanted)))
    found = {}
    for device, (slot, trail) in trails.items():
        retracing = _Retracing(device, trail, state.pace_of(slot), rules)
        if retracing.take(fixes[device]):
            found[device] = retracing.result()
    return found


def _fixes(rules: Ruleset, positions: Positions, rows: NDArray[np.int64]) -> dict[int, list[Fix]]:
    """Each terminal's, in the order in which they were received."""
    order = np.lexsort((positions.fingerprint[rows], positions.time[rows], positions.received[rows]))
    rows = rows[order]
    lon, lat, speed = positions.lon[rows], positions.lat[rows], positions.speed[rows]
    nothing = np.zeros(len(rows), bool)
    columns = (
        positions.time[rows], rules.fence.locate(lon, lat), lon, lat, positions.received[rows], speed,
        ranks(positions.status[rows], speed), nothing, is_late(positions)[rows], ~nothing, positions.fingerprint[rows],
    )  # fmt: skip
    found: dict[int, list[Fix]] = {}
    values = zip(*(column.tolist() for column in columns), strict=True)
    for device, fields in zip(positions.device[rows].tolist(), values, strict=True):
        found.setdefault(device, []).append(Fix(*fields))
    return found


class _Retracing:
    """One terminal: its trail, into which fixes are put one after the other."""

    def __init__(self, device: int, trail: Trail, pace: Pace, rules: Ruleset) -> None:
        """pace: after the trail."""
        self._device, self._rules, self._before = device, rules, trail.before
        self._old, self._old_pace = trail.passed, pace
        self._passed = [
            each._replace(fix=replace(each.fix, news=False)) if each.fix.news else each for each in trail.passed
        ]
        self._pace = pace
        self._low = len(self._passed)
        self._told: list[Change] = []

    def take(self, fixes: list[Fix]) -> bool:
        """Takes rows in, in the order in which they were received; False where the trail does not reach back to one."""
        columns = [fix.time for fix in fixes], [fix.received for fix in fixes], [fix.late for fix in fixes]
        done = 0
        while done < len(fixes):
            group = next_group(*columns, done, self._passed[-1].fix.time)
            low = self._put_in(fixes[done : group.stop])
            if low is None:
                return False
            self._walk(low)
            done = group.stop
        return True

    def _put_in(self, fixes: Iterable[Fix]) -> int | None:
        """Puts fixes where they belong. Returns the first place that is another now; None: before all of the trail."""
        low = len(self._passed)
        for fix in fixes:
            i = bisect_left(self._passed, fix.time, key=lambda passed: passed.fix.time)
            if i < len(self._passed) and (there := self._passed[i]).fix.time == fix.time:
                if fix.fingerprint >= there.fix.fingerprint:
                    continue
                self._passed[i] = Passed(there.pace, fix, ())
            elif i == 0 and (first := self._before) is not None and fix.time <= first.time:
                if fix.time == first.time and fix.fingerprint >= first.fingerprint:
                    continue
                return None
            elif i < len(self._passed) and self._passed[i].fix.grade == NO_GRADE:
                return None
            else:
                pace = self._passed[i].pace if i < len(self._passed) else self._pace
                self._passed.insert(i, Passed(pace, fix, ()))
            low = min(low, i)
        return low

    def _walk(self, low: int) -> None:
        """Goes over the fixes from this place on once more."""
        if low == len(self._passed):
            return
        self._low = min(self._low, low)
        before = self._places(low)
        pace = self._passed[low].pace if before[0] is not None else first_pace(self._passed[low].fix)
        for i, (place, fix) in enumerate(zip(before, self._judged(before, low), strict=True), start=low):
            earlier = pace
            previous = Previous(None, 0) if place is None else Previous(place.time, place.set_id)
            pace, changes = walk_on(self._device, earlier, previous, fix, self._rules)
            self._passed[i] = Passed(earlier, fix, tuple(changes))
            self._told += [change for change in changes if not isinstance(change, Presence)]
        self._pace = pace

    def _places(self, low: int) -> Sequence[Place | Fix | None]:
        """What is before each fix from this place on."""
        first = self._passed[low - 1].fix if low else self._before
        return [first, *(passed.fix for passed in self._passed[low:-1])]

    def _judged(self, before: Sequence[Place | Fix | None], low: int) -> list[Fix]:
        """The fixes from this place on, told anew which of them jump."""
        fixes = [passed.fix for passed in self._passed[low:]]
        places = [fix if place is None else place for place, fix in zip(before, fixes, strict=True)]
        elapsed = np.array([fix.time - place.time for fix, place in zip(fixes, places, strict=True)])
        here, there = (np.array([(place.lon, place.lat) for place in some]).T for some in (fixes, places))
        found = jumps(elapsed, here[0], here[1], there[0], there[1], np.array([fix.speed for fix in fixes]))
        return [
            fix if fix.jump == jump else replace(fix, jump=jump)
            for fix, jump in zip(fixes, found.tolist(), strict=True)
        ]

    def result(self) -> Rejudged:
        low = self._low
        pace = self._old[low].pace if low < len(self._old) else self._old_pace
        base = {stay.presence.key: stay.presence for stay in pace.track.stays.values() if stay.presence is not None}
        stored = base | _presences(self._old[low:])
        now = base | _presences(self._passed[low:])
        differ = tuple(presence for key, presence in now.items() if not same(presence, stored.get(key)))
        gone = tuple(presence for key, presence in stored.items() if key not in now)
        before = tuple(stored[presence.key] for presence in differ if presence.key in stored)
        trail = trail_of(self._before, self._passed)
        state = State.of_one(self._rules, self._device, self._pace, trail)
        return Rejudged((*differ, *self._told), before, gone, state)


def _presences(passed: Iterable[Passed]) -> dict[tuple[int, int, int], Presence]:
    return {change.key: change for each in passed for change in each.changes if isinstance(change, Presence)}
