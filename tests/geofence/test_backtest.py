"""A draft over history: what live deciding and forming make of the same rows, in whatever pieces they are read."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import concatenate
from geofence import backtest
from geofence.backtest import Backtest, bounds, compare
from geofence.exemptions import Exemption
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.presence import State, decide
from geofence.presences import End, Presence
from geofence.ruleset import Ruleset
from geofence.visits import ZoneFacts, form
from tests.geofence.world import SECOND, START, at, box, positions, zone
from tests.geofence.worlds import DEVICES, WORLDS, arriving, packets, runs, world

MINUTE = 60 * SECOND
SQUARE = zone(1, box(0, 0, 1000, 1000))
BANNED = Machines.bound({7: Machine(3, "3-00012345", "excavator", emission_stage="2")})


def journey(places, *, device=7, start=START, every=MINUTE, **columns):
    """One terminal at these places (metres east), one a minute."""
    lon, lat = at(places, [500.0] * len(places))
    return positions(device, [start + n * every for n in range(len(places))], lon, lat, **columns)


def visits_of(draft, machines, *parts, exemptions=()):
    test = Backtest(draft, machines, exemptions)
    for part in parts:
        test.take(part)
    return test.visits()


def live(draft, machines, exemptions, rows):
    """Each row by itself, as it comes in, and the visits formed of the presences that this made."""
    rules = Ruleset(Fence.compile([draft]), machines, exemptions)
    state, found = State(), {}
    state.adopt(rules)
    for i in np.lexsort((rows.fingerprint, rows.time)).tolist():
        row = rows.take(np.array([i]))
        decision = decide(state, rules, row.with_columns(received=row.time + SECOND))
        state.apply(decision.delta)
        found |= {change.key: change for change in decision.changes if isinstance(change, Presence)}
    facts = ZoneFacts(draft.tier, draft.district, int(draft.merge_s * SECOND), int(draft.lost_merge_s * SECOND))
    its = {}
    for presence in found.values():
        its.setdefault(presence.machine, []).append(presence)
    return [visit for own in its.values() for visit in form(own, {(draft.id, draft.version): facts})]


def plain(visits):
    """Without what a back-test does not look at (receipt), and where live does not keep up (a visit that goes on)."""
    made = [
        replace(visit, received=0, late=False, last_inside_at=visit.last_inside_at if visit.exited_at else 0)
        for visit in visits
    ]
    return sorted(made, key=lambda visit: (visit.entered_at, visit.machine, not visit.alarming))


chunks = st.lists(st.integers(0, 10**6), max_size=6)


@given(
    seed=st.integers(0, WORLDS - 1), which=st.integers(0, 6), walks=st.lists(runs(), min_size=1, max_size=4),
    cuts=chunks, turn=st.sampled_from([1, 2, 32]), mixed=st.randoms(use_true_random=False),
)  # fmt: skip
@settings(deadline=None, max_examples=80)
def test_it_is_what_live_makes_of_the_same_rows(seed, which, walks, cuts, turn, mixed):
    """Any zone, any walks, dated machines and exemptions, cut at any times, in any order and turns within a piece."""
    here = world(seed)
    draft = replace(here.rules.fence.zones[which], valid_from=None, valid_to=None)
    rows = concatenate([here.walk(device, walk) for device, walk in zip(DEVICES, walks, strict=False)])
    edges = sorted(int(rows.time.min()) + cut * SECOND for cut in cuts)
    parts = []
    for begin, end in zip([-(2**62), *edges], [*edges, 2**62], strict=True):
        index = np.flatnonzero((rows.time >= begin) & (rows.time < end)).tolist()
        mixed.shuffle(index)
        parts.append(rows.take(np.array(index, int)))
    with mock.patch.object(backtest, "_ROWS_OF_A_TURN", turn):
        found = visits_of(draft, here.machines, *parts, exemptions=here.exemptions)
    assert plain(found) == plain(live(draft, here.machines, here.exemptions, rows))


@given(seed=st.integers(0, WORLDS - 1), walk=runs(), sent=packets)
@settings(deadline=None)
def test_receipt_does_not_matter(seed, walk, sent):
    """What came late, or as backfill, is judged by its own time like all else."""
    here = world(seed)
    rows = here.walk(DEVICES[0], walk)
    draft = here.rules.fence.zones[1]
    assert visits_of(draft, here.machines, rows) == visits_of(draft, here.machines, arriving(rows, sent))


@given(seed=st.integers(0, WORLDS - 1), which=st.integers(0, 6), walks=st.lists(runs(), min_size=1, max_size=5))
@settings(deadline=None)
def test_who_never_was_in_the_box_is_on_no_visit(seed, which, walks):
    """The box around the zone's halo: terminals without a fix in it can be left out whole."""
    here = world(seed)
    draft = here.rules.fence.zones[which]
    west, south, east, north = bounds(draft)
    rows = concatenate([here.walk(device, walk) for device, walk in zip(DEVICES, walks, strict=False)])
    inside = (rows.lon >= west) & (rows.lon <= east) & (rows.lat >= south) & (rows.lat <= north)
    kept = rows.take(np.flatnonzero(np.isin(rows.device, rows.device[inside & rows.good])))
    assert visits_of(draft, here.machines, kept) == visits_of(draft, here.machines, rows)


def test_a_visit_with_its_times():
    """Entered with the first inner fix of two, left with the first of two outside; the machine as the registry had it."""
    (visit,) = visits_of(SQUARE, BANNED, journey([-500, 500, 510, 520, 1500, 1500, 1500]))
    assert ((visit.entered_at - START) // MINUTE, (visit.exited_at - START) // MINUTE) == (1, 4)
    assert (visit.exit_reason, visit.verdict, visit.alarming, visit.machine) == (End.LEFT, "violation", True, 3)
    assert visit.snapshot["registration_number"] == "3-00012345"


def test_the_zones_own_dates_are_set_aside():
    """A draft that begins next year is tested on last month."""
    future = replace(SQUARE, valid_from=START * 2, valid_to=START * 3)
    assert len(visits_of(future, BANNED, journey([500, 510, 520]))) == 1


def test_a_visit_that_goes_on_was_last_seen_with_the_last_fix_inside():
    """However long nothing about it changed."""
    parts = [journey([500] * 50, start=START + day * 50 * MINUTE) for day in range(3)]
    (visit,) = visits_of(SQUARE, BANNED, *parts)
    assert (visit.exited_at, visit.last_inside_at) == (None, START + 149 * MINUTE)
    (visit,) = visits_of(SQUARE, BANNED, *parts, journey([1500], start=START + 150 * MINUTE))
    assert (visit.exited_at, visit.last_inside_at) == (None, START + 149 * MINUTE)


def test_bad_fixes_are_counted_and_decide_nothing():
    """points is every row; two of three are no fixes, so nothing was confirmed."""
    test = Backtest(SQUARE, BANNED)
    test.take(journey([500, 510, 520], quality=[0, 1, 4]))
    assert (test.points, test.unjudged, test.visits()) == (3, 2, [])


def test_an_exemption_of_the_zone_counts():
    """Of this zone's id, at its time."""
    granted = Exemption(1, "machine", 3, 1, START, None, "a", "b")
    (visit,) = visits_of(SQUARE, BANNED, journey([500, 510]), exemptions=[granted])
    assert (visit.verdict, visit.alarming) == ("exempt", False)
    (visit,) = visits_of(replace(SQUARE, id=2), BANNED, journey([500, 510]), exemptions=[granted])
    assert visit.verdict == "violation"


def test_older_rows_are_refused():
    """Pieces must ascend: a back-test that forgot rows would answer wrongly."""
    test = Backtest(SQUARE, BANNED)
    test.take(journey([500, 510]))
    with pytest.raises(ValueError, match="older"):
        test.take(journey([-500], start=START - MINUTE))


def test_two_versions_are_compared_by_moments():
    """Same machine at the same time is the same visit, though it began elsewhere; silent visits are left out."""
    machines = Machines.bound({7: Machine(3, emission_stage="2"), 8: Machine(4, emission_stage="2"),
                               9: Machine(5, emission_stage="unknown")})  # fmt: skip
    rows = [
        journey([-500, 100, 110, 600, 610, 1500, 1500]),
        journey([-500, 100, 110, -500, -500], device=8),
        journey([-500, 100, 110, -500, -500], device=9),
        journey([1200, 1210, 2500, 2500], device=8, start=START + 20 * 3600 * SECOND),
    ]
    wide = visits_of(SQUARE, machines, *rows)
    narrow = visits_of(zone(1, box(400, 0, 1400, 1000)), machines, *rows)
    found = compare(narrow, wide)
    assert [visit.machine for visit in found.both] == [3]
    assert [(visit.machine, visit.entered_at) for visit in found.only_draft] == [(4, START + 20 * 3600 * SECOND)]
    assert [(visit.machine, visit.entered_at) for visit in found.only_current] == [(4, START + MINUTE)]
