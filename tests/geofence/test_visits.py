"""Visits, told as journeys: what is opened, what attaches, what ends when."""

from dataclasses import replace

import pytest

from geofence.changes import CandidateSeen, Cause, VisitEnded, VisitOpened
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.presence import State, decide
from geofence.rules import Verdict
from tests.geofence.world import SECOND, START, at, box, positions, zone

DEVICE = 0xABC
MINUTE = 60 * SECOND


def journey(zones, places, stage="2", **columns):
    """The changes of one machine that is at a place (metres east, 500 m north of HOME) each minute."""
    fence, state = Fence.compile(zones), State()
    state.refence(fence)
    lon, lat = at(places, [500.0] * len(places))
    rows = positions(DEVICE, [START + n * MINUTE for n in range(len(places))], lon, lat, **columns)
    return decide(state, fence, Machines.bound({DEVICE: Machine(1, emission_stage=stage)}), rows).changes


def visits(changes):
    return [change for change in changes if not isinstance(change, CandidateSeen)]


def minutes(time):
    return (time - START) // MINUTE


GENERAL = zone(1, box(0, 0, 1000, 1000), version=4, district="371502001")
CORE = zone(2, box(400, 0, 600, 1000), tier="core")


def test_one_crossing():
    """Candidate at the line, confirmed by two inner fixes, ended by two outside the halo."""
    seen, opened, ended = journey([GENERAL], [-100, 10, 100, 200, 500, 1010, 1100, 1200, 1300])
    assert (minutes(seen.at), seen.zone, seen.received) == (1, 1, START + MINUTE + SECOND)
    assert opened.id == f"abc-1-{START + 2 * MINUTE}"
    assert (minutes(opened.entered_at), minutes(opened.confirmed_at), minutes(opened.last_inside_at)) == (2, 3, 3)
    assert (opened.zone, opened.zone_version, opened.district, opened.machine.id) == (1, 4, "371502001", 1)
    assert (opened.verdict, opened.alarm, opened.cause) == ("violation", True, Cause.CROSSING)
    assert opened.rule == {"index": 0, "predicate": {"stage_below": "3"}}
    assert (opened.lon, opened.lat) == at(200.0, 500.0)
    assert opened.received == opened.confirmed_at + SECOND
    assert ended == VisitEnded(opened.id, DEVICE, START + 6 * MINUTE, START + 4 * MINUTE)


def test_a_resent_second_does_not_confirm():
    """Two reports of one second are one moment; the next second confirms."""
    fence, state = Fence.compile([GENERAL]), State()
    state.refence(fence)
    machines = Machines.bound({DEVICE: Machine(1, emission_stage="2")})
    found = []
    for time in (START, START, START, START + SECOND):
        lon, lat = at([500.0, 501.0], 500.0)
        decision = decide(state, fence, machines, positions(DEVICE, [time, time], lon, lat, fingerprint=[1, 2]))
        state.apply(decision.delta)
        found.append([type(change) for change in decision.changes])
    assert found == [[CandidateSeen], [], [], [VisitOpened]]


def test_back_into_the_halo_is_not_a_new_visit():
    """One fix outside, then one within 30 m of the line: still the same visit."""
    changes = visits(journey([GENERAL], [500, 500, 1100, 1020, 1100, 500, 1100, 1100]))
    assert [type(change) for change in changes] == [VisitOpened, VisitEnded]
    assert (minutes(changes[1].exited_at), minutes(changes[1].last_inside_at)) == (6, 5)


def test_overlapping_zones_are_one_visit():
    """Into the general zone, through the core, out: one visit, ended when the last presence has."""
    opened, ended = visits(journey([GENERAL, CORE], [100, 200, 500, 520, 800, 900, 1100, 1100]))
    assert (opened.zone, ended.id) == (1, opened.id)
    assert (minutes(ended.exited_at), minutes(ended.last_inside_at)) == (6, 5)


def test_the_first_zone_may_end_first():
    """A visit outlives the zone that opened it, as long as one that attached goes on."""
    beside = zone(3, box(800, 0, 2000, 1000))
    opened, ended = visits(journey([GENERAL, beside], [500, 900, 900, 1500, 1500, 1900, 2100, 2100]))
    assert (opened.zone, minutes(ended.exited_at), minutes(ended.last_inside_at)) == (1, 6, 5)


def test_core_leads_where_both_confirm_on_one_fix():
    """The more serious zone names the visit."""
    [opened] = visits(journey([GENERAL, CORE], [500, 510]))
    assert opened.zone == 2


def test_zones_that_only_touch_in_time_are_two_visits():
    """The exit of one is the entry of the other: no overlap, so each has its own alarm."""
    beside = zone(3, box(2000, 0, 3000, 1000))
    first, ended, second = visits(journey([GENERAL, beside], [500, 500, 2500, 2500]))
    assert (first.zone, ended.id, second.zone) == (1, first.id, 3)
    assert ended.exited_at == second.entered_at


@pytest.mark.parametrize(
    ("stage", "policy", "found"),
    [
        ("2", "record", ("violation", True)),
        ("x", "record", ("violation", True)),
        ("unknown", "record", ("unknown", False)),
        ("unknown", "alarm", ("unknown", True)),
        ("3", "alarm", None),
        ("electric", "alarm", None),
    ],
)
def test_who_gets_a_visit(stage, policy, found):
    """Banned machines alarm; unknown ones as the zone says; allowed ones open no visit."""
    changes = visits(journey([zone(1, box(0, 0, 1000, 1000), unknown_policy=policy)], [500, 500], stage))
    assert [(change.verdict, change.alarm) for change in changes] == ([found] if found else [])


def test_a_silent_visit_hides_no_alarm():
    """A recorded stay of an unknown machine does not swallow the alarm of a stricter zone within it."""
    silent, loud = GENERAL, zone(2, box(400, 0, 600, 1000), unknown_policy="alarm")
    first, second, *ends = visits(journey([silent, loud], [100, 200, 500, 500, 1100, 1100], "unknown"))
    assert [(change.zone, change.alarm) for change in (first, second)] == [(1, False), (2, True)]
    assert {end.id for end in ends} == {first.id, second.id}
    [only, end] = visits(journey([silent, loud], [500, 500, 1100, 1100], "unknown"))
    assert (only.zone, only.alarm, end.id) == (2, True, only.id)


@pytest.mark.parametrize(
    ("status", "speed", "grade"),
    [
        (3, 0, "working"),
        (3, 399, "working"),
        (3, 400, "unknown"),
        (2, 0, "parked"),
        (2, 1, "unknown"),
        (2, 199, "unknown"),
        (2, 200, "transport"),
        (2, 900, "transport"),
    ],
)
def test_grade(status, speed, grade):
    """ACC (status bit 0) and speed of the confirming fix."""
    [opened] = visits(journey([GENERAL], [500, 500], status=status, speed=[0, speed]))
    assert opened.grade == grade


def test_a_zone_counts_only_while_it_is_in_force():
    """Inside before: confirmed from the first fix in force, with that cause. Expired: left from the first fix after."""
    dated = zone(1, box(0, 0, 1000, 1000), valid_from=START + 3 * MINUTE, valid_to=START + 6 * MINUTE)
    seen, opened, ended = journey([dated], [500] * 9)
    assert (minutes(seen.at), minutes(opened.entered_at), minutes(opened.confirmed_at)) == (3, 3, 4)
    assert opened.cause is Cause.ZONE_EFFECTIVE
    assert (minutes(ended.exited_at), minutes(ended.last_inside_at)) == (6, 5)


def test_a_new_zone_around_a_parked_machine():
    """Published where a machine stands already: a visit with that cause, though nothing crossed a line."""
    before, after, state = Fence.compile([]), Fence.compile([GENERAL]), State()
    machines = Machines.bound({DEVICE: Machine(1, emission_stage="2")})
    lon, lat = at([500.0], [500.0])
    found = []
    for n, fence in enumerate([before, before, after, after]):
        state.refence(fence)
        decision = decide(state, fence, machines, positions(DEVICE, START + n * MINUTE, lon, lat))
        state.apply(decision.delta)
        found += visits(decision.changes)
    assert [(change.cause, minutes(change.entered_at)) for change in found] == [(Cause.ZONE_EFFECTIVE, 2)]


def test_a_retired_zone_is_left():
    """A fence without the zone: its visit ends by the next two fixes."""
    state, machines = State(), Machines.bound({DEVICE: Machine(1, emission_stage="2")})
    lon, lat = at([500.0], [500.0])
    fence, found = Fence.compile([GENERAL, CORE]), []
    for n in range(8):
        fence = fence.without(1, 4).without(2, 1) if n == 4 else fence
        state.refence(fence)
        decision = decide(state, fence, machines, positions(DEVICE, START + n * MINUTE, lon, lat))
        state.apply(decision.delta)
        found += visits(decision.changes)
    assert [type(change) for change in found] == [VisitOpened, VisitEnded]
    assert minutes(found[1].exited_at) == 4
    assert not state.tracks


def test_two_zones_that_ban_different_stages():
    """Each presence has the verdict of its own zone: allowed in the outer, banned in the inner."""
    lax = zone(1, box(0, 0, 1000, 1000), rules=())
    [opened] = visits(journey([lax, CORE], [100, 200, 500, 500]))
    assert (opened.zone, opened.verdict) == (2, Verdict.VIOLATION)


def test_a_new_version_is_no_second_visit():
    """A machine inside when the next version begins goes on with its one visit, also where late reports of the old come."""
    machines = Machines.bound({DEVICE: Machine(1, emission_stage="2")})
    border = START + 4 * MINUTE
    old, new = replace(CORE, valid_to=border), replace(CORE, version=2, valid_from=border)
    state, found = State(), []
    lon, lat = at([500.0], [500.0])
    for n in range(8):
        fence = Fence.compile([old, new]) if n >= 2 else Fence.compile([CORE])
        state.refence(fence)
        decision = decide(state, fence, machines, positions(DEVICE, START + n * MINUTE, lon, lat))
        state.apply(decision.delta)
        found += visits(decision.changes)
    assert [type(change) for change in found] == [VisitOpened]
