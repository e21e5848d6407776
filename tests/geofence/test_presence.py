"""decide(): columns against the oracle, in any batches, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import geofence.trail
from columns.positions import Positions, Quality, concatenate
from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.presence import State, decide
from geofence.presences import CandidateSeen, Cause, Page, Presence
from geofence.ruleset import Ruleset
from geofence.walking import advance
from tests.geofence.system import Worker, in_batches
from tests.geofence.world import SECOND, START, at, box, positions, zone
from tests.geofence.worlds import DEVICES, EDIT, WORLDS, runs, world

worlds = st.integers(0, WORLDS - 1).map(world)
cuts = st.lists(st.integers(0, 40), max_size=6)


def shown(presences):
    """Presences by key; of one that goes on, the time it was last seen inside is not kept up to date."""
    found = [p if p.ended_at is not None else replace(p, last_inside_at=0) for p in presences]
    return sorted(found, key=lambda p: p.key)


def test_the_worlds_cover_what_can_happen():
    """Every cause, end, verdict and grade, several pieces of one stay, and stays that one fix confirms, do occur."""
    rng = np.random.default_rng(5)
    found = []
    for n in range(WORLDS * 25):
        few = rng.integers(0, 400, 3)
        walk = [(few[rng.integers(3)], rng.integers(1, 6), rng.integers(0, 7), rng.integers(0, 5)) for _ in range(12)]
        device = DEVICES[n % 7]
        found += world(n % WORLDS).oracle.presences(device, world(n % WORLDS).walk(device, walk))
    assert {p.cause for p in found} == set(Cause)
    assert {str(p.end) for p in found} == {"left", "signal_lost", "zone_ended", "judged_anew", "None"}
    assert {p.verdict for p in found} == {"violation", "allowed", "exempt", "unknown", None}
    assert {str(p.grade) for p in found} == {"working", "parked", "transport", "unknown"}
    assert any(p.confirmed_at == p.began_at for p in found if p.cause is Cause.CROSSING)
    assert any(p.began_at - p.entered_at > 3600 * SECOND for p in found)


@settings(max_examples=120, deadline=None)
@given(world=worlds, walk=runs(), device=st.sampled_from(DEVICES), cuts=cuts)
def test_columns_and_oracle_agree(world, walk, device, cuts):
    """One terminal's history in order, cut anywhere: presences are those that the whole history has."""
    rows = world.walk(device, walk)
    worker = Worker(world.rules)
    for batch in in_batches(rows, cuts):
        worker.take(batch)
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, rows))


@settings(max_examples=60, deadline=None)
@given(world=worlds, walks=st.lists(runs(6), min_size=2, max_size=8), cuts=cuts, seed=st.integers(0, 99))
def test_terminals_do_not_meet(world, walks, cuts, seed):
    """Many terminals, mixed within and across batches, rows of a batch in any order: each has its own presences."""
    histories = {device: world.walk(device, walk) for device, walk in zip(DEVICES, walks, strict=False)}
    rows = concatenate(list(histories.values()))
    rows = rows.take(np.argsort(rows.time, kind="stable"))
    worker = Worker(world.rules)
    rng = np.random.default_rng(seed)
    for batch in in_batches(rows, [cut * len(walks) for cut in cuts]):
        worker.take(batch.take(rng.permutation(len(batch))))
    expected = [p for device, own in histories.items() for p in world.oracle.presences(device, own)]
    assert shown(worker.database.presences.values()) == shown(expected)


@settings(max_examples=60, deadline=None)
@given(world=worlds, walk=runs(), device=st.sampled_from(DEVICES), cuts=cuts, back=st.integers(0, 3))
def test_rules_that_are_known_in_time_change_nothing(world, walk, device, cuts, back):
    """What is dated may be learned at any moment before its date, also between two fixes of a stay."""
    rows = world.walk(device, walk)
    split = int(np.searchsorted(rows.time, EDIT, side="right"))
    worker = Worker(world.before)
    for batch in in_batches(rows.take(np.arange(max(0, split - back))), cuts):
        worker.take(batch)
    worker.rules = world.rules
    for batch in in_batches(rows.take(np.arange(max(0, split - back), len(rows))), cuts):
        worker.take(batch)
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, rows))


# ---- single cases ----------------------------------------------------------------------------------------------------

HERE, THERE = at(500, 500), at(1200, 500)
HOUR = 3600 * SECOND
OLD = Machine(1, emission_stage="1")


def ruleset(*zones, machines=None, exemptions=()):
    return Ruleset(Fence.compile(zones), machines or Machines.bound({7: OLD}), exemptions)


def fixes(places, every=10, start=START, **columns):
    places = np.array(places)
    return positions(7, start + np.arange(len(places)) * every * SECOND, places[:, 0], places[:, 1], **columns)


def test_whom_a_zone_comes_to_is_not_paged():
    """A zone that takes effect around a machine, also after a break in force, has that as its cause."""
    square = box(0, 0, 1000, 1000)
    broken = [
        zone(1, square, valid_to=START + 100 * SECOND),
        zone(1, square, version=2, valid_from=START + 105 * SECOND),
        zone(2, square, valid_from=START + 55 * SECOND),
    ]  # fmt: skip
    worker = Worker(ruleset(*broken))
    worker.take(fixes([THERE, *[HERE] * 20], every=20))
    found = {p.key[1:]: p for p in worker.database.presences.values()}
    assert [(z, (began - START) // SECOND, p.cause.value) for (z, began), p in sorted(found.items())] == [
        (1, 20, "crossing"), (1, 120, "zone_effective"), (2, 60, "zone_effective"),
    ]  # fmt: skip
    assert {page.zone for page in worker.pages} == {1}
    assert {page.began_at for page in worker.pages} == {START + 20 * SECOND}


def test_a_change_between_confirmation_and_page_does_not_swallow_the_page():
    """Confirmed by late data, then judged anew before the first fresh fix: whoever crossed is paged with that one."""
    versions = [OLD, replace(OLD, owner="another", since=START + 35 * SECOND)]
    rules = ruleset(zone(1, box(0, 0, 1000, 1000)), machines=Machines([Binding(7, 1)], versions))
    worker = Worker(rules)
    late = fixes([THERE, HERE, HERE, HERE, HERE], received=START + HOUR)
    worker.take(late)
    assert not worker.pages
    worker.take(fixes([HERE], start=START + HOUR))
    assert not worker.pages  # the signal was lost in between: this one is a candidate
    worker.take(fixes([HERE], start=START + HOUR + 10 * SECOND))
    assert len(worker.pages) == 1
    worker = Worker(rules)
    worker.take(late.take(np.arange(3)))
    worker.take(fixes([HERE], start=START + 1000 * SECOND))
    assert [(p.cause.value, p.alarm) for p in worker.database.presences.values()] == [
        ("crossing", True), ("attribute_changed", True)
    ]  # fmt: skip
    assert [(page.began_at, page.after_late) for page in worker.pages] == [(START + 35 * SECOND, False)]


def test_a_jump_confirms_nothing():
    """It may be the first of the two fixes; who shows two places in turn is never believed, and pages nobody."""
    rules = ruleset(zone(1, box(0, 0, 20_000, 1000)))
    worker = Worker(rules)
    worker.take(fixes([THERE, HERE, HERE], every=5))
    [presence] = worker.database.presences.values()
    assert (presence.began_at, presence.confirmed_at) == (START + 5 * SECOND, START + 10 * SECOND)
    worker = Worker(rules)
    worker.take(fixes([THERE, *[HERE, at(9000, 500)] * 5], every=5))
    assert not worker.database.presences
    assert not worker.pages
    worker.take(fixes([HERE, HERE], start=START + 60 * SECOND, every=5))
    assert [(p.began_at - START) // SECOND for p in worker.database.presences.values()] == [60]


def test_a_jump_ends_nothing():
    """A wild fix outside is the first of two; the next one, back inside, takes it back."""
    worker = Worker(ruleset(zone(1, box(0, 0, 1000, 1000))))
    far = at(9000, 500)
    worker.take(fixes([HERE, HERE, far, HERE, far, at(-9000, 500), HERE, HERE], every=5))
    assert [p.ended_at for p in worker.database.presences.values()] == [None]
    worker.take(fixes([far, far], start=START + 60 * SECOND, every=5))
    assert [p.ended_at for p in worker.database.presences.values()] == [START + 60 * SECOND]


def test_rows_that_are_not_good_are_counted():
    """judged + harmless + not_good are the rows."""
    rows = concatenate([fixes([THERE, HERE, HERE, HERE], every=5), fixes([HERE], quality=Quality.NOT_FIXED)])
    state, rules = State(), ruleset(zone(1, box(0, 0, 1000, 1000)))
    state.adopt(rules)
    decision = decide(state, rules, rows)
    assert (decision.judged, decision.jumped, decision.harmless, decision.not_good) == (4, 1, 0, 1)
    assert len(decide(state, rules, Positions.empty()).changes) == 0


def test_other_rules_are_refused():
    """A set id of one fence means nothing to another."""
    state, rules = State(), ruleset(zone(1, box(0, 0, 1000, 1000)))
    with pytest.raises(ValueError, match="adopt"):
        decide(state, rules, fixes([HERE]))


@pytest.mark.parametrize(
    ("policy", "presences", "asked"), [("ask", 0, True), ("wait", 0, False), ("one_fix", 1, False)]
)
def test_a_slow_terminal(policy, presences, asked):
    """One inner fix after a long pause: asked for another, waited for, or enough."""
    worker = Worker(ruleset(zone(1, box(0, 0, 1000, 1000), slow_terminals=policy)))
    worker.take(fixes([THERE, HERE], every=600))
    assert len(worker.database.presences) == presences
    assert [seen.ask for seen in worker.candidates] == [asked]


# ---- what it costs ---------------------------------------------------------------------------------------------------


def test_a_fleet_that_stands_still_takes_no_scalar_step():
    """Parked in a zone, in its halo, at its border or elsewhere, late resends among it: columns only."""
    places = np.column_stack(at([500, -15, 15, 3000, 500], [500, 500, 500, 500, 20]))
    rules = ruleset(zone(1, box(0, 0, 1000, 1000)), machines=Machines.bound(dict.fromkeys(range(500), OLD)))
    state, steps = State(), []
    state.adopt(rules)

    def counted(*given):
        steps.append(given)
        return advance(*given)

    devices = np.arange(500)
    with mock.patch.object(geofence.trail, "advance", counted):
        for turn in range(12):
            time = np.full(500, START + turn * 30 * SECOND)
            lon, lat = places[devices % 5].T
            rows = positions(devices, time, lon + turn % 3 * 1e-5, lat, fingerprint=devices * 100 + turn)
            if turn > 5:  # some of an earlier second come late
                rows = concatenate([rows, rows.with_columns(time=time - 5 * SECOND, received=time + 2 * SECOND)])
            before = len(steps)
            decision = decide(state, rules, rows)
            state.apply(decision.delta)
            assert len(decision.late) == 0
            if turn > 3:
                assert len(steps) == before
                assert decision.harmless == (500 if turn > 5 else 0)
    assert steps
    kinds = [type(change) for change in decision.changes]
    assert not {CandidateSeen, Page, Presence} & set(kinds)
