"""Simulated machines move as machines do, and the same way every time."""

# ruff: noqa: S311  seeded motion, not secrets

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo.fleet import fleet
from gateway.simulator.fleet import anybody, round_of
from gateway.simulator.machines import KINDS, TRAILER_KMH
from gateway.simulator.motion import Itinerary, Mode, drive, moved, noise, offset, park, work

NOW = 1_770_000_000.0
HERE = (115.98, 36.45)


@given(seed=st.integers(0, 10**6), index=st.integers(0, 10**5), time=st.floats(NOW, NOW + 1e6))
def test_a_fix_is_a_function_of_seed_and_time(seed, index, time) -> None:
    """Two simulators with one seed agree, and asking twice changes nothing."""
    assert round_of(seed, index).at(time) == round_of(seed, index).at(time)


def test_another_seed_moves_otherwise() -> None:
    assert round_of(1, 0).at(NOW) != round_of(2, 0).at(NOW)


@settings(deadline=None)
@given(index=st.integers(0, 299), time=st.floats(NOW, NOW + 7200))
def test_speed_is_possible_for_the_kind(index, time) -> None:
    """Never faster than its kind works or drives, or than a trailer."""
    machine = fleet()[index]
    fix = machine.itinerary.at(time)
    fastest = {
        Mode.PARKED: 0,
        Mode.WORKING: machine.kind.work_kmh,
        Mode.DRIVING: machine.kind.road_kmh,
        Mode.TRAILER: TRAILER_KMH,
    }[fix.mode]
    assert 0 <= fix.speed_kmh <= fastest
    assert fix.engine_on is (fix.mode in {Mode.WORKING, Mode.DRIVING})
    assert 0 <= fix.course_deg < 360


@settings(deadline=None)
@given(index=st.integers(0, 299), time=st.floats(NOW, NOW + 7200))
def test_the_track_agrees_with_the_speed(index, time) -> None:
    """Between two fixes a second apart a machine moves about as far as it says, give or take the receiver's drift."""
    itinerary = fleet()[index].itinerary
    before, after = itinerary.at(time), itinerary.at(time + 1)
    metres = math.hypot(*offset((before.lon, before.lat), (after.lon, after.lat)))
    said = [before.speed_kmh / 3.6, after.speed_kmh / 3.6]
    assert min(said) - 2.5 <= metres <= max(said) + 2.5


@settings(deadline=None)
@given(index=st.integers(0, 299), time=st.floats(NOW, NOW + 7200), later=st.floats(0, 3600))
def test_the_odometer_never_runs_backwards(index, time, later) -> None:
    itinerary = fleet()[index].itinerary
    assert itinerary.at(time + later).mileage_km >= itinerary.at(time).mileage_km - 1e-6


@given(seed=st.integers(0, 10**6), time=st.floats(NOW, NOW + 1e6))
def test_gnss_error_is_a_few_metres(seed, time) -> None:
    """Far inside the 30 m of guard and halo: a parked machine never wanders across a border by noise."""
    assert math.hypot(*noise(seed, time)) < 7


def test_a_parked_machine_drifts_slowly() -> None:
    """The error is correlated: from second to second far less than its size."""
    steps = [math.dist(noise(7, NOW + s), noise(7, NOW + s + 1)) for s in range(600)]
    assert max(steps) < 1.5


def test_a_round_is_closed() -> None:
    """An itinerary with a gap would teleport its machine; it is refused."""
    with pytest.raises(ValueError, match="closed"):
        Itinerary((*park(HERE, 10), *park(moved(HERE, 100, 0), 10)), 0, 1)


def test_rounds_repeat() -> None:
    """After a period a machine is where it was, but for the receiver's error."""
    kind = KINDS["loader"]
    away = moved(HERE, 800, 300)
    legs = [*work(kind, HERE, 300, 30), *drive(kind, [HERE, away, HERE], Random(1))]
    itinerary = Itinerary(tuple(legs), 5, 3)
    before, after = itinerary.at(NOW + 100), itinerary.at(NOW + 100 + itinerary.period_s)
    assert math.hypot(*offset((before.lon, before.lat), (after.lon, after.lat))) < 14
    assert before.mode is after.mode


def test_kinds_that_crawl_ride_on_trailers() -> None:
    """An excavator travels with its engine off, a loader on its own wheels."""
    stops = [HERE, moved(HERE, 5000, 0)]
    assert drive(KINDS["excavator"], stops, Random(1))[0].mode is Mode.TRAILER
    assert drive(KINDS["loader"], stops, Random(1))[0].mode is Mode.DRIVING


def test_anybody_has_every_edition_and_its_own_phone() -> None:
    players = anybody(60, seed=1, first_phone=13_910_000_001, interval_s=10)
    assert {player.edition for player in players} == {"2011", "2013", "2019"}
    assert len({player.phone for player in players}) == 60
