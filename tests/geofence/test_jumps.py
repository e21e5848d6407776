"""Jumps, against a loop over the fixes one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geofence.jumps import NEVER, follow
from tests.geofence.oracle import jumped
from tests.geofence.world import SECOND, START, at, positions

steps = st.tuples(st.integers(0, 30), st.integers(-3000, 3000), st.integers(-3000, 3000), st.sampled_from([30, 2600]))


@given(st.lists(steps, min_size=1, max_size=12), st.booleans())
def test_a_terminal_against_the_loop(steps, known):
    """With a last fix or without one."""
    seconds = np.cumsum([step[0] + 1 for step in steps])
    lon, lat = at([step[1] for step in steps], [step[2] for step in steps])
    rows = positions(1, START + seconds * SECOND, lon, lat, speed=[step[3] for step in steps])
    expected = [jumped(rows, i, i - 1 if i else None) for i in range(len(rows))]
    first = 1 if known else 0
    last = (rows.time[:1], rows.lon[:1], rows.lat[:1]) if known else (np.array([NEVER]), rows.lon[:1], rows.lat[:1])
    begins = np.arange(len(rows) - first) == 0
    found, elapsed = follow(
        begins, rows.time[first:], rows.lon[first:], rows.lat[first:], rows.speed[first:], tuple(c[: begins.sum()] for c in last)
    )  # fmt: skip
    assert found.tolist() == expected[first:]
    assert elapsed.tolist() == [*([] if known else [0]), *np.diff(rows.time).tolist()]


def test_two_terminals_do_not_meet():
    """The first fix of one is held against its own last one, not against the other's."""
    lon, lat = at([0, 0, 5000, 5000], [0, 0, 0, 0])
    time = START + np.array([10, 20, 10, 20]) * SECOND
    begins = np.array([True, False, True, False])
    last = np.array([START, START]), lon[[0, 2]], lat[[0, 2]]
    found, _ = follow(begins, time, lon, lat, np.zeros(4, np.uint16), last)
    assert not found.any()
