"""Which zones a thousand points are in: the fence's grid, beside shapely's STRtree and rtree with exact tests.

The fence answers three questions at once (inner guard, zone, halo), the trees one.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import shapely
from rtree import index

from gateway.demo.zones import collection
from geofence.fence import Fence
from geofence.zones import parse_feature

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

    from geofence.zones import Zone

    Points: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

POINTS = 1_000


@pytest.fixture(scope="module")
def zones() -> list[Zone]:
    features = collection()["features"]
    return [parse_feature(feature).publish(number, 1) for number, feature in enumerate(features, start=1)]


@pytest.fixture(scope="module")
def points(zones: list[Zone]) -> Points:
    """Half of them near a zone, as machines are; the others anywhere in the city."""
    rng = Random(1)
    lon, lat = [], []
    for i in range(POINTS):
        x, y = 115.98 + rng.uniform(-0.6, 0.6), 36.45 + rng.uniform(-0.5, 0.5)
        if i % 2:
            centre = rng.choice(zones).geometry.centroid
            x, y = centre.x + rng.gauss(0, 0.005), centre.y + rng.gauss(0, 0.005)
        lon.append(x)
        lat.append(y)
    return np.array(lon), np.array(lat)


def test_locate(benchmark: BenchmarkFixture, zones: list[Zone], points: Points) -> None:
    fence = Fence.compile(zones)
    found = benchmark(fence.locate, *points)
    assert (found > 0).sum() > POINTS // 10


def test_strtree(benchmark: BenchmarkFixture, zones: list[Zone], points: Points) -> None:
    tree = shapely.STRtree([zone.geometry for zone in zones])
    shapely.prepare(tree.geometries)

    def locate() -> NDArray[np.int64]:
        pairs: NDArray[np.int64] = tree.query(shapely.points(*points), predicate="intersects")
        return pairs

    assert benchmark(locate).shape[1] > POINTS // 10


def test_rtree(benchmark: BenchmarkFixture, zones: list[Zone], points: Points) -> None:
    """Boxes from rtree, one point at a time, and a prepared polygon for each box that is hit."""
    boxes = index.Index()
    shapes = [zone.geometry for zone in zones]
    shapely.prepare(shapes)
    for i, shape in enumerate(shapes):
        boxes.insert(i, shape.bounds)

    def locate() -> list[list[int]]:
        return [
            [i for i in boxes.intersection((x, y, x, y)) if shapely.intersects_xy(shapes[i], x, y)]
            for x, y in zip(*points, strict=True)
        ]

    assert sum(map(bool, benchmark(locate))) > POINTS // 10


def test_compile(benchmark: BenchmarkFixture, zones: list[Zone]) -> None:
    """From published zones to a fence: what a restart costs; an edit replaces one zone."""
    fence = benchmark(Fence.compile, zones)
    assert len(fence.zones) == len(zones)
