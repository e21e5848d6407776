"""Deciding: a batch of positions against the fence, whole columns at a time. Pure: the state is read, never changed.

A row costs no Python where its set of zones is the terminal's *settled* one (state.py): outside everything for most
machines, parked or working in the same zones for the rest. Only a terminal with a row that is not goes through the
scalar machine (visits.py), from that row on.

Good fixes are judged in device-time order. A row that is not later than the terminal's last judged one is late, or a
second report of the same second: it is stored elsewhere, counted here as unjudged, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geofence.fence import FOREVER
from geofence.state import NEVER, NO_SET, Delta, SnapshotError, State
from geofence.visits import Change, Fix, Previous, Track, advance
from geofence.zonesets import NOWHERE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.fence import Fence
    from geofence.machines import Machines

__all__ = ["Decision", "Delta", "SnapshotError", "State", "decide"]


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a batch means. judged + unjudged + not_good is the number of its rows.

    changes: by terminal, in device-time order within each; delta: for ``state.apply`` once this is committed;
    unjudged: rows not later than the terminal's last judged fix; not_good: rows with a quality bit.
    """

    changes: tuple[Change, ...]
    delta: Delta
    judged: int
    unjudged: int
    not_good: int


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The rows to judge, by device and time. group: which of the batch's terminals; row: in the batch."""

    row: NDArray[np.int64]
    group: NDArray[np.int64]
    time: NDArray[np.int64]


def decide(state: State, fence: Fence, machines: Machines, positions: Positions) -> Decision:
    """Decides the rows of many terminals of one partition, in any order, each report once.

    Raises ValueError where the state was not refenced to this fence.
    """
    if state.generation != fence.generation:
        raise ValueError("the state knows another fence: call state.refence(fence) first")
    good = np.flatnonzero(positions.good)
    devices, slots, rows = _in_order(state, positions, good)
    # Terminals without a row to judge drop out; of the others, where each one's last row is.
    ends = np.flatnonzero(np.append(rows.group[1:] != rows.group[:-1], True)) if len(rows.row) else rows.row
    here = rows.group[ends]
    unknown = slots[here] < 0
    new = devices[here[unknown]]
    slots = slots[here]
    slots[unknown] = len(state) + np.arange(len(new))
    known = np.where(unknown, -1, slots)
    group = np.zeros(len(devices), np.int64)
    group[here] = np.arange(len(here))
    group = group[rows.group]

    lon, lat = positions.lon[rows.row], positions.lat[rows.row]
    sets = fence.locate(lon, lat)
    settled, until = state.column("settled", known, 0), state.column("until", known, FOREVER)
    steady = (sets == settled[group]) & (rows.time < until[group])
    restless = np.flatnonzero(~steady)
    changed, first = np.unique(group[restless], return_index=True)
    begins = restless[first]
    fixes = _fixes(positions, rows, sets, begins, ends[changed])
    before = _before(state, known[changed], rows, group, sets, begins)

    tracks: dict[int, Track] = {}
    changes: list[Change] = []
    for k, its_fixes, previous in zip(changed.tolist(), fixes, before, strict=True):
        slot = int(slots[k])
        walk = _Walk(int(devices[here[k]]), state.track(slot), int(settled[k]), int(until[k]))
        changes += walk.over(its_fixes, previous, fence, machines)
        tracks[slot] = walk.track
        settled[k], until[k] = walk.settled, walk.until

    delta = Delta(state.revision, new, slots, rows.time[ends], lon[ends], lat[ends], sets[ends], settled, until, tracks)
    judged = len(rows.row)
    return Decision(tuple(changes), delta, judged, len(good) - judged, len(positions) - len(good))


def _in_order(
    state: State, positions: Positions, good: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], _Rows]:
    """The batch's terminals, their slots (-1: new), and the rows later than all judged before them."""
    device, time = positions.device[good], positions.time[good]
    order = np.lexsort((time, device))
    device, time = device[order], time[order]
    begins = np.ones(len(device), bool)
    begins[1:] = device[1:] != device[:-1]
    devices = device[begins]
    slots = state.slots_of(devices)
    group = np.cumsum(begins) - 1
    later = time > state.column("time", slots, NEVER)[group]
    later[1:] &= begins[1:] | (time[1:] != time[:-1])
    rows = _Rows(good[order], group, time)
    if not later.all():
        rows = _Rows(rows.row[later], group[later], time[later])
    return devices, slots, rows


def _before(
    state: State,
    slots: NDArray[np.int64],
    rows: _Rows,
    group: NDArray[np.int64],
    sets: NDArray[np.int32],
    begins: NDArray[np.int64],
) -> list[Previous]:
    """Each walked terminal's fix before row ``begins``: in this batch, or in the state, or none."""
    above = np.maximum(begins - 1, 0)
    here = (begins > 0) & (group[above] == group[begins])
    time = np.where(here, rows.time[above], state.column("time", slots, NEVER))
    set_id = np.where(here, sets[above], state.column("set_id", slots, NOWHERE))
    return [Previous(*each) for each in zip(time.tolist(), set_id.tolist(), strict=True)]


def _fixes(
    positions: Positions, rows: _Rows, sets: NDArray[np.int32], begins: NDArray[np.int64], lasts: NDArray[np.int64]
) -> list[list[Fix]]:
    """The rows begins[i] to lasts[i] as objects, converted all at once: numpy's price is per call."""
    lengths = lasts - begins + 1
    past = np.cumsum(lengths)
    taken = np.arange(int(lengths.sum())) + np.repeat(begins - (past - lengths), lengths)
    row = rows.row[taken]
    columns = (
        rows.time[taken],
        sets[taken],
        positions.lon[row],
        positions.lat[row],
        positions.received[row],
        positions.status[row],
        positions.speed[row],
    )
    fixes = [Fix(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
    return [fixes[end - length : end] for end, length in zip(past.tolist(), lengths.tolist(), strict=True)]


@dataclass(slots=True)
class _Walk:
    """One terminal's way through the scalar machine."""

    device: int
    track: Track
    settled: int
    until: int

    def over(self, fixes: list[Fix], before: Previous, fence: Fence, machines: Machines) -> list[Change]:
        changes: list[Change] = []
        for fix in fixes:
            if fix.set_id != self.settled or fix.time >= self.until:
                self.track, found = advance(self.device, self.track, before, fix, fence, machines)
                changes += found
                self.settled, self.until = NO_SET, FOREVER
                if self.track.settled:
                    self.settled, self.until = fix.set_id, fence.unchanged_until(fix.set_id, fix.time)
            before = Previous(fix.time, fix.set_id)
        return changes
