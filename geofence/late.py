"""Late fixes: what they make of a terminal's history. Pure: the history is handed in, and what changes is handed back.

A terminal's presences are a function of the set of its fixes, so a late fix is judged by going over the fixes around it
once more, in device-time order, from a place where the state is known to a place where it is known again. Who is paged
is a function of arrival: rows are taken in as they were received, and history that is gone over pages nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Positions, concatenate
from geofence.fence import FOREVER
from geofence.jumps import NEVER, follow
from geofence.lookup.zonesets import NOWHERE
from geofence.nested import Depth
from geofence.presence import decide, is_late
from geofence.presences import Change, Presence
from geofence.state import State
from geofence.stays import Stay
from geofence.walking import SECOND, Track

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from geofence.ruleset import Ruleset

Key = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Rejudged:
    """What one terminal's late rows change.

    changes: pages and candidates, and presences as they are now where they differ from the stored ones; before: what those
    were like; gone: stored presences that are none any more; state: of this terminal alone, to take the place of what is
    known of it, or None where its present is as it was.
    """

    changes: tuple[Change, ...]
    before: tuple[Presence, ...]
    gone: tuple[Presence, ...]
    state: State | None


def start_of(rules: Ruleset, history: Positions, presences: Sequence[Presence], before: int) -> int | None:
    """Row of ``history`` (ascending in time) to begin at for a late fix at ``before``: the last one whose state is known.

    There each zone is one of these: it has a presence that this row sees inside; or the row is not within its line, two
    fixes in a row were outside its halo, then or earlier, and no presence began since. A reported presence is gone over
    from its beginning, since its grade is that of all of it. None: further back.
    """
    found = None
    sure = ~_jumps(history)
    last_near: dict[int, int] = {}  # zone -> the last row that was in its halo or deeper
    last_clear: dict[int, int] = {}  # zone -> the time of the first of the last two in a row that were not
    always: int | None = None  # the same, of a zone that no row was near yet
    for i in range(int(np.searchsorted(history.time, before))):
        time, depths = int(history.time[i]), _depths(rules, history, i)
        here = {p.zone: p for p in presences if _covers(p, time)}
        known = i > 0
        zones = depths.keys() | here.keys() | last_near.keys()
        for zone in zones:
            if depths.get(zone, 0) > 0:
                if zone not in last_near and always is not None:
                    last_clear[zone] = always
                last_near[zone] = i
            elif sure[i] and i > 0 and last_near.get(zone, -1) < i - 1:
                last_clear[zone] = int(history.time[i - 1])
        for zone in zones:
            depth, presence = depths.get(zone, 0), here.get(zone)
            if presence is not None:
                known &= depth >= Depth.BORDER and presence.confirmed_at <= time and not presence.reported
                continue
            clear = last_clear.get(zone)
            known &= depth < Depth.BORDER and clear is not None
            if clear is not None:
                known &= not any(p.zone == zone and clear < p.entered_at <= time for p in presences)
        if sure[i] and i > 0:
            always = int(history.time[i - 1])
        # A zone that no row was near is clear only from the first two sure rows on.
        if known and always is not None:
            found = i
    return found


def end_of(rules: Ruleset, history: Positions, after: int) -> int | None:
    """The first row after the time ``after`` that, like the one before it, is outside everything: no stay outlives it.

    The first fix after that time is none of the two: whether it is a jump depends on what came late.
    """
    outside = rules.fence.locate(history.lon, history.lat) == NOWHERE
    both = outside[1:] & outside[:-1] & ~_jumps(history)[1:] & (history.time[:-1] > after)
    found = np.flatnonzero(both)
    return int(found[0]) + 1 if len(found) else None


def _jumps(history: Positions) -> NDArray[np.bool_]:
    """Which rows, ascending in time, jump; the first one, of which that can't be known, is taken for one."""
    begins = np.zeros(len(history), bool)
    begins[:1] = True
    last = np.array([NEVER])[: len(history)], history.lon[:1], history.lat[:1]
    jumped, _ = follow(begins, history.time, history.lon, history.lat, history.speed, last)
    jumped[:1] = True
    return jumped


def rejudge(
    rules: Ruleset,
    history: Positions,
    start: int | None,
    presences: Sequence[Presence],
    arrivals: Positions,
    *,
    to_the_end: bool,
) -> Rejudged:
    """Judges ``arrivals``, all good and of one terminal, with ``history``: its good fixes around them, ascending in time.

    start: of `start_of`; None where the history begins with its first row. presences: stored ones that end at or after
    the start, or go on. to_the_end: whether the history reaches to the terminal's last fix; else it ends at `end_of`.
    """
    window = history if start is None else history.take(np.arange(start, len(history)))
    first = None if start is None else int(window.time[0])
    stays = {} if first is None else {p.zone: _stay(rules, p, first) for p in presences if _covers(p, first)}
    order = np.lexsort((arrivals.fingerprint, arrivals.time, arrivals.received))
    arrivals = arrivals.take(order)
    found: dict[Key, Presence] = {}
    told: list[Change] = []
    state = State()
    known, done = window, 0
    columns = arrivals.time.tolist(), arrivals.received.tolist(), is_late(arrivals).tolist()
    while done < len(arrivals):
        group = next_group(*columns, done, int(known.time.max()) if len(known) else None)
        rows = arrivals.take(np.arange(done, group.stop))
        known = concatenate([known, rows])
        if group.late or not len(state):
            state, changes = _over(rules, known, len(known) - len(rows), None if first is None else stays)
            found = {}
        else:
            decision = decide(state, rules, rows, np.ones(len(rows), bool))
            state.apply(decision.delta)
            changes = decision.changes
        found |= {change.key: change for change in changes if isinstance(change, Presence)}
        told += [change for change in changes if not isinstance(change, Presence)]
        done = group.stop
    covered = {stay.presence.key: stay.presence for stay in stays.values() if stay.presence is not None}
    now = {**covered, **found}
    last = int(known.time.max())  # beyond it, where the history ends before the terminal's does, nothing is judged
    here = [p for p in presences if (first is None or p.began_at >= first) and (to_the_end or p.began_at <= last)]
    stored = {presence.key: presence for presence in here}
    stored |= {presence.key: presence for presence in presences if presence.key in covered}
    differ = tuple(presence for key, presence in now.items() if not same(presence, stored.get(key)))
    gone = tuple(presence for key, presence in stored.items() if key not in now)
    before = tuple(stored[presence.key] for presence in differ if presence.key in stored)
    return Rejudged((*differ, *told), before, gone, state if to_the_end else None)


@dataclass(frozen=True, slots=True)
class Group:
    stop: int
    late: bool


def next_group(
    times: Sequence[int], received: Sequence[int], late: Sequence[bool], begin: int, latest: int | None
) -> Group:
    """Rows from ``begin`` on: those that ascend beyond all before them (``latest``), else those received as one.

    Packets that can page nobody are gone over together.
    """
    stop = begin
    while stop < len(times) and (latest is None or times[stop] > latest):
        latest = times[stop]
        stop += 1
    if stop > begin:
        return Group(stop, late=False)
    while stop < len(times) and received[stop] == received[begin]:
        stop += 1
    while stop < len(times) and all(late[begin : stop + 1]):
        stop += 1
    return Group(stop, late=True)


def _over(
    rules: Ruleset, known: Positions, old: int, stays: Mapping[int, Stay] | None
) -> tuple[State, Sequence[Change]]:
    """The state after all known rows, in device-time order, of which those from ``old`` on are news.

    stays: those at the first row, which is then taken in, not judged; None: nothing was before it.
    """
    news = np.arange(len(known)) >= old
    state = State()
    if stays is not None:
        begin = int(np.argmin(known.time))
        state.recall(known.take(np.array([begin])))
        state.tracks = {0: Track(dict(stays))} if stays else {}
        rest = np.flatnonzero(np.arange(len(known)) != begin)
        known, news = known.take(rest), news[rest]
    state.adopt(rules)
    decision = decide(state, rules, known, news)
    state.apply(decision.delta)
    return state, decision.changes


def _covers(presence: Presence, time: int) -> bool:
    return presence.began_at <= time and (presence.ended_at is None or time < presence.ended_at)


def _stay(rules: Ruleset, presence: Presence, time: int) -> Stay:
    """The stay inside at ``time`` that a stored presence tells of; `State.adopt` has it judged from the next fix on."""
    zone = rules.fence.zone(presence.zone, time)
    lost = presence.ended_at or 0 if zone is None else int(zone.lost_s * SECOND)
    return Stay(
        presence.zone, presence.cause, presence=replace(presence, ended_at=None, end=None), until=FOREVER, lost=lost
    )  # fmt: skip


def _depths(rules: Ruleset, history: Positions, row: int) -> Mapping[int, int]:
    sets: NDArray[np.int32] = rules.fence.locate(history.lon[row : row + 1], history.lat[row : row + 1])
    time = int(history.time[row])
    zones = rules.fence.zones
    return {zones[i].id: int(depth) for i, depth in rules.fence.depths(int(sets[0])) if zones[i].counts_at(time)}


def same(now: Presence, stored: Presence | None) -> bool:
    if stored is None:
        return False
    if now.ended_at is None and stored.ended_at is None:
        return replace(now, last_inside_at=stored.last_inside_at) == stored
    return now == stored
