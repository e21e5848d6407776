"""Snapshots of a partition's state."""

import json
import struct
import zlib

import numpy as np
import pytest

from geofence.nested import Depth
from geofence.presence import SnapshotError, State
from tests.geofence.test_presence import DEVICES, FENCE, MACHINES, MENU, history, run


@pytest.fixture(scope="module")
def state():
    """Terminals in every situation: candidates, visits, on their way out, and far from it all."""
    sets = FENCE.locate(MENU[:, 0], MENU[:, 1]).tolist()
    inner = [i for i, s in enumerate(sets) if (0, Depth.INNER) in FENCE.depths(s)]
    outside = sets.index(0)
    ends = [[], [outside], [inner[0]], [0], [outside, outside], [inner[1], outside], [outside, outside, inner[0]]]
    walks = [[outside, inner[0], inner[-1], *end] for end in ends]
    _, state = run([history(device, walk) for device, walk in zip(DEVICES, walks, strict=True)])
    assert any(track.visits for track in state.tracks.values())
    return state


def test_round_trip(state):
    """Bytes to state to bytes; and everything is as it was once it has its fence."""
    loaded = State.from_bytes(state.to_bytes())
    assert loaded.to_bytes() == state.to_bytes()
    assert loaded.tracks == state.tracks
    loaded.refence(FENCE)
    slots = loaded.slots_of(np.array([*DEVICES, 1]))
    assert slots.tolist() == [*state.slots_of(np.array(DEVICES)).tolist(), -1]
    for name in ("time", "lon", "lat", "set_id"):
        assert loaded.column(name, slots[:-1], 0).tolist() == state.column(name, slots[:-1], 0).tolist()


def test_an_empty_state():
    """A partition that has seen nothing yet."""
    assert len(State.from_bytes(State().to_bytes())) == 0


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


@pytest.mark.parametrize("header", [{"v": 2, "n": 0, "tracks": {}}, {"v": 1}, {"v": 1, "n": 3, "tracks": {}}, []])
def test_other_versions_are_refused(header):
    """A snapshot of another version, or without what it should hold."""
    body = json.dumps(header).encode()
    with pytest.raises(SnapshotError):
        State.from_bytes(struct.pack("<4sII", b"LZS1", zlib.crc32(body), len(body)) + body)


def test_refencing_to_the_same_fence_is_free(state):
    """So a worker may call it before every batch."""
    before = state.revision
    state.refence(FENCE)
    assert state.revision == before


def test_unknown_devices_are_refused_by_lookup():
    """A state that knows nobody says so for everybody."""
    assert State().slots_of(np.array([1, 2])).tolist() == [-1, -1]
    _, state = run([history(5, [0])], machines=MACHINES)
    assert state.slots_of(np.array([4, 5, 6])).tolist() == [-1, 0, -1]
