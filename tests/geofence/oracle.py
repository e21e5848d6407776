"""The presences once more, the slow way: a terminal's whole history is looked at, zone by zone, fix by fix.

No state between batches, no grid, no sets, no until: depths come from shapely, and every moment at which anything could
change is tried. Only what a rule list says of a machine is taken from the ruleset; it has an oracle of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, hypot, radians
from typing import TYPE_CHECKING, Any

import shapely

from geofence.grades import GRADES
from geofence.nested import nested_shapes
from geofence.presences import Cause, End, Presence

if TYPE_CHECKING:
    from columns.positions import Positions
    from geofence.exemptions import Exemption
    from geofence.machines import Binding, Machine
    from geofence.ruleset import Ruleset
    from geofence.zones import Zone

SECOND = 1_000_000
BACKFILL = 2
DAY = 86_400 * SECOND
HALF_HOUR = 1800 * SECOND


@dataclass(frozen=True)
class Fix:
    """A good fix. gap: since the one before it, None where there is none; jump: it confirms nothing."""

    time: int
    lon: float
    lat: float
    received: int
    speed: int
    rank: int
    late: bool
    gap: int | None
    jump: bool
    fingerprint: int


def good_fixes(rows: Positions) -> list[int]:
    """Rows that are good, by time; of one second that with the smallest fingerprint."""
    first: dict[int, int] = {}
    for i in range(len(rows)):
        if not int(rows.quality[i]) & ~128:
            known = first.get(int(rows.time[i]))
            if known is None or rows.fingerprint[i] < rows.fingerprint[known]:
                first[int(rows.time[i])] = i
    return [first[time] for time in sorted(first)]


def jumped(rows: Positions, i: int, before: int | None) -> bool:
    """More than 216 km/h and 200 m from the fix before it."""
    if rows.speed[i] > 2500:
        return True
    if before is None:
        return False
    north = float(rows.lat[i] - rows.lat[before])
    east = float(rows.lon[i] - rows.lon[before]) * cos(radians(float(rows.lat[i])))
    elapsed = int(rows.time[i] - rows.time[before]) / SECOND
    return hypot(east, north) * 111_320.0 > 200.0 + 60.0 * elapsed


def judged_fixes(rows: Positions) -> list[Fix]:
    found, before = [], None
    for i in good_fixes(rows):
        time, received = int(rows.time[i]), int(rows.received[i])
        late = received - time > 300 * SECOND or int(rows.source[i]) == BACKFILL
        gap = None if before is None else time - int(rows.time[before])
        found.append(
            Fix(time, float(rows.lon[i]), float(rows.lat[i]), received, int(rows.speed[i]), rank(rows, i), late, gap,
                jumped(rows, i, before), int(rows.fingerprint[i]))
        )  # fmt: skip
        before = i
    return found


def rank(rows: Positions, i: int) -> int:
    on, speed = int(rows.status[i]) & 1, int(rows.speed[i])
    if on:
        return 3 if speed < 400 else 1
    return 2 if speed == 0 else 0 if speed >= 200 else 1


@dataclass(frozen=True)
class Ruling:
    """How a terminal in a zone is judged at one moment: equal where a presence goes on."""

    zone: Zone
    machine: Machine | None
    verdict: str | None
    rule: Any
    alarm: bool


class Oracle:
    """Presences of whole histories under these versions of zones, bindings, machines and exemptions."""

    def __init__(
        self, rules: Ruleset, bindings: list[Binding], versions: list[Machine], exemptions: list[Exemption]
    ) -> None:
        self.rules, self.zones = rules, rules.fence.zones
        self.nested = {id(zone): nested_shapes(zone) for zone in self.zones}
        dated = [*self.zones, *(rule.schedule for zone in self.zones for rule in zone.rules)]
        edges = {edge for each in dated for edge in (each.valid_from, each.valid_to)}
        edges |= {edge for each in (*bindings, *exemptions) for edge in (each.since, each.until)}
        edges |= {version.since for version in versions}
        self.edges = sorted(edge for edge in edges if edge is not None)
        self.hours = any(rule.schedule.hours or rule.schedule.weekdays for zone in self.zones for rule in zone.rules)
        self._depths: dict[tuple[int, float, float], int] = {}

    def depth(self, zone: Zone, lon: float, lat: float) -> int:
        key = id(zone), lon, lat
        if key not in self._depths:
            halo, border, inner = self.nested[id(zone)]
            shapes = ((3, inner), (2, border), (1, halo))
            self._depths[key] = next(
                (depth for depth, shape in shapes if shape is not None and shapely.intersects_xy(shape, lon, lat)), 0
            )
        return self._depths[key]

    def in_force(self, zone_id: int, at: int) -> Zone | None:
        return next((zone for zone in self.zones if zone.id == zone_id and zone.counts_at(at)), None)

    def depth_at(self, zone_id: int, fix: Fix) -> int:
        zone = self.in_force(zone_id, fix.time)
        return 0 if zone is None else self.depth(zone, fix.lon, fix.lat)

    def ruling(self, device: int, zone_id: int, at: int) -> Ruling | None:
        zone = self.in_force(zone_id, at)
        if zone is None:
            return None
        machine = self.rules.machines.find(device, at)
        if machine is None:
            return Ruling(zone, None, None, None, False)
        found = self.rules.judge(zone, machine, at)
        return Ruling(zone, machine, str(found.verdict), found.to_json(), found.alarm)

    def moments(self, after: int, until: int) -> list[int]:
        """All moments in (after, until] at which a ruling could change; windows open and close on half hours."""
        found = {edge for edge in self.edges if after < edge <= until}
        if self.hours:
            found |= set(range((after // HALF_HOUR + 1) * HALF_HOUR, until + 1, HALF_HOUR))
        return sorted(found)

    def presences(self, device: int, rows: Positions) -> list[Presence]:
        fixes = judged_fixes(rows)
        zones = sorted({zone.id for zone in self.zones})
        return sorted(
            (presence for zone in zones for presence in self.in_zone(device, zone, fixes)), key=lambda p: p.key
        )

    def in_zone(self, device: int, zone_id: int, fixes: list[Fix]) -> list[Presence]:
        depths = [self.depth_at(zone_id, fix) for fix in fixes]
        found: list[Presence] = []
        free = i = 0
        while i < len(fixes):
            entered = self._entered(zone_id, fixes, depths, free, i)
            if entered is None:
                i += 1
                continue
            pieces, free = self._stay(
                device, zone_id, fixes, depths, entered, i, self._cause(zone_id, fixes, depths, free, i)
            )
            found += pieces
            i = free
        return found

    def _entered(self, zone_id: int, fixes: list[Fix], depths: list[int], free: int, i: int) -> int | None:
        """The fix that a stay confirmed by fix i is stamped with, None where fix i confirms none."""
        if depths[i] < 3 or fixes[i].jump:
            return None
        zone = self.in_force(zone_id, fixes[i].time)
        appears = i == free or depths[i - 1] < 2
        gap = fixes[i].gap
        if appears:
            slow = gap is not None and gap > 30 * SECOND
            return i if slow and zone is not None and zone.slow_terminals == "one_fix" else None
        before = self.in_force(zone_id, fixes[i - 1].time)
        if depths[i - 1] == 3 and before is not None and fixes[i].time - fixes[i - 1].time <= before.lost_s * SECOND:
            return i - 1
        return None

    def _cause(self, zone_id: int, fixes: list[Fix], depths: list[int], free: int, i: int) -> Cause:
        first = i
        while first > free and depths[first - 1] >= 2:
            first -= 1
        if first == 0:
            return Cause.CROSSING
        before = fixes[first - 1]
        held = [z for z in self.zones if z.id == zone_id and self.depth(z, before.lon, before.lat) >= 2]
        came = any(zone.counts_at(fixes[first].time) for zone in held)
        since = [before.time, *self.moments(before.time, fixes[first].time)]
        throughout = all(self.in_force(zone_id, at) is not None for at in since)
        if not came or (throughout and any(zone.counts_at(before.time) for zone in held)):
            return Cause.CROSSING
        return Cause.ZONE_EFFECTIVE

    def _stay(
        self, device: int, zone_id: int, fixes: list[Fix], depths: list[int], entered: int, confirmed: int, cause: Cause
    ) -> tuple[list[Presence], int]:
        """The presences of a stay, and the fix that ended it (the number of fixes, where it goes on)."""
        ruling = self.ruling(device, zone_id, fixes[entered].time)
        assert ruling is not None
        piece = self._piece(device, ruling, fixes[entered].time, fixes[entered].time, fixes[confirmed], cause)
        piece = _graded(piece, fixes[entered])
        done: list[Presence] = []
        last, seen, outside = (
            entered,
            entered,
            None,
        )  # the last fix inside, the last one that is no jump, the first outside
        for k in range(confirmed, len(fixes)):
            fix = fixes[k]

            def end(at: int, why: End) -> Presence:
                return replace(piece, last_inside_at=min(fixes[last].time, at), ended_at=at, end=why)  # noqa: B023

            changed = next(
                (at for at in self.moments(fixes[seen].time, fix.time) if self.ruling(device, zone_id, at) != ruling),
                None,
            )
            left = fix.time if outside is None else fixes[outside].time
            if changed is not None:
                left = min(left, changed)
            if k > confirmed and fix.time - fixes[k - 1].time > ruling.zone.lost_s * SECOND:
                return [*done, end(fixes[last].time, End.SIGNAL_LOST) if outside is None else end(left, End.LEFT)], k
            if self.in_force(zone_id, fix.time) is None:
                assert changed is not None
                gone = outside is not None and fixes[outside].time < changed
                return [*done, end(left, End.LEFT) if gone else end(changed, End.ZONE_ENDED)], k
            if depths[k] == 0:
                if outside is not None and not fix.jump:
                    return [*done, end(left, End.LEFT)], k
                outside = k if outside is None else outside
                continue
            outside = None
            if depths[k] == 1:
                continue
            if fix.jump:
                last = k
                continue
            now = self.ruling(device, zone_id, fix.time)
            assert now is not None
            moments = self.moments(fixes[seen].time, fix.time)
            if any(self.in_force(zone_id, at) is None for at in moments):
                assert changed is not None
                return [*done, end(changed, End.ZONE_ENDED)], k
            if now != ruling:
                assert changed is not None
                done.append(end(changed, End.JUDGED_ANEW))
                began = fix.time
                for at in reversed(moments):
                    if self.ruling(device, zone_id, at) != now:
                        break
                    began = at
                why = _why(ruling, now)
                piece = self._piece(device, now, began, fixes[entered].time, fix, why)
                ruling = now
            piece = _graded(piece, fix)
            last = seen = k
        return [*done, piece], len(fixes)

    def _piece(self, device: int, ruling: Ruling, began: int, entered: int, fix: Fix, cause: Cause) -> Presence:
        machine = ruling.machine
        return Presence(
            device, ruling.zone.id, began, entered, fix.time, fix.time, cause, ruling.zone.version,
            None if machine is None else machine.id, ruling.verdict, ruling.alarm, ruling.rule,
            None if machine is None else machine.to_json(), GRADES[0], -1, 0, fix.late, fix.lon, fix.lat, fix.received,
        )  # fmt: skip


def _graded(piece: Presence, fix: Fix) -> Presence:
    """The highest grade counts; of presences that are part of no visit only the first one is kept."""
    if piece.grade_at < 0 or (piece.reported and fix.rank > GRADES.index(piece.grade)):
        return replace(piece, grade=GRADES[fix.rank], grade_at=fix.time, grade_speed=fix.speed)
    return piece


def _why(before: Ruling, now: Ruling) -> Cause:
    if before.machine != now.machine:
        return Cause.ATTRIBUTE_CHANGED
    return Cause.EXEMPTION_ENDED if before.verdict == "exempt" else Cause.RULE_EFFECTIVE
