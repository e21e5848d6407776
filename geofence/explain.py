"""Explaining: a visit made again from the fixes that are kept of it, and what in it is another than was recorded.

Pure, and by the very code that decided: `decide` and `form`. What had been known when is handed in as phases, because
rules that are learnt count for what comes after and not for what was before (`State.adopt`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geofence.nested import LocalPlane
from geofence.presence import State, decide, is_late
from geofence.presences import Presence
from geofence.visits import Visit, ZoneFacts, form
from geofence.walking import SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from columns.positions import Positions
    from geofence.ruleset import Ruleset
    from geofence.zones import Zone

COMPARED = tuple(
    field.name
    for field in fields(Visit)
    if field.name not in {"id", "machine", "crossed", "lon", "lat", "last_inside_at"}
)
"""What must be as it was recorded. The place and the receipt follow from the fix that confirmed; last_inside_at of a visit
that goes on is not kept up to date."""
_METRE = 1e-6  # degrees: what a report's place is stored to


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """From the first fix at or after ``since`` on (us; None: the first there is) it was decided with these rules."""

    rules: Ruleset
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a visit that is not what was recorded; "visit" where one of the two is not there at all."""

    field: str
    recorded: Any
    found: Any


@dataclass(frozen=True, slots=True)
class ConfirmingFix:
    """A fix that confirmed a presence. Times us UTC; lon, lat degrees; inside_m: metres from the zone's line, negative
    outside it; late: it paged nobody by itself.
    """

    device: int
    time: int
    received: int
    lon: float
    lat: float
    speed: int
    source: int
    inside_m: float
    late: bool


def presences_of(phases: Sequence[Phase], fixes: Positions) -> list[Presence]:
    """The presences that the fixes of some terminals, all of them that are known, come to."""
    state = State()
    found: dict[tuple[int, int, int], Presence] = {}
    for phase, after in zip(phases, [*phases[1:], None], strict=True):
        begun = np.ones(len(fixes), bool) if phase.since is None else fixes.time >= phase.since
        ended = np.zeros(len(fixes), bool) if after is None else fixes.time >= (after.since or 0)
        rows = fixes.take(np.flatnonzero(begun & ~ended))
        state.adopt(phase.rules)
        decision = decide(state, phase.rules, rows, np.zeros(len(rows), bool))
        state.apply(decision.delta)
        found |= {change.key: change for change in decision.changes if isinstance(change, Presence)}
    return list(found.values())


def visits_of(phases: Sequence[Phase], fixes: Positions, machine: int) -> list[Visit]:
    """The machine's visits, by beginning, those that don't alarm too."""
    zones = {(zone.id, zone.version): zone for phase in phases for zone in phase.rules.fence.zones}
    facts = {key: _facts(zone) for key, zone in zones.items()}
    return form((each for each in presences_of(phases, fixes) if each.machine == machine), facts)


def counterpart(visits: Sequence[Visit], recorded: Mapping[str, Any]) -> Visit | None:
    """The one that is the recorded visit: of the same id, else the first of its kind that shares a moment with it."""
    same = next((visit for visit in visits if visit.id == recorded["id"]), None)
    if same is not None:
        return same
    until = recorded["exited_at"]
    return next(
        (visit for visit in visits if visit.alarming == recorded["alarming"]
         and (until is None or visit.entered_at <= until)
         and (visit.exited_at is None or recorded["entered_at"] <= visit.exited_at)), None,
    )  # fmt: skip


def differences(found: Visit | None, recorded: Mapping[str, Any]) -> list[Difference]:
    """What is not as recorded; recorded: a visit's fields by name, withdrawn: it was found to be none."""
    if found is None or recorded["withdrawn"]:
        here = None if found is None else found.id
        there = None if recorded["withdrawn"] else recorded["id"]
        return [] if here == there else [Difference("visit", there, here)]
    differ = [
        Difference(name, recorded[name], getattr(found, name)) for name in COMPARED
        if getattr(found, name) != recorded[name]
    ]  # fmt: skip
    if abs(found.lon - recorded["lon"]) > _METRE or abs(found.lat - recorded["lat"]) > _METRE:
        differ.append(Difference("place", [recorded["lon"], recorded["lat"]], [found.lon, found.lat]))
    if found.exited_at is not None and found.last_inside_at != recorded["last_inside_at"]:
        differ.append(Difference("last_inside_at", recorded["last_inside_at"], found.last_inside_at))
    return differ


def confirming(zone: Zone, visit: Visit, presences: Sequence[Presence], fixes: Positions) -> list[ConfirmingFix]:
    """The fixes that confirmed the presence that leads the visit: where it began and where it was certain, or the one
    that was the first under another judgement of the same stay.
    """
    lead = min(
        (each for each in presences if each.machine == visit.machine and each.zone == visit.zone
         and each.device == visit.device and each.alarm == visit.alarming and each.zone_version == visit.zone_version
         and visit.entered_at <= each.began_at), key=lambda each: each.began_at,
    )  # fmt: skip
    own = (fixes.device == lead.device) & fixes.good
    late = is_late(fixes)
    rows = [
        found[0] for at in dict.fromkeys((lead.began_at, lead.confirmed_at))
        if len(found := np.flatnonzero(own & (fixes.time == at)))
    ]  # fmt: skip
    return [
        ConfirmingFix(
            device=lead.device, time=int(fixes.time[i]), received=int(fixes.received[i]), lon=float(fixes.lon[i]),
            lat=float(fixes.lat[i]), speed=int(fixes.speed[i]), source=int(fixes.source[i]),
            inside_m=inside_m(zone, float(fixes.lon[i]), float(fixes.lat[i])), late=bool(late[i]),
        )
        for i in rows
    ]  # fmt: skip


def inside_m(zone: Zone, lon: float, lat: float) -> float:
    """Metres from a point (degrees WGS-84) to the zone's line; negative outside it."""
    plane = LocalPlane(lon, lat)
    distance = float(shapely.distance(shapely.boundary(plane.to_metres(zone.geometry)), shapely.Point(0.0, 0.0)))
    return distance if shapely.intersects_xy(zone.geometry, lon, lat) else -distance


def _facts(zone: Zone) -> ZoneFacts:
    return ZoneFacts(zone.tier, zone.district, int(zone.merge_s * SECOND), int(zone.lost_merge_s * SECOND))
