"""python -m benchmarks.fence: in which zones is each point? Our grid beside STRtree, rtree and PostGIS, in one run.

Ten counties of 2,000 vertices and 150 townships of 500 with two holes each. The same points for all, and the same pairs of
point and zone from all, or the run fails. CPU seconds, of this process or of PostgreSQL's backend; best of three rounds.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import shapely
from rtree import index

from benchmarks.machine import describe
from benchmarks.postgis import MissingError, postgis
from geofence.fence import Depth, Fence
from geofence.lookup.grid import FenceGrid
from tests.geofence.measure import BOX, counties, townships
from tests.geofence.world import zone

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Axis: TypeAlias = NDArray[np.float64]
    Count: TypeAlias = Callable[[Axis, Axis], int]

ROUNDS = 3
BATCHES = (100_000, 1_000)
# PostGIS and the trees take microseconds a point: fewer points are enough for them.
POINTS, SLOW_POINTS = 2_000_000, 100_000


def pairs_of_grid(grid: FenceGrid) -> Count:
    def count(lon: Axis, lat: Axis) -> int:
        return counted(grid.locate(lon, lat), lambda set_id: len(grid.members(set_id)))

    return count


def pairs_of_fence(fence: Fence) -> Count:
    def count(lon: Axis, lat: Axis) -> int:
        return counted(
            fence.locate(lon, lat), lambda set_id: sum(depth >= Depth.BORDER for _, depth in fence.depths(set_id))
        )

    return count


def counted(ids: NDArray[np.int32], size: Callable[[int], int]) -> int:
    times = np.bincount(ids)
    return sum(int(times[set_id]) * size(set_id) for set_id in np.flatnonzero(times).tolist())


def pairs_of_strtree(shapes: list[shapely.Polygon]) -> Count:
    """The tree's own exact query."""
    tree = shapely.STRtree(shapes)
    return lambda lon, lat: int(tree.query(shapely.points(lon, lat), predicate="intersects").shape[1])


def pairs_of_strtree_boxes(shapes: list[shapely.Polygon]) -> Count:
    """The tree for boxes, then prepared polygons: what shapely is fastest at."""
    tree = shapely.STRtree(shapes)

    def count(lon: Axis, lat: Axis) -> int:
        point, shape = tree.query(shapely.points(lon, lat))
        order = np.argsort(shape, kind="stable")
        point, shape = point[order], shape[order]
        return int(shapely.intersects_xy(tree.geometries[shape], lon[point], lat[point]).sum())

    return count


def pairs_of_rtree(shapes: list[shapely.Polygon]) -> Count:
    """Boxes from rtree, a column at a time, then prepared polygons."""
    tree, every = index.Index(), np.array(shapes, object)
    for number, shape in enumerate(shapes):
        tree.insert(number, shape.bounds)

    def count(lon: Axis, lat: Axis) -> int:
        corner = np.column_stack([lon, lat])
        shape, hits = tree.intersection_v(corner, corner)
        point = np.repeat(np.arange(len(lon)), hits.astype(np.int64))
        return int(shapely.intersects_xy(every[shape], lon[point], lat[point]).sum())

    return count


def measured(count: Count, lon: Axis, lat: Axis, batch: int) -> tuple[float, int]:
    """(CPU seconds of the best round, pairs): the points in batches, after one round that is not measured."""
    best = float("inf")
    for turn in range(ROUNDS + 1):
        begun = time.process_time()
        pairs = sum(count(lon[at : at + batch], lat[at : at + batch]) for at in range(0, len(lon), batch))
        if turn:
            best = min(best, time.process_time() - begun)
    return best, pairs


def bare(locate: Callable[[Axis, Axis], object]) -> Count:
    """Look-up alone: what is counted of the pairs costs as much again, and no user counts pairs."""

    def count(lon: Axis, lat: Axis) -> int:
        locate(lon, lat)
        return 0

    return count


def line(name: str, batch: int, seconds: float, points: int) -> None:
    print(f"{name:46} {batch:9,} {seconds / points * 1e9:12,.1f} {points / seconds / 1e6:10.2f}", flush=True)


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m benchmarks.fence", description=__doc__)
    p.add_argument("--seed", type=int, default=1)
    seed = p.parse_args().seed
    print(describe(seed))
    rng = np.random.default_rng(seed)
    shapes = counties(rng) + townships(rng, 150)
    shapely.prepare(shapes)
    lon, lat = rng.uniform(BOX[0], BOX[2], POINTS), rng.uniform(BOX[1], BOX[3], POINTS)
    few = lon[:SLOW_POINTS], lat[:SLOW_POINTS]
    fence, grid = Fence.compile([zone(i, shape) for i, shape in enumerate(shapes)]), FenceGrid.compile(shapes)
    wanted = pairs_of_strtree_boxes(shapes)(*few)

    print(f"\n{'':46} {'batch':>9} {'ns per point':>12} {'M per CPU s':>10}")
    for name, locate, pairs in (
        ("fence: halo, border and inner at once", fence.locate, pairs_of_fence(fence)),
        ("grid: the plain shapes", grid.locate, pairs_of_grid(grid)),
    ):
        assert pairs(*few) == wanted, name
        for batch in BATCHES:
            line(name, batch, measured(bare(locate), lon, lat, batch)[0], POINTS)
    for name, pairs in (
        ("shapely STRtree, boxes and prepared polygons", pairs_of_strtree_boxes(shapes)),
        ("shapely STRtree, its own predicate", pairs_of_strtree(shapes)),
        ("rtree and prepared polygons", pairs_of_rtree(shapes)),
    ):
        for batch in BATCHES:
            seconds, found = measured(pairs, *few, batch)
            assert found == wanted, name
            line(name, batch, seconds, SLOW_POINTS)
    try:
        with postgis(shapes, *few) as database:
            for name, indexed in (("PostGIS, zones indexed", False), ("PostGIS, zones and points indexed", True)):
                if indexed:
                    database.index_points()
                seconds, found = min(database.count_pairs() for _ in range(ROUNDS))
                assert found == wanted, name
                line(name, SLOW_POINTS, seconds, SLOW_POINTS)
    except MissingError as reason:
        print(reason)
    print(f"\n{wanted:,} pairs of {SLOW_POINTS:,} points and {len(shapes)} zones, the same from all")


if __name__ == "__main__":
    main()
