"""Crossings: the same answers as shapely, from the edges of a band."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geofence.lookup import crossings
from geofence.lookup.crossings import Bands, Crossings
from tests.geofence.test_grid import awkward, checkerboard, coincident, probe
from tests.geofence.world import star


@pytest.mark.parametrize("make", [checkerboard, awkward, coincident])
def test_crossings_are_what_shapely_says(make):
    """On vertices and edges, an ulp beside them, in holes, far away; every shape asked about every point."""
    shapes = make()[:12]
    points = probe(shapes, 3000)
    x, y = points[np.isfinite(points).all(axis=1)].T
    known = Crossings([Bands.of(shape) for shape in shapes])
    for number, shape in enumerate(shapes):
        found = known.hold(np.full(len(x), number, np.int32), x, y)
        assert (found == shapely.intersects_xy(shape, x, y)).all()


# Coordinates from a short list: edges and points that are level, in line, or the same are the rule.
corner = st.tuples(*[st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.7])] * 2)


@given(st.lists(corner, min_size=3, max_size=7), st.lists(corner, min_size=30, max_size=60))
def test_level_and_collinear_points(ring, points):
    """Any valid polygon on a coarse grid, any points on it."""
    shape = shapely.Polygon(ring)
    if not shape.is_valid or shape.is_empty:
        return
    x, y = np.array(points).T
    found = Crossings([Bands.of(shape)]).hold(np.zeros(len(x), np.int32), x, y)
    assert (found == shapely.intersects_xy(shape, x, y)).all()


def test_points_that_rounding_would_misplace():
    """A unit in the last place beside a long diagonal (Kettner et al. 2008, figure 1), where plain doubles take the wrong side."""
    shape = shapely.Polygon([(12, 12), (-24, -24), (12, -24)])
    x, y = (0.5 + axis.ravel() * 2.0**-53 for axis in np.meshgrid(np.arange(64), np.arange(64)))
    found = Crossings([Bands.of(shape)]).hold(np.zeros(len(x), np.int32), x, y)
    assert (found == shapely.intersects_xy(shape, x, y)).all()


def test_most_points_are_certain(monkeypatch):
    """shapely is asked about the doubtful ones only."""
    shape = star(np.random.default_rng(3), 116, 36, 0.05, 400, holes=2)
    known = Crossings([Bands.of(None), Bands.of(shape)])
    x, y = np.random.default_rng(4).uniform((115.9, 35.9), (116.1, 36.1), (5000, 2)).T
    wanted = shapely.intersects_xy(shape, x, y)
    monkeypatch.setattr(crossings.shapely, "intersects_xy", None)
    assert (known.hold(np.ones(len(x), np.int32), x, y) == wanted).all()
    assert not known.hold(np.zeros(len(x), np.int32), x, y).any()


def test_shapes_are_replaced_in_a_copy():
    """The one before answers as it did."""
    east, west = shapely.box(2, 0, 3, 1), shapely.box(0, 0, 1, 1)
    first = Crossings([Bands.of(east)])
    second = first.with_shapes(0, [Bands.of(west), Bands.of(east)])
    x, y = np.full(40, 0.5), np.linspace(0.1, 0.9, 40)
    assert not first.hold(np.zeros(40, np.int32), x, y).any()
    assert second.hold(np.zeros(40, np.int32), x, y).all()
    assert second.hold(np.ones(40, np.int32), x + 2, y).all()
