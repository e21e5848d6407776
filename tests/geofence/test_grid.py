"""The grid says what shapely says, point by point."""

import numpy as np
import pytest
import shapely

from geofence.lookup.crossings import Bands
from geofence.lookup.grid import FenceGrid
from geofence.lookup.raster import SIDE, Lattice, rasterize
from tests.geofence.world import star


def counties_and_townships(seed=3, counties=3, townships=14):
    rng = np.random.default_rng(seed)
    big = [star(rng, 115.6 + 0.3 * i, 36.4, 0.17, 2000) for i in range(counties)]
    places = rng.uniform((115.5, 36.3), (116.3, 36.6), (townships, 2))
    return big + [star(rng, lon, lat, rng.uniform(0.01, 0.03), 500, holes=2) for lon, lat in places]


def checkerboard():
    """Squares that share borders and corners, with a hole in one that another fills exactly."""
    squares = [shapely.box(i / 8, j / 8, (i + 1) / 8, (j + 1) / 8) for i in range(4) for j in range(4)]
    ring = shapely.box(0, 0, 0.5, 0.5).difference(shapely.box(0.125, 0.125, 0.375, 0.375))
    return [*squares, ring, shapely.box(0.125, 0.125, 0.375, 0.375)]


def awkward():
    """Many parts, a needle, a part within another's hole, and shapes smaller than a sub-cell."""
    rng = np.random.default_rng(5)
    parts = shapely.MultiPolygon([star(rng, 0.1 * i, 0.02 * i, 0.03, 60) for i in range(5)])
    needle = shapely.Polygon([(0, 0), (1, 0.3), (1, 0.3000001), (0, 0)])
    donut = shapely.box(0.2, 0.2, 0.8, 0.8).difference(shapely.box(0.4, 0.4, 0.6, 0.6))
    nested = shapely.MultiPolygon([donut, shapely.box(0.45, 0.45, 0.55, 0.55)])
    dots = [shapely.Point(0.3 * i, 0.11).buffer(1e-6) for i in range(3)]
    return [parts, needle, nested, *dots]


def coincident():
    """More borders in one place than a machine word has bits."""
    rng = np.random.default_rng(9)
    shape = star(rng, 116, 36, 0.05, 300)
    return [shape] * 40 + [shapely.transform(shape, lambda p, i=i: p + i * 1e-7) for i in range(30)]


def probe(shapes, n, seed=1):
    """Points everywhere, at vertices, on edges, just beside borders, far outside, and where no point is."""
    rng = np.random.default_rng(seed)
    west, south, east, north = shapely.total_bounds(shapes)
    size = np.array([east - west, north - south])
    anywhere = rng.uniform((west, south) - 0.1 * size, (east, north) + 0.1 * size, (n, 2))
    vertices = np.concatenate([shapely.get_coordinates(shape) for shape in shapes])
    pick = vertices[rng.integers(0, len(vertices), n // 4)]
    along = vertices[:-1] + (vertices[1:] - vertices[:-1]) * rng.random((len(vertices) - 1, 1))
    along = along[rng.integers(0, len(along), n // 4)]
    beside = pick + rng.normal(0, 1, pick.shape) * 10.0 ** rng.uniform(-16, -3, (len(pick), 1))
    ulp = np.nextafter(pick, pick + rng.choice([-1.0, 1.0], pick.shape))
    far = rng.choice([-1, 1], (200, 2)) * 10.0 ** rng.uniform(2, 300, (200, 2))
    odd = np.array([(a, b) for a in (np.nan, np.inf, -np.inf, west) for b in (np.nan, np.inf, -np.inf, south)])
    return np.concatenate([anywhere, pick, along, beside, ulp, far, odd])


def truth(shapes, points):
    """bool[shape, point], by shapely alone; boxes first, only to save time."""
    out = np.zeros((len(shapes), len(points)), bool)
    for i, shape in enumerate(shapes):
        west, south, east, north = shape.bounds
        x, y = points.T
        near = np.flatnonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))
        out[i, near] = shapely.intersects_xy(shape, x[near], y[near])
    return out


def answers(grid, shapes, points):
    ids = grid.locate(*np.ascontiguousarray(points.T))
    out = np.zeros((len(shapes), len(points)), bool)
    for set_id in np.unique(ids).tolist():
        for member in grid.members(set_id):
            out[member, ids == set_id] = True
    return out


@pytest.mark.parametrize(
    ("make", "n"), [(counties_and_townships, 60_000), (checkerboard, 60_000), (awkward, 60_000), (coincident, 2_000)]
)
def test_every_point_is_answered_as_shapely_answers_it(make, n):
    """More than 100,000 points a set: vertices, borders and their neighbours an ulp away, holes, infinity, NaN.

    Fewer where 70 borders coincide, since shapely is asked 70 times per point there.
    """
    shapes = make()
    points = probe(shapes, n)
    assert len(points) > 100_000 or make is coincident
    found = answers(FenceGrid.compile(shapes), shapes, points)
    assert found.any(axis=1).all()
    assert (found == truth(shapes, points)).all()


@pytest.mark.parametrize("cells", [1, 3, 40])
def test_any_lattice_gives_the_same_answers(cells):
    """Exactness does not rest on the cells' size: one cell for all, or many per shape."""
    shapes = counties_and_townships(townships=6)
    west, south, east, north = shapely.total_bounds(shapes)
    border = 2 * SIDE
    kx, ky = cells * SIDE / (east - west), cells * SIDE / (north - south)
    lattice = Lattice(west - border / kx, south - border / ky, kx, ky, cells + 4, cells + 4)
    points = probe(shapes, 4000)
    assert (answers(FenceGrid.compile(shapes, lattice), shapes, points) == truth(shapes, points)).all()


def test_points_on_a_border_are_inside_all_its_shapes():
    """Where four squares meet, a point is in all four."""
    grid = FenceGrid.compile(checkerboard()[:16])
    ids = grid.locate(np.array([0.125, 0.125]), np.array([0.125, 0.0625]))
    assert [len(grid.members(i)) for i in ids.tolist()] == [4, 2]


def test_an_empty_grid_holds_nothing():
    """No shapes, or only absent ones: every point is nowhere."""
    points = np.array([0.0, 0.5, np.nan, 1e9])
    for shapes in ([], [None, None]):
        assert FenceGrid.compile(shapes).locate(points, points).tolist() == [0, 0, 0, 0]
    assert len(FenceGrid.compile([]).locate(points[:0], points[:0])) == 0


def test_replaced_shapes_leave_no_trace():
    """After edits a grid answers as one compiled afresh, and the grids before go on answering as they did."""
    shapes = counties_and_townships()
    rng = np.random.default_rng(11)
    points = probe(shapes, 4000)
    grids, worlds = [FenceGrid.compile(shapes)], [shapes]
    for index in (5, 0, 5, len(shapes)):
        place = worlds[-1][index % len(shapes)].centroid
        shape = star(rng, place.x + 0.004, place.y - 0.003, 0.01, 200, holes=1)
        world = [*worlds[-1][:index], shape, *worlds[-1][index + 1 :]]
        grids.append(grids[-1].with_nest(index, [shape]))
        worlds.append(world)
    # Two edits of one grid, neither of which may be seen in the other.
    grids += [grids[0].with_nest(3, [None])]
    grids.append(grids[1].compacted())
    worlds += [[*shapes[:3], None, *shapes[4:]], worlds[1]]
    for grid, world in zip(grids, worlds, strict=True):
        present = [shape or shapely.Polygon() for shape in world]
        assert (answers(grid, world, points) == truth(present, points)).all()
    assert grids[4].waste > 1
    assert grids[-1].waste == 1


def test_a_removed_shape_leaves_its_cells_as_they_were():
    """Not only the answers: cells, and those that need no block any more, are as if it had never been there."""
    shapes = counties_and_townships(townships=3)
    grid = FenceGrid.compile(shapes)
    shape = star(np.random.default_rng(1), 116, 36.45, 0.02, 300)
    again = grid.with_nest(len(shapes), [shape]).with_nest(len(shapes), [None])
    assert ((again.cells < 0) == (grid.cells < 0)).all()
    assert (again.cells[grid.cells >= 0] == grid.cells[grid.cells >= 0]).all()
    assert (again.blocks.rows[~again.cells[again.cells < 0]] == grid.blocks.rows[~grid.cells[grid.cells < 0]]).all()


def test_a_lattice_grows_by_whole_cells():
    """Towards each side and both; what lies on it already gives the same answers, and so does what is laid on then."""
    shapes = counties_and_townships(townships=4)
    grid, world = FenceGrid.compile(shapes), list(shapes)
    for east, north in ((-0.5, 0), (0.6, 0.4), (0, -0.7), (1.1, 0)):
        shape = shapely.transform(shapes[-1], lambda p, by=(east, north): p + by)
        assert not grid.lattice.holds(shape.bounds)
        grid = grid.over(shape.bounds).with_nest(len(world), [shape])
        world.append(shape)
    points = probe(world, 8000)
    assert (answers(grid, world, points) == truth(world, points)).all()
    assert grid.over((0, 0, 90, 90)) is None
    assert grid.over(shapes[0].bounds) is grid


def test_a_shape_beyond_the_lattice_is_refused():
    """A raster never wraps or clips: the caller compiles a larger lattice."""
    lattice = Lattice.over((0, 0, 1, 1))
    assert lattice.holds((0, 0, 1, 1))
    assert not lattice.holds((-0.01, 0, 1, 1))
    with pytest.raises(ValueError, match="beyond"):
        rasterize(Bands.of(shapely.box(0.5, 0.5, 1.5, 0.7)), lattice)
