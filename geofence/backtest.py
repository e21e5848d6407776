"""Back-test 回测: the visits that a zone would have made of stored fixes, had it been in force all along.

The code is that of live deciding (presence.decide, visits.form), so a draft is judged as it would be once it is law. Only
the zone's own validity is set aside; the dates and hours of its rules, exemptions, bindings and the versions of machines
count by the time of each fix. Nobody is told, so when a fix was received does not matter.

What was before the first fix is not known: a machine that it sees inside has entered then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from columns.positions import DTYPES, Source
from geofence.fence import FOREVER, Fence
from geofence.presence import State, decide
from geofence.presences import Presence
from geofence.ruleset import Ruleset
from geofence.visits import ZoneFacts, form
from geofence.walking import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.exemptions import Exemption
    from geofence.fence import Bounds
    from geofence.machines import Machines
    from geofence.visits import Visit
    from geofence.zones import Zone

NO_ZONE = 0
"""Id of a draft that is no version of any zone; the database's begin with 1."""

_ROWS_OF_A_TURN = 32
"""Of a terminal, on average: fewer cost more in calls than they save."""

Key = tuple[int, int, int]


class Backtest:
    """One zone over history. ``points``: rows that were taken in; ``unjudged``: those of them that are no good fixes."""

    def __init__(self, zone: Zone, machines: Machines, exemptions: Iterable[Exemption] = ()) -> None:
        """The zone as if it were in force at any time. exemptions: of this zone's id, or of all zones."""
        self.zone = replace(zone, valid_from=None, valid_to=None)
        self.points = 0
        self.unjudged = 0
        self._rules = Ruleset(Fence.compile([self.zone]), machines, exemptions)
        self._state = State()
        self._state.adopt(self._rules)
        self._presences: dict[Key, Presence] = {}

    def take(self, positions: Positions) -> None:
        """Judges further rows: a terminal's must all be later than those that were taken before, in any order here.

        Raises ValueError where they are not.
        """
        live = np.full(len(positions), Source.LIVE, DTYPES["source"])
        rows = positions.with_columns(received=positions.time, source=live)
        for turn in _turns(rows):
            self._decide(rows.take(turn))
        self.points += len(rows)

    def _decide(self, rows: Positions) -> None:
        decision = decide(self._state, self._rules, rows)
        if len(decision.late):
            raise ValueError(f"terminal {decision.late[0]} has rows that are older than those taken before")
        self._state.apply(decision.delta)
        self.unjudged += decision.not_good
        for change in decision.changes:
            if isinstance(change, Presence) and change.reported:
                self._presences[change.key] = change

    def visits(self) -> list[Visit]:
        """The visits so far, by beginning. Of one that goes on, last_inside_at is that of the last fix."""
        known = {**self._presences, **self._going_on()}
        zone = self.zone
        facts = ZoneFacts(zone.tier, zone.district, int(zone.merge_s * SECOND), int(zone.lost_merge_s * SECOND))
        its: dict[int, list[Presence]] = {}
        for presence in known.values():
            if presence.machine is not None:
                its.setdefault(presence.machine, []).append(presence)
        found = [visit for own in its.values() for visit in form(own, {(zone.id, zone.version): facts})]
        return sorted(found, key=lambda visit: (visit.entered_at, visit.machine, not visit.alarming))

    def _going_on(self) -> dict[Key, Presence]:
        slots = np.fromiter(self._state.tracks, np.int64, len(self._state.tracks))
        last = dict(zip(slots.tolist(), self._state.column("time", slots).tolist(), strict=True))
        return {
            stay.presence.key: replace(stay.presence, last_inside_at=stay.inside_until(last[slot]))
            for slot, track in self._state.tracks.items()
            for stay in track.stays.values()
            if stay.presence is not None and stay.presence.reported
        }


def _turns(rows: Positions) -> list[NDArray[np.intp]]:
    """The rows in the order of time, some of each terminal at once; those of one moment together.

    Deciding looks at every row that follows a change of a terminal's situation in the same batch one by one, so a batch
    with a terminal's whole day costs several times as much.
    """
    order = np.argsort(rows.time, kind="stable")
    times = rows.time[order]
    turns = len(rows) // (_ROWS_OF_A_TURN * max(1, len(np.unique(rows.device)))) + 1
    cuts = np.searchsorted(times, times[np.arange(1, turns) * len(rows) // turns])
    return [turn for turn in np.split(order, cuts) if len(turn)]


def bounds(zone: Zone) -> Bounds:
    """(west, south, east, north) around a zone and its halo, degrees: who never was in there is on no visit."""
    found = Fence.compile([zone]).bounds
    assert found is not None  # noqa: S101 - a zone has an area
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """Alarming visits of two back-tests over the same rows. both: of the draft, those that the other one has, too."""

    only_draft: tuple[Visit, ...]
    only_current: tuple[Visit, ...]
    both: tuple[Visit, ...]


def compare(draft: Sequence[Visit], current: Sequence[Visit]) -> Difference:
    """Visits are the same where they are the same machine's and share a moment."""
    ours, theirs = ([visit for visit in visits if visit.alarming] for visits in (draft, current))
    shared = _sharing(ours, theirs)
    return Difference(
        tuple(visit for visit in ours if visit.id not in shared),
        tuple(visit for visit in theirs if visit.id not in _sharing(theirs, ours)),
        tuple(visit for visit in ours if visit.id in shared),
    )


def _sharing(visits: Sequence[Visit], others: Sequence[Visit]) -> set[str]:
    """Ids of the visits that share a moment with one of the others."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for other in others:
        spans.setdefault(other.machine, []).append(_span(other))
    return {
        visit.id
        for visit in visits
        for begin, end in [_span(visit)]
        if any(begins <= end and begin <= ends for begins, ends in spans.get(visit.machine, ()))
    }


def _span(visit: Visit) -> tuple[int, int]:
    return visit.entered_at, FOREVER if visit.exited_at is None else visit.exited_at
