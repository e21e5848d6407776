"""The fence: depths, areas, neighbours, edits."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import shapely

from geofence.fence import FOREVER, Depth, Fence
from geofence.lookup.boxes import Boxes
from geofence.nested import nested_shapes
from tests.geofence.world import START, at, box, star, zone


def some_zones(n=12, seed=2):
    rng = np.random.default_rng(seed)
    places = rng.uniform((115.9, 36.4), (116.1, 36.55), (n, 2))
    return [
        zone(
            i + 1,
            star(rng, lon, lat, rng.uniform(0.003, 0.02), 120, holes=i % 3),
            guard_m=i % 2 * 30,
            halo_m=i % 5 * 12,
        )
        for i, (lon, lat) in enumerate(places)
    ]


def depths(fence, lon, lat):
    """{zone id: depth} of each point."""
    return [
        {fence.zones[i].id: depth for i, depth in fence.depths(s)}
        for s in fence.locate(np.asarray(lon, float), np.asarray(lat, float)).tolist()
    ]


def slow_depths(zones, lon, lat):
    """The same, shape by shape, by shapely alone."""
    found = [{} for _ in lon]
    for each in zones:
        for depth, shape in enumerate(nested_shapes(each), 1):
            if shape is not None:
                for point in np.flatnonzero(shapely.intersects_xy(shape, lon, lat)).tolist():
                    found[point][each.id] = depth
    return found


@pytest.fixture(scope="module")
def zones():
    return some_zones()


@pytest.fixture(scope="module")
def points(zones):
    rng = np.random.default_rng(4)
    west, south, east, north = shapely.total_bounds([z.geometry for z in zones])
    anywhere = rng.uniform((west, south), (east, north), (1500, 2))
    vertices = np.concatenate([shapely.get_coordinates(z.geometry) for z in zones])
    near = vertices + rng.normal(0, 3e-4, vertices.shape)
    return np.concatenate([anywhere, near, vertices[::5]]).T


def test_depths_are_those_of_the_three_shapes(zones, points):
    """Halo, border and inner of every zone at every point, as shapely says; with and without guards and halos."""
    assert depths(Fence.compile(zones), *points) == slow_depths(zones, *points)


def test_no_zones_no_depths():
    """An empty fence answers, and has no bounds, neighbours or nearest zone."""
    fence = Fence.compile([])
    assert fence.locate(np.array([116.0, np.nan]), np.array([36.0, 36.0])).tolist() == [0, 0]
    assert fence.depths(0) == ()
    assert fence.bounds is None
    assert fence.zones_in((0, 0, 180, 90)) == []
    assert fence.nearest(116, 36) == []


def test_edits_are_as_if_compiled_anew(zones, points):
    """Added, replaced, moved beyond the old bounds, removed; and the fence before an edit does not change."""
    first = Fence.compile(zones)
    moved = zone(3, box(100, 200, 2100, 900), version=2)
    beyond = zone(99, box(40_000, 0, 41_000, 500))
    fence, now = first, list(zones)
    for edit in (moved, zone(50, box(-3000, 0, -100, 2500), guard_m=0), beyond, zone(50, box(0, 0, 90, 90), version=2)):
        fence = fence.with_zone(edit)
        if edit.version > 1:
            fence = fence.without(edit.id, 1)
        now = [*[z for z in now if z.id != edit.id], edit]
        assert depths(fence, *points) == slow_depths(now, *points)
    fence = fence.without(7, 1).without(7, 1).without(99, 1)
    now = [z for z in now if z.id not in {7, 99}]
    assert depths(fence, *points) == slow_depths(now, *points)
    assert depths(first, *points) == slow_depths(zones, *points)


def test_an_edit_does_not_recompile_the_rest(zones, monkeypatch):
    """Only the cells of the zone are laid anew, also a little beyond the bounds, and where it is taken out."""
    fence = Fence.compile(zones)
    monkeypatch.setattr(Fence, "_of", None)
    assert fence.with_zone(zone(3, box(0, 0, 300, 300))).zone(3, 0).name == "zone 3"
    assert fence.with_zone(zone(99, box(-30_000, 0, -29_000, 500))).zone(99, 0).name == "zone 99"
    assert fence.without(3, 1).zone(3, 0) is None


def test_an_edit_that_keeps_the_shape_lays_nothing(zones, points, monkeypatch):
    """A version's end, a version with other rules, and each of them gone again: the grid is the same one."""
    fence = Fence.compile(zones)
    with monkeypatch.context() as patched:
        patched.setattr(Fence, "_of", None)
        patched.setattr("geofence.fence.nested_shapes", None)
        ended = replace(zones[4], valid_to=START)
        follower = replace(zones[4], geometry=shapely.from_wkb(zones[4].geometry.wkb), version=2, valid_from=START)
        edited = fence.with_zone(ended).with_zone(follower)
        assert edited._grid is fence._grid
        assert edited.without(5, 1)._grid is fence._grid
    assert [edited.zone(5, t).version for t in (START - 1, START)] == [1, 2]
    assert edited.zones[-1] is follower
    compiled = Fence.compile([*zones[:4], ended, *zones[5:], follower])
    for found in (edited, compiled):
        by_version = [
            {(found.zones[i].id, found.zones[i].version): d for i, d in found.depths(s)} for s in found.locate(*points)
        ]
        slow = slow_depths(zones, *points)
        assert [{v: d for v, d in each.items() if v[1] == 1} for each in by_version] == [
            {(number, 1): depth for number, depth in each.items()} for each in slow
        ]
        assert [each.get((5, 2)) for each in by_version] == [each.get(5) for each in slow]
    assert Fence.compile([ended, follower])._grid.windows == Fence.compile([ended])._grid.windows
    gone = edited.without(5, 1).without(5, 2)
    assert depths(gone, *points) == slow_depths([z for z in zones if z.id != 5], *points)


@pytest.mark.parametrize("other", [{"guard_m": 5.0}, {"halo_m": 100.0}])
def test_other_guards_are_other_shapes(zones, points, other):
    """The same line with another guard or halo is laid anew."""
    wider = replace(zones[4], **other)
    fence = Fence.compile(zones).with_zone(wider)
    assert depths(fence, *points) == slow_depths([*zones[:4], wider, *zones[5:]], *points)


def test_an_edit_far_away_compiles_afresh(zones, points):
    """Too far for the lattice to grow, with a zone replaced and one taken out before."""
    fence = Fence.compile(zones).without(7, 1).with_zone(zone(3, box(3_000_000, 0, 3_001_000, 900)))
    now = [*[z for z in zones if z.id not in {3, 7}], zone(3, box(3_000_000, 0, 3_001_000, 900))]
    assert depths(fence, *points) == slow_depths(now, *points)


def test_many_edits_do_not_pile_up(zones, points):
    """Rows, labels and boxes that edits leave behind are dropped in time, and the answers stay right."""
    fence = Fence.compile(zones)
    rows = fence._grid._extent
    for i in range(120):
        fence = fence.with_zone(zone(3, box(-i, -i, 3000 + i, 3000 + i)))
        fence = fence.with_zone(zone(40, box(i, i, 900, 900), version=i))
        fence = fence.without(40, i) if i % 2 else fence
    now = [z for z in fence.zones if z.id != 3]
    for each in now:
        if each.id == 40:
            fence = fence.without(40, each.version)
    assert fence._grid._extent < 6 * rows
    assert fence._boxes._tree.size < 200
    last = zone(3, box(-119, -119, 3119, 3119))
    assert depths(fence, *points) == slow_depths([*[z for z in now if z.id != 40], last], *points)


def test_edits_beside_a_reader(zones, points):
    """A fence answers the same while others are made from it, branch after branch."""
    fence = Fence.compile(zones)
    wanted, wrong, done = depths(fence, *points), [], threading.Event()

    def edit():
        other = fence
        for i in range(30):
            other = (fence if i % 7 == 0 else other).with_zone(zone(i % 14 + 1, box(-i, i, 2500, 2500), version=2))
            other.zones_in((115.9, 36.4, 116.1, 36.5))
        done.set()

    writer = threading.Thread(target=edit)
    writer.start()
    while not done.is_set():
        wrong.append(depths(fence, *points) != wanted)
        fence.nearest(116, 36.5, 3)
    writer.join()
    assert wrong
    assert not any(wrong)


def test_every_fence_has_its_own_generation(zones):
    """Set ids of one fence mean nothing to another, and this is how it shows."""
    fence = Fence.compile(zones[:1])
    assert len({fence.generation, fence.with_zone(zones[1]).generation, Fence.compile(zones[:1]).generation}) == 3


def test_a_version_that_is_there_twice_is_refused(zones):
    """Which of the two would judge?"""
    with pytest.raises(ValueError, match="twice"):
        Fence.compile([zones[0], zones[0]])


def test_a_fix_meets_the_version_of_its_time():
    """Versions of one zone stand side by side; each has its own shape, and the one in force at a time is named."""
    old = zone(3, box(0, 0, 2000, 2000), valid_to=100)
    new = zone(3, box(0, 0, 500, 500), version=2, valid_from=100)
    fence = Fence.compile([old, new])
    assert [fence.zone(3, at).version for at in (99, 100)] == [1, 2]
    assert len(fence.zones) == 2


def test_viewport(zones):
    """The zones that a view shows a part of; one whose box alone touches it is not shown."""
    fence = Fence.compile(zones)
    view = (115.95, 36.42, 116.0, 36.5)
    wanted = [z.id for z in zones if shapely.intersects(z.geometry, shapely.box(*view))]
    assert wanted
    assert [z.id for z in fence.zones_in(view)] == wanted
    triangle = zone(1, shapely.Polygon([(116, 36), (117, 36), (116, 37), (116, 36)]))
    assert Fence.compile([triangle]).zones_in((116.8, 36.8, 116.9, 36.9)) == []


@pytest.mark.parametrize("most", [1, 3, 40])
def test_nearest(zones, most):
    """Nearest by the zones' own shapes in metres, not by their boxes."""
    fence = Fence.compile(zones)
    rng = np.random.default_rng(most)
    for lon, lat in rng.uniform((115.8, 36.3), (116.2, 36.6), (20, 2)):
        found = fence.nearest(lon, lat, most)
        every = sorted(distance for _, distance in fence.nearest(lon, lat, len(zones)))
        assert [distance for _, distance in found] == pytest.approx(every[:most])
    slanted = zone(1, shapely.Polygon([at(0, 0), at(5000, 0), at(0, 5000)]))
    small = zone(2, box(4200, 4200, 4300, 4300))
    [(nearest, metres)] = Fence.compile([slanted, small]).nearest(*at(4000.0, 4000.0))
    assert (nearest.id, metres) == (2, pytest.approx(283, abs=2))


def test_nearest_is_zero_inside():
    """A point in a zone, or on its border, is at distance 0 of it."""
    fence = Fence.compile([zone(1, box(0, 0, 100, 100)), zone(2, box(500, 0, 600, 100))])
    [(there, inside), (other, metres)] = fence.nearest(*at(50.0, 50.0), 2)
    assert (there.id, inside, other.id) == (1, 0, 2)
    assert metres == pytest.approx(450, abs=0.1)


def test_when_a_set_changes_its_meaning():
    """The next time at which a zone of the set comes into or goes out of force."""
    dated = zone(1, box(0, 0, 1000, 1000), valid_from=START, valid_to=START + 100)
    fence = Fence.compile([dated, zone(2, box(0, 0, 1000, 1000))])
    lon, lat = at([500.0], [500.0])
    [here] = fence.locate(lon, lat).tolist()
    assert fence.depths(here) == ((0, Depth.INNER), (1, Depth.INNER))
    times = [START - 1, START, START + 99, START + 100]
    assert [fence.unchanged_until(here, t) for t in times] == [START, START + 100, START + 100, FOREVER]
    assert [dated.counts_at(t) for t in times] == [False, True, True, False]


def test_boxes():
    """An R-tree over nothing and over two boxes."""
    assert Boxes({}).touching((0, 0, 1, 1)) == []
    boxes = Boxes({0: (0, 0, 1, 1), 1: (2, 2, 3, 3)})
    assert boxes.bounds == (0, 0, 3, 3)
    assert boxes.touching((1, 1, 2, 2)) == [0, 1]
    assert boxes.nearest(5, 5, 1) == [1]


def test_boxes_are_edited_in_a_copy():
    """A snapshot answers for its own boxes only; the tree that they share does not grow for ever."""
    first = Boxes({0: (0, 0, 1, 1), 1: (2, 2, 3, 3)})
    second = first.with_box(1, (8, 8, 9, 9)).with_box(2, (0.5, 0, 1, 1)).with_box(0, None)
    assert first.touching((0, 0, 9, 9)) == [0, 1]
    assert second.touching((0, 0, 5, 5)) == [2]
    assert second.bounds == (0.5, 0, 9, 9)
    assert (first.nearest(3, 3, 1)[0], second.nearest(3, 3, 2)) == (1, [2, 1])
    for i in range(500):
        second = second.with_box(3, (i, i, i + 1, i + 1))
    assert second._tree.size < 100
    assert second.touching((499, 499, 499, 499)) == [3]
