"""Which zones a thousand points are in, one edit, and compiling; benchmarks/fence.py has the grid beside its peers."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import shapely

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


def test_edit(benchmark: BenchmarkFixture, zones: list[Zone]) -> None:
    """One zone drawn anew beside all the others."""
    fence = Fence.compile(zones)
    old = zones[len(zones) // 2]
    moved = replace(old, geometry=shapely.transform(old.geometry, lambda points: points + 1e-4), version=2)
    assert len(benchmark(fence.with_zone, moved).zones) == len(zones) + 1


def test_compile(benchmark: BenchmarkFixture, zones: list[Zone]) -> None:
    """From published zones to a fence: what a restart costs; an edit replaces one zone."""
    fence = benchmark(Fence.compile, zones)
    assert len(fence.zones) == len(zones)
