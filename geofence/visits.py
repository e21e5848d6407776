"""One terminal: its stays, and the visits that they form.

Overlapping presences of a machine that a zone bans (or may ban) are one visit: the first opens it, further ones attach,
and it ends when the last has ended. Where several confirm on one fix, the one that alarms leads, then a core zone, then
the lower zone id. A presence that is to alarm never hides in a visit that was opened silently: it opens its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from geofence.changes import CandidateSeen, Cause, Change, Grade, VisitEnded, VisitOpened
from geofence.nested import Depth
from geofence.rules import Judgement, Verdict, judge
from geofence.stays import Stay, Step, appear, step

if TYPE_CHECKING:
    from geofence.fence import Fence
    from geofence.machines import Machine, Machines
    from geofence.zones import Zone

__all__ = ["CandidateSeen", "Cause", "Change", "Fix", "Grade", "Track", "Visit", "VisitEnded", "VisitOpened", "advance"]

_ACC_ON = 1  # status bit 0
_WORKING_BELOW = 400  # 0.1 km/h; no machine works at 40 km/h
_TRANSPORT_FROM = 200  # 0.1 km/h


@dataclass(frozen=True, slots=True)
class Fix:
    """One good fix: set_id from the fence; lon, lat degrees WGS-84; times us UTC; speed 0.1 km/h."""

    time: int
    set_id: int
    lon: float
    lat: float
    received: int
    status: int
    speed: int

    @property
    def grade(self) -> Grade:
        acc_on = self.status & _ACC_ON
        if acc_on and self.speed < _WORKING_BELOW:
            return Grade.WORKING
        if not acc_on and self.speed == 0:
            return Grade.PARKED
        if not acc_on and self.speed >= _TRANSPORT_FROM:
            return Grade.TRANSPORT
        return Grade.UNKNOWN


@dataclass(frozen=True, slots=True)
class Visit:
    """An open visit. last_inside_at, exited_at: the latest of its presences that have ended, us UTC (0: none has)."""

    id: str
    alarm: bool
    last_inside_at: int = 0
    exited_at: int = 0


@dataclass(frozen=True, slots=True)
class Track:
    """What is remembered of a terminal in or near zones: its stays by zone id, and its open visits."""

    stays: dict[int, Stay]
    visits: tuple[Visit, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether another fix with the same set of zones would change nothing but times."""
        return all(stay.settled for stay in self.stays.values())


NO_TRACK = Track({})


@dataclass(frozen=True, slots=True)
class Previous:
    """The terminal's last judged fix, under the fence of today."""

    time: int
    set_id: int


def advance(
    device: int, track: Track, previous: Previous, fix: Fix, fence: Fence, machines: Machines
) -> tuple[Track, list[Change]]:
    """The track after one fix later than all before, and what it changed. Nothing is mutated."""
    depths = {
        fence.zones[index].id: (int(depth), fence.zones[index])
        for index, depth in fence.depths(fix.set_id)
        if fence.zones[index].counts_at(fix.time)
    }
    changes: list[Change] = []
    stays: dict[int, Stay] = {}
    visits = track.visits
    entered: list[tuple[Stay, Zone]] = []
    for zone_id in sorted(track.stays.keys() | depths.keys()):
        depth, zone = depths.get(zone_id, (0, None))
        stay = track.stays.get(zone_id)
        if stay is None:
            if zone is not None and depth >= Depth.BORDER:
                stays[zone_id] = appear(zone_id, depth, fix.time, _cause(zone_id, previous, fence))
                changes.append(CandidateSeen(device, zone_id, fix.time, fix.lon, fix.lat, fix.received))
            continue
        after, happened = step(stay, depth, fix.time, previous.time)
        if after is not None and happened is Step.LEFT:
            visits = _left(visits, after)
        elif after is not None:
            stays[zone_id] = after
        if after is not None and zone is not None and happened is Step.ENTERED:
            entered.append((after, zone))
    # Ends first: a presence that is confirmed on the fix that ends another began when the other had ended.
    visits = _end(device, visits, stays, changes)
    if entered:
        machine = machines.find(device, fix.time)
        if machine is not None:
            visits = _enter(device, machine, visits, stays, entered, fix, changes)
    return Track(stays, visits), changes


def _cause(zone_id: int, previous: Previous, fence: Fence) -> Cause:
    """A zone that already held the fix before, and had no stay then, was not in force then."""
    for index, depth in fence.depths(previous.set_id):
        if fence.zones[index].id == zone_id and depth >= Depth.BORDER:
            return Cause.ZONE_EFFECTIVE
    return Cause.CROSSING


def _left(visits: tuple[Visit, ...], stay: Stay) -> tuple[Visit, ...]:
    return tuple(
        replace(
            visit,
            last_inside_at=max(visit.last_inside_at, stay.last_inside_at),
            exited_at=max(visit.exited_at, stay.outside_since or 0),
        )
        if visit.id == stay.visit
        else visit
        for visit in visits
    )


def _end(device: int, visits: tuple[Visit, ...], stays: dict[int, Stay], changes: list[Change]) -> tuple[Visit, ...]:
    going_on = {stay.visit for stay in stays.values()}
    changes.extend(
        VisitEnded(visit.id, device, visit.exited_at, visit.last_inside_at)
        for visit in visits
        if visit.id not in going_on
    )
    return tuple(visit for visit in visits if visit.id in going_on)


def _enter(
    device: int,
    machine: Machine,
    visits: tuple[Visit, ...],
    stays: dict[int, Stay],
    entered: list[tuple[Stay, Zone]],
    fix: Fix,
    changes: list[Change],
) -> tuple[Visit, ...]:
    """Attaches confirmed presences to visits, or opens visits for them; ``stays`` is updated."""
    found = []
    for stay, zone in entered:
        judgement = judge(zone.rules, machine)
        if judgement.verdict in {Verdict.VIOLATION, Verdict.UNKNOWN}:
            alarm = judgement.verdict is Verdict.VIOLATION or zone.unknown_policy == "alarm"
            found.append((alarm, stay, zone, judgement))
    found.sort(key=_rank)
    for alarm, stay, zone, judgement in found:
        visit = next((visit for visit in visits if visit.alarm or not alarm), None)
        if visit is None:
            opened = VisitOpened(
                id=f"{device:x}-{zone.id}-{stay.entered_at}",
                device=device,
                machine=machine,
                zone=zone.id,
                zone_version=zone.version,
                district=zone.district,
                verdict=judgement.verdict,
                rule=judgement.to_json(),
                alarm=alarm,
                grade=fix.grade,
                cause=stay.cause,
                entered_at=stay.entered_at or 0,
                confirmed_at=fix.time,
                last_inside_at=fix.time,
                lon=fix.lon,
                lat=fix.lat,
                received=fix.received,
            )
            changes.append(opened)
            visit = Visit(opened.id, alarm)
            visits = (visit, *visits) if alarm else (*visits, visit)  # the one that alarms is found first
        stays[zone.id] = replace(stay, visit=visit.id)
    return visits


def _rank(found: tuple[bool, Stay, Zone, Judgement]) -> tuple[bool, bool, int]:
    alarm, _, zone, _ = found
    return not alarm, zone.tier != "core", zone.id
