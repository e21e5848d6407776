"""Halo, border and inner shapes: distances in metres, nested exactly."""

import numpy as np
import pytest
import shapely

from geofence.nested import LocalPlane, nested_shapes
from tests.geofence.world import HOME, at, box, star, zone


def on_line(shape, where):
    """Whether points so many metres east of HOME, 500 m north, are in the shape."""
    lon, lat = at(np.array(where), 500.0)
    return shapely.intersects_xy(shape, lon, lat).tolist()


def test_distances_are_metres():
    """30 m in, 30 m out, to a centimetre or two at this latitude."""
    halo, border, inner = nested_shapes(zone(1, box(0, 0, 1000, 1000)))
    assert on_line(halo, [-30.05, -29.95, 1029.95, 1030.05]) == [False, True, True, False]
    assert on_line(border, [-0.01, 0.01]) == [False, True]
    assert on_line(inner, [29.95, 30.05, 969.95, 970.05]) == [False, True, True, False]


def test_metres_agree_with_geodesics():
    """The plane's degree is WGS-84's, to a centimetre in a hundred metres."""
    geod = pytest.importorskip("pyproj").Geod(ellps="WGS84")
    lon, lat = at([100.0, 0.0], [0.0, 100.0])
    _, _, metres = geod.inv(np.full(2, HOME.lon), np.full(2, HOME.lat), lon, lat)
    assert metres == pytest.approx([100, 100], abs=0.01)


@pytest.mark.parametrize(("width", "guard"), [(1000, 30), (240, 30), (200, 25), (40, 5), (4, 0.5)])
def test_the_guard_is_at_most_a_quarter_of_the_inradius(width, guard):
    """A street-wide zone can still be entered: its guard shrinks with it."""
    inner = nested_shapes(zone(1, box(0, 0, width, 2000)))[2]
    assert on_line(inner, [guard - 0.15, guard + 0.15, width / 2]) == [False, True, True]


def test_each_part_has_a_guard_of_its_own():
    """A small part beside a large one keeps an inner shape."""
    parts = shapely.MultiPolygon([box(0, 0, 1000, 1000), box(2000, 490, 2020, 510)])
    inner = nested_shapes(zone(1, parts))[2]
    assert on_line(inner, [20, 40, 2001, 2010]) == [False, True, False, True]


def test_holes_have_guards_and_halos_too():
    """A machine leaves into a hole as it leaves outwards."""
    holed = box(0, 0, 1000, 1000).difference(box(400, 400, 600, 600))
    halo, _, inner = nested_shapes(zone(1, holed))
    assert on_line(inner, [365, 375, 500]) == [True, False, False]
    assert on_line(halo, [425, 435, 500]) == [True, False, False]


def test_without_guard_or_halo():
    """Guard 0: the zone itself confirms. Halo 0: outside the line is outside."""
    there = zone(1, box(0, 0, 100, 100), guard_m=0, halo_m=0)
    assert nested_shapes(there) == (None, None, there.geometry)


@pytest.mark.parametrize("seed", range(4))
def test_each_shape_lies_within_the_one_before(seed):
    """Also for jagged shapes with holes: the grid skips what is within a shape that does not hold the point."""
    shape = star(np.random.default_rng(seed), 116, 36.4, 0.02, 400, holes=2)
    halo, border, inner = nested_shapes(zone(1, shape))
    assert shapely.contains_properly(halo, border)
    assert shapely.contains_properly(border, inner)


def test_the_plane_comes_back_to_where_it_began():
    """Degrees to metres and back, to a tenth of a micrometre."""
    plane, shape = LocalPlane(116.2, 36.3), box(-5000, 300, 900, 800)
    there = shapely.get_coordinates(plane.to_degrees(plane.to_metres(shape)))
    assert there == pytest.approx(shapely.get_coordinates(shape), abs=1e-12)
