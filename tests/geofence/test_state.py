"""Snapshots of a partition's state, and owners that take over from one another."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Positions, concatenate
from geofence.presence import SnapshotError, State, decide
from tests.geofence.system import Worker, in_batches
from tests.geofence.test_presence import cuts, shown, worlds
from tests.geofence.worlds import DEVICES, arriving, packets, runs, world


@pytest.fixture(scope="module")
def state():
    """Terminals in every situation: candidates, visits, on their way out, and far from it all."""
    place, found = world(3), State()
    found.adopt(place.rules)
    rng = np.random.default_rng(1)
    rows = [place.walk(d, [(int(n), 2, 3, 0) for n in rng.integers(0, 400, 12)]) for d in DEVICES]
    found.apply(decide(found, place.rules, concatenate(rows)).delta)
    stays = [stay for track in found.tracks.values() for stay in track.stays.values()]
    assert {stay.presence is None for stay in stays} == {True, False}
    return found


def test_round_trip(state):
    """Bytes to state to bytes; and everything is as it was once it has its rules."""
    loaded = State.from_bytes(state.to_bytes())
    assert loaded.to_bytes() == state.to_bytes()
    assert loaded.tracks == state.tracks
    loaded.adopt(state.rules)
    slots = loaded.slots_of(np.array([*DEVICES, 1]))
    assert slots.tolist() == [*state.slots_of(np.array(DEVICES)).tolist(), -1]
    for name in ("time", "lon", "lat", "fingerprint", "set_id"):
        assert loaded.column(name, slots[:-1]).tolist() == state.column(name, slots[:-1]).tolist()


def test_an_empty_state():
    """A partition that has seen nothing yet."""
    assert len(State.from_bytes(State().to_bytes())) == 0
    assert State().slots_of(np.array([1, 2])).tolist() == [-1, -1]


def test_damage_is_noticed(state):
    """Any flipped byte, any missing tail: an error that says replay, never a wrong state."""
    data = state.to_bytes()
    for place in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        if place not in range(8, 12):  # the header's length is checked below
            with pytest.raises(SnapshotError):
                State.from_bytes(bytes(damaged))
    for size in (0, 5, 11, 12, len(data) - 1):
        with pytest.raises(SnapshotError):
            State.from_bytes(data[:size])


@pytest.mark.parametrize("header", [{"v": 2, "n": 0, "tracks": {}}, {"v": 3}, {"v": 3, "n": 3, "tracks": {}}, []])
def test_other_versions_are_refused(header):
    """A snapshot of another version, or without what it should hold."""
    body = json.dumps(header).encode()
    with pytest.raises(SnapshotError):
        State.from_bytes(struct.pack("<4sII", b"LZS1", zlib.crc32(body), len(body)) + body)


def test_adopting_the_same_rules_is_free(state):
    """So a worker may do it before every batch."""
    before = state.revision
    state.adopt(state.rules)
    assert state.revision == before


def test_a_delta_of_another_state_is_refused(state):
    """What was decided before a change is not taken in after it."""
    decision = decide(state, state.rules, Positions.empty())
    state.apply(decision.delta)
    with pytest.raises(ValueError, match="another state"):
        state.apply(decision.delta)


def test_taking_over_needs_one_terminal_under_the_same_rules(state):
    """A part of another state replaces what is known of its terminal, and adds it where it is new."""
    place = world(3)
    one = State()
    one.adopt(place.rules)
    one.apply(decide(one, place.rules, place.walk(999, [(5, 3, 3, 0)])).delta)
    loaded = State.from_bytes(state.to_bytes())
    with pytest.raises(ValueError, match="one terminal"):
        loaded.take_over(one)
    loaded.adopt(place.rules)
    loaded.take_over(one)
    slot = loaded.slots_of(np.array([999]))
    assert loaded.column("time", slot).tolist() == one.column("time", np.zeros(1, np.int64)).tolist()
    assert loaded.track(int(slot[0])) == one.track(0)


@settings(max_examples=80, deadline=None)
@given(
    world=worlds, walk=runs(), device=st.sampled_from(DEVICES), packets=packets, cuts=cuts,
    crashes=st.lists(st.tuples(st.sampled_from(["snapshot", "recall"]), st.integers(1, 3)), max_size=7),
)  # fmt: skip
def test_a_new_owner_decides_as_the_old_one_would_have(world, walk, device, packets, cuts, crashes):
    """Between any batches: a snapshot and back; or the fixes of the log, in other batches, and the stored tracks."""
    rows = arriving(world.walk(device, walk), packets)
    worker, log = Worker(world.rules), []
    for n, batch in enumerate(in_batches(rows, cuts)):
        worker.take(batch)
        log.append(batch)
        how, pieces = crashes[n] if n < len(crashes) else (None, 1)
        if how == "snapshot":
            worker.state = State.from_bytes(worker.state.to_bytes())
        elif how == "recall":
            worker.state, whole = State(), concatenate(log)
            for piece in np.array_split(np.arange(len(whole)), pieces):
                worker.state.recall(whole.take(piece))
            worker.state.replace_tracks({d: track for d, track in worker.tracks.items() if track is not None})
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, rows))
