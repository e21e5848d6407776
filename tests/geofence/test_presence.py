"""decide(): columns against the oracle, and the laws of batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Positions, Quality, concatenate
from geofence.changes import CandidateSeen, VisitEnded, VisitOpened
from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.presence import State, decide
from tests.geofence.oracle import Oracle
from tests.geofence.world import SECOND, START, at, box, positions, zone

HOUR = 3600 * SECOND
ZONES = [
    zone(1, box(0, 0, 1000, 1000)),
    zone(2, box(300, 300, 700, 1200), tier="core"),
    zone(3, box(1000, 0, 1400, 600), unknown_policy="alarm", guard_m=0, halo_m=60),
    zone(4, box(600, -400, 1200, 400), tier="core", valid_from=START + HOUR, valid_to=START + 3 * HOUR, halo_m=0),
    zone(5, box(-300, 500, 200, 900), rules=()),
]
FENCE = Fence.compile(ZONES)
ORACLE = Oracle(ZONES)
STAGES = ["2", "4", "unknown", "x", "electric"]
UNBOUND = 0x105
MACHINES = Machines(
    [Binding(0x100 + i, Machine(i, emission_stage=stage)) for i, stage in enumerate(STAGES)]
    + [Binding(0x106, Machine(9, emission_stage="1"), START + HOUR, START + 2 * HOUR)]
)
DEVICES = [*range(0x100, 0x107)]


def _menu():
    """Points that cover every set of depths of the zones above, three of each."""
    rng = np.random.default_rng(7)
    lon, lat = at(rng.uniform(-450, 1600, 6000), rng.uniform(-550, 1350, 6000))
    sets = FENCE.locate(lon, lat)
    chosen = np.concatenate([np.flatnonzero(sets == s)[:3] for s in np.unique(sets)])
    return np.column_stack([lon[chosen], lat[chosen]])


MENU = _menu()


def history(device, steps, every=600 * SECOND):
    """Fixes at menu places, ten minutes apart."""
    place = MENU[np.array([s % len(MENU) for s in steps], int)]
    n = np.arange(len(steps))
    return positions(device, START + n * every, place[:, 0], place[:, 1], status=n % 3 % 2, speed=n * 70 % 500)


def run(batches, state=None, fence=FENCE, machines=MACHINES):
    """The changes of batches decided one after the other, and the state they leave."""
    state = state or State()
    state.refence(fence)
    changes = []
    for batch in batches:
        decision = decide(state, fence, machines, batch)
        state.apply(decision.delta)
        changes += decision.changes
    return changes, state


def by_device(changes):
    found = {}
    for change in changes:
        found.setdefault(change.device, []).append(change)
    return found


def expected(rows):
    """The oracle's changes, in the order of decide: by fix; candidates, then ends, then visits opened."""
    rank = {CandidateSeen: 0, VisitEnded: 1, VisitOpened: 2}
    found = ORACLE.changes(MACHINES, rows)
    return [change for _, change in sorted(found, key=lambda each: (each[0], rank[type(each[1])]))]


steps = st.lists(st.integers(0, 200), min_size=1, max_size=40)


def sticky():
    """Histories between a few places, with stays in between: entries, settled stays, hesitations and exits all happen."""
    few = st.lists(st.integers(0, 200), min_size=1, max_size=5)
    runs = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1, 1, 2, 2, 4])), min_size=1, max_size=20)
    return st.builds(
        lambda places, pairs: [places[which % len(places)] for which, times in pairs for _ in range(times)], few, runs
    )


def test_the_menu_covers_the_zones():
    """Candidates, overlaps and every depth of every zone are within the tests' reach."""
    seen = {(z, d) for s in FENCE.locate(MENU[:, 0], MENU[:, 1]) for z, d in FENCE.depths(int(s))}
    assert {(z, d) for z, d in seen if d == 3} == {(z, 3) for z in range(5)}
    assert len(seen) == 5 * 3 - 2  # zone 3 has no border belt, zone 4 no halo


@settings(max_examples=150, deadline=None)
@given(device=st.sampled_from(DEVICES), walk=st.one_of(steps, sticky()))
def test_columns_and_oracle_agree(device, walk):
    """One terminal's history in one batch: the vectorised path says what the slow one says."""
    rows = history(device, walk)
    changes, _ = run([rows])
    assert changes == expected(rows)


@settings(max_examples=80, deadline=None)
@given(walks=st.lists(sticky(), min_size=1, max_size=7), data=st.data())
def test_batching_changes_nothing(walks, data):
    """In-order data, cut anywhere and mixed with other terminals: the same changes as terminal by terminal."""
    histories = [history(device, walk) for device, walk in zip(DEVICES, walks, strict=False)]
    cuts = [sorted(data.draw(st.lists(st.integers(0, len(rows)), min_size=2, max_size=2))) for rows in histories]
    batches = []
    for part in range(3):
        pieces = []
        for rows, (a, b) in zip(histories, cuts, strict=True):
            begin, end = [(0, a), (a, b), (b, len(rows))][part]
            pieces.append(rows.take(np.arange(begin, end)))
        mixed = concatenate(pieces)
        shuffled = np.array(data.draw(st.permutations(range(len(mixed)))), int)
        batches.append(mixed.take(shuffled))
    changes, _ = run(batches)
    assert by_device(changes) == {int(rows.device[0]): wanted for rows in histories if (wanted := expected(rows))}


@settings(max_examples=60, deadline=None)
@given(walk=sticky(), cut=st.integers(0, 60), data=st.data())
def test_a_restart_or_a_new_fence_changes_nothing(walk, cut, data):
    """A state through its snapshot and onto a freshly compiled fence of the same zones goes on as if nothing happened."""
    device = data.draw(st.sampled_from(DEVICES))
    rows = history(device, walk)
    first, rest = rows.take(np.arange(min(cut, len(rows)))), rows.take(np.arange(min(cut, len(rows)), len(rows)))
    before, state = run([first])
    loaded = State.from_bytes(state.to_bytes())
    after, _ = run([rest], loaded, Fence.compile(ZONES) if cut % 10 == 0 else FENCE)
    assert before + after == expected(rows)


@settings(max_examples=60, deadline=None)
@given(walk=sticky(), data=st.data())
def test_resends_and_bad_fixes_change_nothing(walk, data):
    """A second report of a second, a late one, and a fix with a quality bit: not judged, and counted."""
    rows = history(0x100, walk)
    extra = rows.take(np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)), int))
    elsewhere = data.draw(st.integers(0, len(MENU) - 1))
    extra = extra.with_columns(lon=np.full(len(extra), MENU[elsewhere, 0]), lat=np.full(len(extra), MENU[elsewhere, 1]))
    bad = history(0x100, walk[::-1]).with_columns(quality=np.full(len(rows), Quality.JUMP, np.uint8))
    state = State()
    state.refence(FENCE)
    decision = decide(state, FENCE, MACHINES, concatenate([rows, extra, bad]))
    assert list(decision.changes) == expected(rows)
    assert (decision.judged, decision.unjudged, decision.not_good) == (len(rows), len(extra), len(bad))
    state.apply(decision.delta)
    again = decide(state, FENCE, MACHINES, concatenate([extra, rows]))
    assert not again.changes
    assert (again.judged, again.unjudged) == (0, len(rows) + len(extra))


@settings(max_examples=60, deadline=None)
@given(offsets=st.lists(st.floats(-29, 29), min_size=1, max_size=60))
def test_noise_at_the_border_never_confirms(offsets):
    """A machine beside the border whose fixes jump up to the guard on either side is a candidate at most."""
    lon, lat = at(np.array(offsets), 500.0)
    n = np.arange(len(offsets))
    changes, _ = run([positions(0x100, START + n * 10 * SECOND, lon, lat)], fence=Fence.compile([ZONES[0]]))
    assert all(isinstance(change, CandidateSeen) for change in changes)


def test_a_steady_batch_runs_no_scalar_code(monkeypatch):
    """Machines that stay inside, in the halo or outside cost nothing per row; only the one that moves is walked."""
    places = np.array([(500, 100), (-15, 100), (5000, 5000), (500, 800), (10, 100)])
    lon, lat = at(places[:, 0], places[:, 1])
    devices = np.arange(0x200, 0x205)
    batches = [positions(devices, np.full(5, START + n * SECOND), lon, lat) for n in range(4)]
    _, state = run(batches[:3])
    walked = []
    monkeypatch.setattr("geofence.presence.advance", lambda device, *rest: walked.append(device))
    assert not decide(state, FENCE, MACHINES, batches[3]).changes
    assert walked == []


def test_deciding_leaves_the_state_alone():
    """Only apply changes a state; a second decision on it says the same, and a stale delta is refused."""
    rows = history(0x100, [0, 40, 40, 40, 80, 80])
    state = State()
    state.refence(FENCE)
    before = state.to_bytes()
    first, second = (decide(state, FENCE, MACHINES, rows) for _ in range(2))
    assert first.changes == second.changes
    assert state.to_bytes() == before
    state.apply(first.delta)
    with pytest.raises(ValueError, match="another state"):
        state.apply(second.delta)


def test_a_state_of_another_fence_is_refused():
    """Set ids of one fence mean nothing to another: deciding on them would be silently wrong."""
    with pytest.raises(ValueError, match="refence"):
        decide(State(), FENCE, MACHINES, Positions.empty())


def test_an_empty_batch_and_an_empty_fence():
    """Nothing in, nothing out; no zones, no changes, and the rows are judged all the same."""
    assert run([Positions.empty()])[0] == []
    fence = Fence.compile([])
    state = State()
    state.refence(fence)
    decision = decide(state, fence, Machines(), history(0x100, range(20)))
    assert (decision.changes, decision.judged) == ((), 20)


def test_unbound_terminals_are_present_but_visit_nothing():
    """A terminal that waits for a machine has its presence kept; a candidacy shows, a visit does not open."""
    lon, lat = at(np.full(3, 500.0), np.full(3, 100.0))
    changes, state = run([positions(UNBOUND, START + np.arange(3) * SECOND, lon, lat)])
    assert [type(change) for change in changes] == [CandidateSeen]
    assert state.track(0).stays[1].entered_at == START
