"""Retracing: what a trail of a few fixes makes of late rows is what all of the history makes of them."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import concatenate
from geofence import trail
from tests.geofence.paging import OracleWorker
from tests.geofence.system import Worker, in_batches
from tests.geofence.test_late import SQUARE, known
from tests.geofence.test_presence import cuts, ruleset, shown, worlds
from tests.geofence.world import SECOND, START, at, positions, zone
from tests.geofence.worlds import DEVICES, arriving, packets

places = st.lists(st.integers(0, 400), min_size=1, max_size=3)
# How many reports at a place, how far apart (20: in one second), which engine and speed.
bursts = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(1, 4), st.sampled_from([20, 20, 0, 0, 1, 2, 3]), st.sampled_from([0, 0, 0, 1, 2, 3, 5])
    ), min_size=1, max_size=10,
)  # fmt: skip
walks = st.tuples(places, bursts).map(lambda found: [(found[0][run[0] % len(found[0])], *run[1:]) for run in found[1]])
small = st.lists(st.tuples(st.integers(1, 2), st.integers(45, 60), st.just(False)), max_size=10)
"""Packets that come a little out of order."""


@settings(max_examples=200, deadline=None)
@given(world=worlds, walk=walks, device=st.sampled_from(DEVICES), packets=small | packets, cuts=cuts,
       most=st.integers(1, trail.MOST_FIXES))  # fmt: skip
def test_a_trail_is_as_good_as_the_history(world, walk, device, packets, cuts, most):
    """With trails of any length, without any, and by the oracle: the same presences, and the same state in the end."""
    rows = arriving(world.walk(device, walk), packets)
    worker, without = Worker(world.rules), Worker(world.rules, retraces=False)
    with mock.patch.object(trail, "MOST_FIXES", most):
        for batch in in_batches(rows, cuts):
            worker.take(batch)
    for batch in in_batches(rows, cuts):
        without.take(batch)
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, rows))
    assert known(worker.state, device) == known(without.state, device)
    assert without.retraced == 0


@settings(max_examples=80, deadline=None)
@given(world=worlds, walk=walks, device=st.sampled_from(DEVICES[:5]), packets=small)
def test_a_trail_pages_as_the_history_does(world, walk, device, packets):
    """Packet by packet, the fixes that page are those that the whole history names."""
    rows = arriving(world.walk(device, walk), packets)
    oracle, worker = OracleWorker(world), Worker(world.rules)
    oracle.take_all(rows)
    for received in np.unique(rows.received).tolist():
        worker.take(rows.take(np.flatnonzero(rows.received == received)))
    corrected = oracle.database.corrected | worker.database.corrected
    found, expected = (
        {visit: page for visit, page in paged.items() if int(visit.split("-")[0]) not in corrected}
        for paged in (worker.database.paged(), oracle.database.paged())
    )
    assert found == expected


def burst(seed, seconds=6, each=30):
    """A terminal that stands inside a zone from the beginning and sends many reports of each second."""
    rng = np.random.default_rng(seed)
    n = seconds * each
    lon, lat = at(500 + rng.normal(0, 5, n), 500 + rng.normal(0, 5, n))
    time = START + np.repeat(np.arange(seconds), each) * SECOND
    received = START + (np.arange(n) * seconds * SECOND) // n + SECOND
    fingerprint = rng.permutation(n * 7)[:n]
    return positions(DEVICES[0], time, lon, lat, fingerprint=fingerprint, received=received, status=np.full(n, 3))


def test_a_new_terminals_first_seconds_need_no_history():
    """However the many reports of its first seconds in a zone are cut into batches, nothing is read from the database."""
    retraced = 0
    for seed in range(20):
        rows = burst(seed)
        worker = Worker(ruleset(zone(1, SQUARE)))
        for batch in in_batches(rows, np.random.default_rng(seed).integers(0, len(rows), 40).tolist()):
            worker.take(batch)
        assert (worker.rejudged, len(worker.database.presences)) == (0, 1)
        whole = Worker(ruleset(zone(1, SQUARE)))
        whole.take(rows)
        assert shown(worker.database.presences.values()) == shown(whole.database.presences.values())
        retraced += worker.retraced
    assert retraced > 20


def test_trails_are_bounded():
    """Of more terminals than there is room for, the ones that were unsettled longest ago lose theirs; nothing else changes."""
    rows = concatenate([burst(seed, 1, 3).with_columns(device=np.full(3, 1000 + seed)) for seed in range(12)])
    worker = Worker(ruleset(zone(1, SQUARE)))
    with mock.patch("geofence.state.MOST_TRAILS", 5):
        for batch in in_batches(rows, range(0, 36, 3)):
            worker.take(batch)
    assert len(worker.state.trails) == 5
    assert len(worker.state.tracks) == 12


def test_a_border_that_is_crossed_within_a_second_needs_no_history():
    """A settled terminal whose last fix gives way to another report of its second, on the other side of the border."""
    retraced = rejudged = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = burst(seed, 40, 5)
        there = np.repeat(rng.random(40) < 0.5, 5) ^ (rng.random(len(rows)) < 0.2)
        lon, lat = at(np.where(there, 500, 1100) + rng.normal(0, 3, len(rows)), 500 + rng.normal(0, 3, len(rows)))
        rows = rows.with_columns(lon=lon, lat=lat)
        worker, whole = Worker(ruleset(zone(1, SQUARE))), Worker(ruleset(zone(1, SQUARE)))
        for batch in in_batches(rows, range(0, len(rows), 3)):
            worker.take(batch)
        whole.take(rows)
        assert shown(worker.database.presences.values()) == shown(whole.database.presences.values())
        retraced, rejudged = retraced + worker.retraced, rejudged + worker.rejudged
    assert retraced > 100
    assert (
        rejudged < retraced / 20
    )  # where rows that change nothing were passed over, what is before the last is not known


def test_a_trail_whose_end_gave_way_is_not_gone_on_with():
    """A settled terminal's last fix that another report of its second replaces, unnoticed by the trail, ends no trail."""
    lon, lat = at(np.array([100, 100, 100, 900]), np.full(4, 500))
    time = START + np.array([0, 1, 2, 2]) * SECOND
    rows = positions(
        DEVICES[0], time, lon, lat, fingerprint=[1, 2, 50, 10], received=time + SECOND, status=np.full(4, 3)
    )
    worker = Worker(ruleset(zone(1, SQUARE)))
    first, second = in_batches(rows, [3])
    worker.take(first)
    assert worker.state.trails[0].end.fingerprint == 50
    worker.take(second)
    found = worker.state.trail_of(0)
    assert found is None or (found.end.fingerprint, found.end.lon) == (10, float(lon[3]))


@pytest.mark.parametrize(
    "late", [[(10, 500), (40, 500), (41, 1100), (42, 1100)], [(130, 500), (140, 1100), (145, 1100)]]
)
def test_a_trail_lacks_no_row_that_was_passed_over(late):
    """A late fix changes nothing and is passed over; then others show that the terminal left right after it."""
    came = [(0, 500), (20, 500), (100, 500), (160, 500), *late]
    lon, lat = at(np.array([east for _, east in came]), np.full(len(came), 500))
    time = START + np.array([second for second, _ in came]) * SECOND
    received = START + np.arange(200, 200 + len(came)) * SECOND
    rows = positions(DEVICES[0], time, lon, lat, fingerprint=np.arange(len(came)), received=received)
    worker, whole = Worker(ruleset(zone(1, SQUARE))), Worker(ruleset(zone(1, SQUARE)))
    for batch in in_batches(rows, range(len(came))):
        worker.take(batch)
    whole.take(rows.take(np.argsort(time)))
    assert shown(worker.database.presences.values()) == shown(whole.database.presences.values())
