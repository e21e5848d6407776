"""Visits: which presences of a machine are one visit. A function of the presences alone, whoever found them and when.

Presences that alarm form visits among themselves, and so do those that don't (unknown that is only recorded, exempt); an
allowed machine has none. Presences that overlap are one visit, and so are those that follow each other within the earlier
one's merge time (its zone's merge_s; lost_merge_s after a lost signal). Zones and terminals make no difference to that.

The strictest presence leads: a core zone before a general one, a violation before an unknown, then the earlier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geofence.fence import FOREVER
from geofence.grades import GRADES, Grade
from geofence.presences import Cause, End, Presence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class ZoneFacts:
    """What forming a visit asks of a zone's version; times in us."""

    tier: str
    district: str
    merge: int
    lost_merge: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of one machine. Times are int64 us UTC.

    id: "{machine}-{entered_at}", with an s where it doesn't alarm; device, zone, zone_version, district, verdict, rule,
    snapshot, lon, lat: the leading presence's; copied_to: the machine's own district where that is another;
    entered_at, cause: the earliest presence's; confirmed_at, received, late: of the presence that was confirmed first;
    exited_at None: it goes on, and last_inside_at is only the last that was written; grade: the highest;
    crossed: whether any presence came in by crossing a border: only then is it paged, else told in a digest.
    """

    id: str
    machine: int
    alarming: bool
    device: int
    zone: int
    zone_version: int
    district: str
    copied_to: str | None
    verdict: str
    rule: dict[str, Any] | None
    snapshot: dict[str, Any]
    cause: Cause
    entered_at: int
    confirmed_at: int
    last_inside_at: int
    exited_at: int | None
    exit_reason: End | None
    grade: Grade
    grade_at: int
    grade_speed: int
    late: bool
    lon: float
    lat: float
    received: int
    crossed: bool


def form(presences: Iterable[Presence], facts: Mapping[tuple[int, int], ZoneFacts]) -> list[Visit]:
    """The visits of one machine, by beginning. facts: of every (zone, version) that a presence names."""
    reported = [presence for presence in presences if presence.reported and presence.machine is not None]
    found = [
        _visit(members, facts)
        for alarming in (True, False)
        for members in _connected([presence for presence in reported if presence.alarm == alarming], facts)
    ]
    return sorted(found, key=lambda visit: (visit.entered_at, not visit.alarming))


def _connected(presences: Sequence[Presence], facts: Mapping[tuple[int, int], ZoneFacts]) -> Iterator[list[Presence]]:
    members: list[Presence] = []
    last = (0, 0)  # the latest end so far, and up to when a further presence belongs to these
    for presence in sorted(presences, key=_order):
        if members and presence.began_at > last[1]:
            yield members
            members, last = [], (0, 0)
        # A signal that was lost and found again counts no more: what ended last says how long to wait.
        last = max(last, _reach(presence, facts))
        members.append(presence)
    if members:
        yield members


def _order(presence: Presence) -> tuple[int, int, int]:
    return presence.began_at, presence.zone, presence.device


def _reach(presence: Presence, facts: Mapping[tuple[int, int], ZoneFacts]) -> tuple[int, int]:
    if presence.ended_at is None:
        return FOREVER, FOREVER
    zone = facts[presence.zone, presence.zone_version]
    return presence.ended_at, presence.ended_at + (zone.lost_merge if presence.end is End.SIGNAL_LOST else zone.merge)


def _visit(members: list[Presence], facts: Mapping[tuple[int, int], ZoneFacts]) -> Visit:
    first = members[0]

    def strictness(presence: Presence) -> tuple[bool, bool, int, int, int]:
        zone = facts[presence.zone, presence.zone_version]
        return zone.tier != "core", presence.verdict != "violation", *_order(presence)

    lead = min(members, key=strictness)
    confirmed = min(members, key=lambda presence: (presence.confirmed_at, *_order(presence)))
    graded = min(members, key=lambda presence: (-GRADES.index(presence.grade), presence.grade_at, *_order(presence)))
    goes_on = any(presence.ended_at is None for presence in members)
    last = max(members, key=lambda presence: (presence.ended_at or 0, presence.last_inside_at, _order(presence)))
    district = facts[lead.zone, lead.zone_version].district
    assert lead.machine is not None and lead.verdict is not None and lead.snapshot is not None  # noqa: S101, PT018 - reported
    own = lead.snapshot.get("district")
    return Visit(
        id=f"{lead.machine}-{first.began_at}{'' if lead.alarm else 's'}",
        machine=lead.machine,
        alarming=lead.alarm,
        device=lead.device,
        zone=lead.zone,
        zone_version=lead.zone_version,
        district=district,
        copied_to=own if own and own != district else None,
        verdict=lead.verdict,
        rule=lead.rule,
        snapshot=lead.snapshot,
        cause=first.cause,
        entered_at=first.began_at,
        confirmed_at=confirmed.confirmed_at,
        last_inside_at=max(presence.last_inside_at for presence in members),
        exited_at=None if goes_on else last.ended_at,
        exit_reason=None if goes_on else last.end,
        grade=graded.grade,
        grade_at=graded.grade_at,
        grade_speed=graded.grade_speed,
        late=confirmed.late,
        lon=lead.lon,
        lat=lead.lat,
        received=confirmed.received,
        crossed=any(presence.cause is Cause.CROSSING for presence in members),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A visit as it is stored. alarm: the id of its alarm, None where it has none."""

    visit: Visit
    alarm: int | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """What is to be written so that the stored visits are the formed ones. Nothing is ever deleted.

    visits: new or changed; merged: id of a visit that is none any more -> the one that holds its time now; withdrawn:
    ids of visits that late data disproved; kept: alarm -> the visit that it is of from now on, of every changed visit
    that has one; merged_alarms: alarm -> the alarm that goes on; withdrawn_alarms. A visit in ``visits`` that alarms and
    is the value of no ``kept`` gets a new alarm.
    """

    visits: tuple[Visit, ...] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    kept: Mapping[int, str] = field(default_factory=dict)
    merged_alarms: Mapping[int, int] = field(default_factory=dict)
    withdrawn_alarms: tuple[int, ...] = ()


def revise(stored: Sequence[Known], formed: Sequence[Visit]) -> Revision:
    """Visits of one machine, those that are stored against those that should be."""
    before = {known.visit.id: known for known in stored}
    now = {visit.id: visit for visit in formed}
    merged: dict[str, str] = {}
    withdrawn: list[str] = []
    alarms: dict[str, list[int]] = {}
    for known in sorted(stored, key=lambda known: known.visit.id not in now):  # an alarm stays with its visit if it can
        heir = now.get(known.visit.id) or _heir(known.visit, formed)
        if heir is None:
            withdrawn.append(known.visit.id)
        elif heir.id != known.visit.id:
            merged[known.visit.id] = heir.id
        if heir is not None and known.alarm is not None:
            alarms.setdefault(heir.id, []).append(known.alarm)
    changed = tuple(
        visit for visit in formed if visit.id not in before or not _same(visit, before[visit.id].visit) or
        len(alarms.get(visit.id, ())) > 1 or visit.id in merged.values()
    )  # fmt: skip
    kept: dict[int, str] = {}
    merged_alarms: dict[int, int] = {}
    for visit in changed:
        own = alarms.get(visit.id)
        if own:
            kept[own[0]] = visit.id
            merged_alarms |= dict.fromkeys(own[1:], own[0])
    gone = tuple(known.alarm for known in stored if known.visit.id in withdrawn and known.alarm is not None)
    return Revision(changed, merged, tuple(withdrawn), kept, merged_alarms, gone)


def _heir(old: Visit, formed: Sequence[Visit]) -> Visit | None:
    """The first formed visit of the same kind that shares a moment with an old one."""
    for visit in formed:
        begins = old.exited_at is None or visit.entered_at <= old.exited_at
        if visit.alarming == old.alarming and begins and (visit.exited_at is None or old.entered_at <= visit.exited_at):
            return visit
    return None


def _same(now: Visit, stored: Visit) -> bool:
    """last_inside_at of a visit that goes on is not kept up to date."""
    return _comparable(now) == _comparable(stored)


def _comparable(visit: Visit) -> list[Any]:
    return [
        getattr(visit, name)
        for name in Visit.__slots__
        if name != "crossed" and not (name == "last_inside_at" and visit.exited_at is None)
    ]
