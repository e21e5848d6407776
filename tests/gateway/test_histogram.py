"""Histogram: each observation in one bucket, as Prometheus understands bounds."""

from __future__ import annotations

import pytest

from gateway.histogram import Histogram


def test_every_observation_is_in_one_bucket():
    """A value that equals a bound is below it; what is above all is in the last; a batch is one call."""
    one = Histogram((0.1, 1.0))
    one.observe(0.1)
    one.observe(0.10001, times=3)
    one.observe(50.0)
    assert one.to_json() == {"le": [0.1, 1.0], "counts": [1, 3, 1], "sum": pytest.approx(50.40003)}


def test_what_was_told_does_not_change():
    """A status that is on its way to the api holds a copy."""
    one = Histogram((1.0,))
    told = one.to_json()
    one.observe(0.5)
    assert told["counts"] == [0, 0]


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0)])
def test_bounds_ascend(bounds):
    """Others are a mistake of ours, said at once."""
    with pytest.raises(ValueError, match="ascend"):
        Histogram(bounds)
