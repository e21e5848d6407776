"""The presence machine, one transition at a time."""

import pytest

from geofence.changes import Cause
from geofence.stays import Stay, Step, appear, step

OUT, HALO, BORDER, INNER = range(4)
PENDING = Stay(1, pending=5)
PRESENT = Stay(1, entered_at=5)
LEAVING = Stay(1, entered_at=5, inside=False, last_inside_at=8, outside_since=9)


def after(stay, depth, time=10, previous=9):
    return step(stay, depth, time, previous)


def test_a_candidate_appears():
    """Only an inner fix is pending from the start."""
    assert appear(1, BORDER, 5, Cause.CROSSING) == Stay(1)
    assert appear(1, INNER, 5, Cause.CROSSING) == PENDING


@pytest.mark.parametrize("candidate", [Stay(1), PENDING])
@pytest.mark.parametrize("depth", [OUT, HALO])
def test_a_candidate_vanishes_at_the_line(candidate, depth):
    """The zone's line counts for candidates, not the halo."""
    assert after(candidate, depth) == (None, Step.VANISHED)


def test_two_inner_fixes_confirm():
    """Stamped with the first; a fix in the guard between them starts the count anew."""
    assert after(PENDING, INNER) == (PRESENT, Step.ENTERED)
    assert after(PENDING, BORDER) == (Stay(1), Step.NOTHING)
    assert after(Stay(1), INNER) == (Stay(1, pending=10), Step.NOTHING)


def test_two_fixes_outside_the_halo_leave():
    """Stamped with the first; last seen inside is the fix before it."""
    once, happened = after(PRESENT, OUT)
    assert (once.outside_since, once.last_inside_at, happened) == (10, 9, Step.NOTHING)
    assert after(LEAVING, OUT) == (LEAVING, Step.LEFT)


@pytest.mark.parametrize("depth", [HALO, BORDER, INNER])
def test_any_fix_in_the_halo_resets_the_leave(depth):
    """Hysteresis: the count of fixes outside starts anew."""
    stay, happened = after(LEAVING, depth)
    assert (stay.outside_since, happened) == (None, Step.NOTHING)
    assert stay.inside is (depth >= BORDER)
    assert stay.inside_until(10) == (10 if depth >= BORDER else 8)


@pytest.mark.parametrize("stay", [Stay(1), PENDING, PRESENT, LEAVING])
@pytest.mark.parametrize("depth", [OUT, HALO, BORDER, INNER])
def test_settled_means_that_another_such_fix_changes_nothing(stay, depth):
    """What decide() rests on: a settled stay is a fixed point of its depth."""
    there, _ = after(stay, depth)
    if there is not None and there.settled:
        again, happened = after(there, depth, 20, 10)
        assert (again, happened) == (there, Step.NOTHING)
