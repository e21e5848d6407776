"""A new owner's memory: from snapshot, tracks and the log it goes on exactly as the old owner would have gone on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Positions, concatenate
from gateway.worker.memory import Memory
from geofence.jumps import NEVER
from tests.geofence.system import Worker, in_batches
from tests.geofence.test_presence import cuts, shown, worlds
from tests.geofence.worlds import DEVICES, arriving, packets, runs, world
from tests.visited import CORE, IN, ONE, OUT, THREE, TWO, route

walks = st.lists(st.tuples(runs(8), packets), min_size=2, max_size=3)


class Owner:
    """A worker's part in it, with the log as a list of batches; a batch may bring what was brought before."""

    def __init__(self, rules) -> None:
        self.memory = Memory()
        self.worker = Worker(rules)
        self.log: list[Positions] = []
        self.stored: set[tuple[int, int, int]] = set()
        self.snapshot: tuple[bytes, int] = (b"", 0)

    def take(self, rows: Positions) -> None:
        sifted = self.memory.recent.sift(rows)
        known = np.array([_key(rows, int(row)) in self.stored for row in sifted.suspects], bool)
        new = rows.take(np.union1d(sifted.fresh, sifted.suspects[~known]))
        self.worker.state = self.memory.state
        self.worker.take(new)
        self.memory.recent.remember(new)
        keys = [_key(new, row) for row in range(len(new))]
        assert self.stored.isdisjoint(keys)
        self.stored.update(keys)
        self.log.append(rows)

    def take_snapshot(self) -> None:
        self.snapshot = self.memory.to_bytes(), len(self.log)

    def die_and_recall(self, pieces: int) -> None:
        data, start = self.snapshot
        self.memory = Memory.from_bytes(data, {}) if data else Memory()
        rest = concatenate(self.log[start:]) if self.log[start:] else Positions.empty()
        for piece in np.array_split(np.arange(len(rest)), pieces):  # batched as it comes, never as it was
            self.memory.recall(rest.take(piece))
        tracks = {device: track for device, track in self.worker.tracks.items() if track is not None}
        self.memory.state.replace_tracks(tracks)


def known(memory: Memory) -> dict[str, Any]:
    """All that decisions are made from, by terminal; not how much of a settled past need not be read again."""
    state = memory.state
    slots = np.flatnonzero(state.column("time", np.arange(len(state))) != NEVER)
    columns = [state.column(name, slots).tolist() for name in ("time", "lon", "lat", "fingerprint", "heard")]
    devices, newest = memory.recent.newest()
    return {
        "boots": memory.boots,
        "fixes": dict(zip(state.device[slots].tolist(), zip(*columns, strict=True), strict=True)),
        "tracks": dict(state.track_json(slot) for slot, track in state.tracks.items() if track.stays),
        "newest": dict(zip(devices.tolist(), newest.tolist(), strict=True)),
        "watch": set(memory.watch.episodes),
    }


def _key(rows: Positions, row: int) -> tuple[int, int, int]:
    return int(rows.device[row]), int(rows.time[row]), int(rows.fingerprint[row])


def _arrived(place, devices, walks) -> Positions:
    parts = [arriving(place.walk(device, walk), order) for device, (walk, order) in zip(devices, walks, strict=False)]
    rows = concatenate(parts)
    return rows.take(np.argsort(rows.received, kind="stable"))


@settings(max_examples=150, deadline=None)
@given(
    world=worlds, walks=walks, cuts=cuts, data=st.data(),
    devices=st.sampled_from([(101, 102, 103), (104, 106, 107), (105, 108, 101)]),
)  # fmt: skip
def test_a_crash_changes_nothing(world, walks, cuts, devices, data):
    """Snapshots and crashes after any batch, with late fixes, and with batches that come again: the same presences, visits
    and pages as without any crash.
    """
    steady, mortal = Owner(world.rules), Owner(world.rules)
    batches = in_batches(_arrived(world, devices, walks), [2 * cut for cut in cuts])
    for n, batch in enumerate(batches):
        again = data.draw(st.integers(0, n))
        for rows in (batch, batches[again]) if again < n else (batch,):
            steady.take(rows)
            mortal.take(rows)
        what = data.draw(st.sampled_from(["go on", "snapshot", "crash", "snapshot and crash"]))
        if "snapshot" in what:
            mortal.take_snapshot()
        if "crash" in what:
            mortal.die_and_recall(data.draw(st.integers(1, 4)))
    before, after = steady.worker.database, mortal.worker.database
    assert shown(after.presences.values()) == shown(before.presences.values())
    assert after.shown() == before.shown()
    assert after.paged() == before.paged()


@settings(max_examples=150, deadline=None)
@given(
    world=worlds, walks=walks, cuts=cuts, data=st.data(),
    devices=st.sampled_from([(101, 102, 103), (104, 106, 107), (105, 108, 101)]),
)  # fmt: skip
def test_a_new_owner_knows_what_the_dead_one_knew(world, walks, cuts, devices, data):
    """Last fixes, when each was heard, stays and presences, newest seconds: after a crash at any moment they are equal."""
    one = Owner(world.rules)
    batches = in_batches(_arrived(world, devices, walks), [2 * cut for cut in cuts])
    for batch in batches[: data.draw(st.integers(1, len(batches)))]:
        one.take(batch)
        if data.draw(st.booleans()):
            one.take_snapshot()
    before = known(one.memory)
    one.die_and_recall(data.draw(st.integers(1, 4)))
    assert known(one.memory) == before


async def test_a_new_owner_knows_it_from_the_real_stores(pipeline):
    """From the database's offset, snapshot, tracks and alarms, and the log's last fixes: with boots, tampering and all."""
    cut = route(ONE, [OUT, OUT, IN, IN, IN]).with_columns(alarm=np.array([0, 0, 0, 256, 256], "<u4"))
    async with pipeline.partition() as dead:
        await pipeline.append(cut)
        await pipeline.append(route(THREE, [OUT, IN, CORE, CORE]), boot="c0" * 8)
        await pipeline.until_stored(9)
        await pipeline.until(lambda: dead._snapshot_sequence)
        await pipeline.append(route(ONE, [IN, OUT], start=400))
        await pipeline.append(route(TWO, [OUT, CORE, CORE], start=100), boot="c0" * 8)
        last = await pipeline.append(route(THREE, [OUT, OUT], start=50), boot="c0" * 8)  # late
        await pipeline.until(lambda: dead.sequence == last)
    before = known(dead._taking.memory)
    assert before["tracks"]
    assert before["watch"]
    async with pipeline.partition() as heir:
        await pipeline.until(lambda: heir.owned)
        assert heir._snapshot_sequence < last, "the log was read, too"
        assert known(heir._taking.memory) == before


def test_the_walks_do_something():
    """Otherwise nothing would be compared above: presences, late rows and pages do occur."""
    place, rng = world(3), np.random.default_rng(1)
    walks = [([(int(n), 2, 3, 0) for n in rng.integers(0, 400, 12)], [(3, 9, False), (4, 1, True)]) for _ in range(3)]
    one = Owner(place.rules)
    for batch in in_batches(_arrived(place, DEVICES[:3], walks), range(0, 72, 5)):
        one.take(batch)
    assert len(one.worker.database.presences) > 4
    assert one.worker.rejudged
    assert one.worker.pages


def test_what_is_no_snapshot_is_refused():
    """Of another version or cut off: the log is read instead."""
    place, one = world(3), Memory()
    one.recall(place.walk(DEVICES[0], [(5, 3, 3, 0)]))
    data = one.to_bytes()
    assert Memory.from_bytes(data, {"boot": 3}).boots == {"boot": 3}
    for size in (0, 7, 20, len(data) - 1):
        with pytest.raises(ValueError, match=r"."):
            Memory.from_bytes(data[:size], {})
