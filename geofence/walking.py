"""One terminal, fix by fix: its stays, the presences that they form, and who is to be told. Scalar, and rarely needed.

A presence is judged at the moment it begins, with the zone version, the rules and the machine's attributes of that
moment, and again at every moment at which one of these changes while a fix still sees the machine inside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geofence.fence import FOREVER
from geofence.grades import GRADES, WORKING
from geofence.nested import Depth
from geofence.presences import CandidateSeen, Cause, Change, End, Page, Presence
from geofence.stays import Stay, Step, step

if TYPE_CHECKING:
    from geofence.machines import Machine
    from geofence.rules import Judgement
    from geofence.ruleset import Ruleset
    from geofence.zones import Zone

SECOND = 1_000_000
SLOW_US = 30 * SECOND  # from one fix to the next: a longer wait for the confirming fix may be too long


@dataclass(frozen=True, slots=True)
class Fix:
    """One good fix: set_id from the fence; lon, lat degrees WGS-84; times us UTC; speed 0.1 km/h; grade: a rank.

    fingerprint: of the report, which of several in one second tells the one that counts; jump: too far from the one before; late: old at its receipt, or declared backfill; news: it has just come (False:
    history that is gone over again).
    """

    time: int
    set_id: int
    lon: float
    lat: float
    received: int
    speed: int
    grade: int
    jump: bool
    late: bool
    news: bool
    fingerprint: int = 0


@dataclass(frozen=True, slots=True)
class Previous:
    """The terminal's last fix, under the fence of today; ``time`` None: this is its first."""

    time: int | None
    set_id: int


@dataclass(frozen=True, slots=True)
class Track:
    """The stays of a terminal in or near zones, by zone id."""

    stays: dict[int, Stay]

    @property
    def settled(self) -> bool:
        """Whether another fix with the same set of zones would change nothing but times (see the three below)."""
        return all(stay.settled for stay in self.stays.values())

    @property
    def until(self) -> int:
        """... up to this time,"""
        return min((stay.until for stay in self.stays.values() if stay.presence is not None), default=FOREVER)

    @property
    def lost(self) -> int:
        """... if it comes no longer than this after the last one,"""
        return min((stay.lost for stay in self.stays.values() if stay.presence is not None), default=FOREVER)

    @property
    def best(self) -> int:
        """... and has no higher grade than this."""
        here = [stay.presence for stay in self.stays.values() if stay.presence is not None and stay.inside]
        return min((GRADES.index(presence.grade) for presence in here if presence.reported), default=WORKING)


NO_TRACK = Track({})


@dataclass(frozen=True, slots=True)
class _Ruling:
    """How a terminal in a zone is judged at one time, and until when time alone cannot change that."""

    zone: Zone
    machine: Machine | None
    judgement: Judgement | None
    until: int

    def same_as(self, presence: Presence) -> bool:
        judged = self.judgement
        return (
            presence.zone_version == self.zone.version
            and presence.snapshot == (None if self.machine is None else self.machine.to_json())
            and presence.verdict == (None if judged is None else judged.verdict)
            and presence.rule == (None if judged is None else judged.to_json())
            and presence.alarm == (judged is not None and judged.alarm)
        )

    def same(self, other: _Ruling) -> bool:
        return (self.zone, self.machine, self.judgement) == (other.zone, other.machine, other.judgement)


def advance(device: int, track: Track, before: Previous, fix: Fix, rules: Ruleset) -> tuple[Track, list[Change]]:
    """The track after one fix later than all before, and what it changed. Nothing is mutated."""
    depths = {
        rules.fence.zones[index].id: int(depth)
        for index, depth in rules.fence.depths(fix.set_id)
        if rules.fence.zones[index].counts_at(fix.time)
    }
    walk = _Step(device, before, fix, rules)
    stays: dict[int, Stay] = {}
    for zone in sorted(track.stays.keys() | depths.keys()):
        stay = walk.over(zone, track.stays.get(zone), depths.get(zone, 0))
        if stay is not None:
            stays[zone] = stay
    return Track(stays), walk.changes


def fall_silent(device: int, track: Track, last: Previous, rules: Ruleset) -> tuple[Track, list[Change]]:
    """The track of a terminal of which nothing was heard for longer than its stays allow, and the ends of its presences.

    The ends are those that its next fix would find, if it comes so late; where it is backfill that fills the gap, the
    same fix takes them back.
    """
    assert last.time is not None  # noqa: S101 - a stay has a fix
    walk = _Step(device, last, Fix(last.time, last.set_id, 0.0, 0.0, 0, 0, 0, jump=False, late=True, news=False), rules)
    stays = {}
    for zone, stay in track.stays.items():
        stays[zone] = stay
        if stay.presence is not None and not stay.silent:
            walk.lose(stay, stay.inside_until(last.time))
            stays[zone] = replace(stay, silent=True)
    return Track(stays), walk.changes


class _Step:
    """One fix of one terminal; ``changes`` grows."""

    def __init__(self, device: int, before: Previous, fix: Fix, rules: Ruleset) -> None:
        self.device, self.before, self.fix, self.rules = device, before, fix, rules
        self.previous = fix.time if before.time is None else before.time
        self.gap = fix.time - self.previous
        self.changes: list[Change] = []

    def over(self, zone: int, stay: Stay | None, depth: int) -> Stay | None:
        """The stay in one zone after the fix, None where there is none."""
        last_inside = self.previous if stay is None else stay.inside_until(self.previous)
        if stay is not None and self.gap > stay.lost:
            stay = self.lose(stay, last_inside)
        if stay is not None and stay.silent:
            assert stay.presence is not None  # noqa: S101 - what falls silent
            self.changes.append(stay.presence)
            stay = replace(stay, silent=False)
        if stay is not None and depth == 0 and self.rules.fence.zone(zone, self.fix.time) is None:
            self._out_of_force(stay, last_inside)
            return None
        if stay is None:
            return self._appear(zone, depth) if depth >= Depth.BORDER else None
        stay, happened = step(stay, depth, self.fix.time, self.previous, jump=self.fix.jump)
        if happened is Step.VANISHED:
            return None
        if happened is Step.LEFT:
            self._leave(stay, last_inside)
            return None
        if happened is Step.ENTERED:
            stay = self._enter(stay)
        if stay.presence is None or not stay.inside or self.fix.jump:
            return self._remember_pending(stay)
        rolled = self._judge_anew(stay, last_inside)
        return self._appear(zone, depth) if rolled is None else self._seen_inside(rolled)

    # ---- beginnings --------------------------------------------------------------------------------------------

    def _appear(self, zone_id: int, depth: int) -> Stay:
        zone = self.rules.fence.zone(zone_id, self.fix.time)
        assert zone is not None  # noqa: S101 - a zone with a depth is in force
        fix, slow = self.fix, self.gap > SLOW_US
        ask = slow and zone.slow_terminals == "ask"
        if fix.news:
            self.changes.append(CandidateSeen(self.device, zone_id, fix.time, fix.lon, fix.lat, fix.received, ask))
        stay = Stay(zone_id, self._cause(zone_id), lost=FOREVER)
        if depth < Depth.INNER:
            return stay
        stay = self._remember_pending(replace(stay, pending=fix.time))
        if fix.jump or not (slow and zone.slow_terminals == "one_fix"):
            return stay
        return self._seen_inside(self._enter(stay))

    def _cause(self, zone_id: int) -> Cause:
        """A zone that held the fix before, too, but was not in force, or had another shape, came to the machine."""
        zones = self.rules.fence.zones
        held = [zones[i] for i, depth in self.rules.fence.depths(self.before.set_id) if depth >= Depth.BORDER]
        held = [zone for zone in held if zone.id == zone_id]
        before = self.before.time
        if before is None or not any(zone.counts_at(self.fix.time) for zone in held):
            return Cause.CROSSING
        stayed = any(zone.counts_at(before) for zone in held) and self._in_force_since(zone_id, before)
        return Cause.CROSSING if stayed else Cause.ZONE_EFFECTIVE

    def _in_force_since(self, zone_id: int, at: int) -> bool:
        """Whether the zone was in force from ``at`` to the fix without a break, in whatever versions."""
        zone = self.rules.fence.zone(zone_id, at)
        while zone is not None and zone.valid_to is not None and zone.valid_to <= self.fix.time:
            zone = self.rules.fence.zone(zone_id, zone.valid_to)
        return zone is not None

    def _remember_pending(self, stay: Stay) -> Stay:
        if stay.pending != self.fix.time:
            return stay
        zone = self.rules.fence.zone(stay.zone, self.fix.time)
        assert zone is not None  # noqa: S101 - a zone with a depth is in force
        lost = int(zone.lost_s * SECOND)
        return replace(stay, pending_grade=self.fix.grade, pending_speed=self.fix.speed, lost=lost)

    def _enter(self, stay: Stay) -> Stay:
        entered = stay.pending
        assert entered is not None  # noqa: S101 - what entering means
        ruling = self._rule(stay.zone, entered)
        if ruling is None:  # the zone came into force between the two fixes
            entered, ruling = self.fix.time, self._rule(stay.zone, self.fix.time)
            assert ruling is not None  # noqa: S101 - a zone with a depth is in force
        grade = stay.pending_grade, entered, stay.pending_speed
        presence = self._begin(ruling, entered, entered, stay.cause, grade)
        return self._with(replace(stay, pending=None, pending_grade=0, pending_speed=0), presence, ruling)

    def _begin(self, ruling: _Ruling, began: int, entered: int, cause: Cause, grade: tuple[int, int, int]) -> Presence:
        fix, machine, judged = self.fix, ruling.machine, ruling.judgement
        rank, grade_at, grade_speed = grade
        presence = Presence(
            device=self.device, zone=ruling.zone.id, began_at=began, entered_at=entered, confirmed_at=fix.time,
            last_inside_at=fix.time, cause=cause, zone_version=ruling.zone.version,
            machine=None if machine is None else machine.id,
            verdict=None if judged is None else str(judged.verdict), alarm=judged is not None and judged.alarm,
            rule=None if judged is None else judged.to_json(), snapshot=None if machine is None else machine.to_json(),
            grade=GRADES[rank], grade_at=grade_at, grade_speed=grade_speed, late=fix.late, lon=fix.lon, lat=fix.lat,
            received=fix.received,
        )  # fmt: skip
        self.changes.append(presence)
        return presence

    def _with(self, stay: Stay, presence: Presence, ruling: _Ruling) -> Stay:
        """Who crossed the border is paged, be it that the judgement changed before anybody could be."""
        another = stay.presence is not None and stay.presence.machine != presence.machine
        told = not presence.alarm or (presence.cause is not Cause.CROSSING and (stay.told or another))
        lost = int(ruling.zone.lost_s * SECOND)
        return replace(stay, presence=presence, until=ruling.until, told=told, lost=lost)

    # ---- while it stays ----------------------------------------------------------------------------------------

    def _judge_anew(self, stay: Stay, last_inside: int) -> Stay | None:
        """The stay under the judgement of this fix's time; None where the zone was out of force in between."""
        old, at = stay.presence, stay.until
        assert old is not None  # noqa: S101 - the caller looked
        if self.fix.time < at:
            return stay
        began = at
        changed: int | None = None
        ruling: _Ruling | None = None
        while ruling is None or ruling.until <= self.fix.time:
            before, ruling = ruling, self._rule(stay.zone, at)
            if ruling is None:
                self._end(stay, at if changed is None else changed, End.ZONE_ENDED, last_inside)
                return None
            if changed is None and not ruling.same_as(old):
                changed = at
            if before is not None and not ruling.same(before):
                began = at
            at = ruling.until
        if changed is None or ruling.same_as(old):
            return replace(stay, until=ruling.until)
        self._end(stay, changed, End.JUDGED_ANEW, last_inside)
        grade = (self.fix.grade, self.fix.time, self.fix.speed)
        return self._with(stay, self._begin(ruling, began, old.entered_at, _why(old, ruling), grade), ruling)

    def _first_change(self, stay: Stay) -> int | None:
        """The first moment since it was last seen inside, up to this fix, at which the presence had to be judged anew."""
        at = stay.until
        while stay.presence is not None and at <= self.fix.time:
            ruling = self._rule(stay.zone, at)
            if ruling is None or not ruling.same_as(stay.presence):
                return at
            at = ruling.until
        return None

    def _seen_inside(self, stay: Stay) -> Stay:
        """Raises the grade, and pages."""
        presence, fix = stay.presence, self.fix
        assert presence is not None  # noqa: S101 - the caller looked
        if presence.reported and fix.grade > GRADES.index(presence.grade):
            presence = replace(presence, grade=GRADES[fix.grade], grade_at=fix.time, grade_speed=fix.speed)
            self.changes.append(presence)
            stay = replace(stay, presence=presence)
        if not stay.told and fix.news and not fix.late and presence.machine is not None:
            page = Page(
                self.device, presence.machine, stay.zone, presence.began_at, fix.time, fix.received, presence.late
            )
            self.changes.append(page)
            stay = replace(stay, told=True)
        return stay

    def _rule(self, zone_id: int, at: int) -> _Ruling | None:
        zone = self.rules.fence.zone(zone_id, at)
        if zone is None:
            return None
        machine = self.rules.machines.find(self.device, at)
        until = min(
            FOREVER if zone.valid_to is None else zone.valid_to, self.rules.machines.unchanged_until(self.device, at)
        )
        if machine is None:
            return _Ruling(zone, None, None, until)
        judgement = self.rules.judge(zone, machine, at)
        return _Ruling(zone, machine, judgement, min(until, judgement.until))

    # ---- ends --------------------------------------------------------------------------------------------------

    def _end(self, stay: Stay, at: int, why: End, last_inside: int) -> None:
        if stay.presence is not None:
            self.changes.append(replace(stay.presence, last_inside_at=min(last_inside, at), ended_at=at, end=why))

    def _leave(self, stay: Stay, last_inside: int) -> None:
        """It ends with the first fix outside, or where the judgement changed before that: nobody saw it inside since."""
        assert stay.outside_since is not None  # noqa: S101 - what leaving means
        changed = self._first_change(stay)
        self._end(
            stay, stay.outside_since if changed is None else min(stay.outside_since, changed), End.LEFT, last_inside
        )

    def lose(self, stay: Stay, last_inside: int) -> Stay | None:
        """A candidate only begins to count anew; a stay has ended where it was last seen inside."""
        if stay.presence is None:
            return replace(stay, pending=None)
        if stay.outside_since is not None:
            self._leave(stay, last_inside)
        else:
            self._end(stay, last_inside, End.SIGNAL_LOST, last_inside)
        return None

    def _out_of_force(self, stay: Stay, last_inside: int) -> None:
        changed = self._first_change(stay)
        if changed is None:  # a candidate
            return
        if stay.outside_since is not None and stay.outside_since < changed:
            self._end(stay, stay.outside_since, End.LEFT, last_inside)
        else:
            self._end(stay, changed, End.ZONE_ENDED, last_inside)


def _why(old: Presence, ruling: _Ruling) -> Cause:
    """What changed: the machine's attributes, else an exemption's end, else the zone's rules or their hours."""
    if old.snapshot != (None if ruling.machine is None else ruling.machine.to_json()):
        return Cause.ATTRIBUTE_CHANGED
    return Cause.EXEMPTION_ENDED if old.verdict == "exempt" else Cause.RULE_EFFECTIVE
