"""The stay machine, one transition at a time: the table at the head of stays.py."""

import pytest

from geofence.nested import Depth
from geofence.stays import Stay, Step, step
from tests.geofence.test_visits import presence

OUT, HALO, BORDER, INNER = 0, *Depth
CANDIDATE = Stay(1)
PENDING = Stay(1, pending=5)
PRESENT = Stay(1, presence=presence(5))
HALOED = Stay(1, presence=presence(5), inside=False, last_inside_at=8)
LEAVING = Stay(1, presence=presence(5), inside=False, last_inside_at=8, outside_since=9)


@pytest.mark.parametrize(
    ("stay", "depth", "after", "happened"),
    [
        (CANDIDATE, BORDER, CANDIDATE, Step.NOTHING),
        (PENDING, BORDER, CANDIDATE, Step.NOTHING),
        (CANDIDATE, INNER, Stay(1, pending=10), Step.NOTHING),
        (PENDING, INNER, PENDING, Step.ENTERED),
        (CANDIDATE, HALO, CANDIDATE, Step.VANISHED),
        (PENDING, OUT, PENDING, Step.VANISHED),
        (PRESENT, INNER, PRESENT, Step.NOTHING),
        (PRESENT, BORDER, PRESENT, Step.NOTHING),
        (PRESENT, HALO, Stay(1, presence=presence(5), inside=False, last_inside_at=9), Step.NOTHING),
        (PRESENT, OUT, Stay(1, presence=presence(5), inside=False, last_inside_at=9, outside_since=10), Step.NOTHING),
        (HALOED, OUT, Stay(1, presence=presence(5), inside=False, last_inside_at=8, outside_since=10), Step.NOTHING),
        (LEAVING, HALO, HALOED, Step.NOTHING),
        (LEAVING, OUT, LEAVING, Step.LEFT),
        (LEAVING, BORDER, Stay(1, presence=presence(5), last_inside_at=8), Step.NOTHING),
    ],
)
def test_the_table(stay, depth, after, happened):
    """A fix at 10, the one before it at 9."""
    assert step(stay, depth, 10, 9) == (after, happened)


def test_what_is_settled():
    """Whatever another fix of the same depth would change, or page for, is not."""
    assert CANDIDATE.settled
    assert PRESENT.settled
    assert HALOED.settled
    assert not PENDING.settled
    assert not LEAVING.settled
    assert not Stay(1, presence=presence(5), told=False).settled
