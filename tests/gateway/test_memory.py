"""A new owner's memory: from snapshot, tracks and the log it goes on exactly as the old owner would have gone on."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Positions, concatenate
from gateway.worker.memory import Memory
from geofence.presence import decide
from tests.geofence.test_presence import DEVICES, FENCE, MACHINES, history
from tests.geofence.world import START

batches = st.lists(st.lists(st.tuples(st.sampled_from(DEVICES[:3]), st.integers(0, 200)), max_size=8), max_size=8)


def rows_of(batch: list[tuple[int, int]], clock: dict[int, int], back: int) -> Positions:
    """The batch's fixes ten minutes apart by terminal, every fifth one from ``back`` steps before."""
    parts = []
    for n, (device, place) in enumerate(batch):
        clock[device] = clock.get(device, 0) + 1
        row = history(device, [place])
        late = back if n % 5 == 4 else 0
        parts.append(row.with_columns(time=START + np.array([clock[device] - late]) * 600_000_000))
    return concatenate(parts)


class Owner:
    """A worker's part in it, with the database as a dict of tracks and the log as a list of batches."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.tracks: dict[int, object] = {}
        self.log: list[Positions] = []
        self.snapshot: tuple[bytes, int] = (b"", 0)
        self.changes: list[object] = []

    def take(self, rows: Positions) -> None:
        self.memory.state.refence(FENCE)
        decision = decide(self.memory.state, FENCE, MACHINES, rows)
        for device, track in self.memory.state.records(decision.delta):
            if track is None:
                self.tracks.pop(device, None)
            else:
                self.tracks[device] = track
        self.memory.recent.remember(rows)
        self.memory.state.apply(decision.delta)
        self.log.append(rows)
        self.changes += decision.changes

    def take_snapshot(self) -> None:
        self.snapshot = (self.memory.to_bytes(), len(self.log))

    def die_and_recall(self, pieces: int) -> None:
        data, start = self.snapshot
        self.memory = Memory.from_bytes(data, {}) if data else Memory()
        rest = concatenate(self.log[start:]) if self.log[start:] else Positions.empty()
        for piece in np.array_split(np.arange(len(rest)), pieces):  # batched as it comes, never as it was
            self.memory.recall(rest.take(piece))
        self.memory.state.replace_tracks(self.tracks)


@given(batches, st.integers(0, 3), st.data())
@settings(max_examples=150, deadline=None)
def test_a_crash_changes_nothing(work, back, data):
    """Snapshots and crashes after any batch, late fixes among them: the same changes as without any crash."""
    steady, mortal = Owner(), Owner()
    clock: dict[int, int] = {}
    for batch in work:
        rows = rows_of(batch, clock, back)
        steady.take(rows)
        mortal.take(rows)
        what = data.draw(st.sampled_from(["go on", "snapshot", "crash"]))
        if what == "snapshot":
            mortal.take_snapshot()
        elif what == "crash":
            mortal.die_and_recall(data.draw(st.integers(1, 4)))
    assert mortal.changes == steady.changes


def test_the_walks_do_something():
    """Otherwise nothing would be compared above."""
    one = Owner()
    clock: dict[int, int] = {}
    for n in range(40):
        one.take(rows_of([(DEVICES[0], n // 4 * 7)], clock, 0))
    assert len(one.changes) > 4
