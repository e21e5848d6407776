"""Measures the fence and the decision in CPU seconds: python -m tests.geofence.measure. Not a test."""

# ruff: noqa: T201 (a command: printing is what it does)

import platform
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from geofence.fence import Fence
from geofence.lookup.grid import FenceGrid
from geofence.machines import Machine, Machines
from geofence.presence import State, decide
from geofence.ruleset import Ruleset
from tests.geofence.world import SECOND, START, positions, star, zone

SEED = 1
BOX = (115.1, 35.8, 116.7, 37.3)
FLEET = 14_000
INSIDE = 0.16


def cpu(call):
    """CPU seconds of a call, and its result."""
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result


def counties(rng):
    return [star(rng, 115.3 + 0.35 * (i % 4), 36.0 + 0.4 * (i // 4), 0.17, 2000) for i in range(10)]


def townships(rng, n):
    places = rng.uniform((115.2, 35.9), (116.6, 37.0), (n, 2))
    return [star(rng, lon, lat, rng.uniform(0.02, 0.04), 500, holes=2) for lon, lat in places]


def township(rng, lon, lat, radius):
    """A star with two holes; one in some thousands crosses itself, and another is drawn."""
    while True:
        try:
            return star(rng, lon, lat, radius, 500, holes=2)
        except AssertionError:
            continue


def province(rng):
    """3,000 zones over 400 x 300 km: 140 counties of 2,000 vertices, 26 km across, and townships of 500, 4 to 8 km."""
    west, south, wide, high = 114.2, 35.2, 4.05, 2.3
    big = [star(rng, west + wide * (i % 14) / 13, south + high * (i // 14) / 9, 0.12, 2000) for i in range(140)]
    places = rng.uniform((west, south), (west + wide, south + high), (2860, 2))
    small = [township(rng, lon, lat, rng.uniform(0.02, 0.04)) for lon, lat in places]
    return [zone(i, shape) for i, shape in enumerate(big + small)]


def editing(rng, zones):
    """Edits of one fence after another, as they come: a version ends and another begins, or it only ends."""
    took, fence = cpu(lambda: Fence.compile(zones))
    print(f"{'compile, a province of 3,000 zones':45} {took:6.1f} s")

    def redraw(fence, old, shape):
        return fence.with_zone(replace(old, valid_to=START)).with_zone(
            replace(old, geometry=shape, version=2, valid_from=START)
        )

    def near(old):
        return old.geometry.centroid.x + 0.002, old.geometry.centroid.y

    small = {old.id: township(rng, *near(old), 0.03) for old in zones[200:260]}
    large = {old.id: star(rng, *near(old), 0.12, 2000) for old in zones[20:40]}
    for name, chosen, edit in (
        ("a township redrawn", zones[200:260], lambda fence, old: redraw(fence, old, small[old.id])),
        ("a county redrawn", zones[20:40], lambda fence, old: redraw(fence, old, large[old.id])),
        ("a version ends", zones[300:360], lambda fence, old: fence.with_zone(replace(old, valid_to=START))),
        ("a version taken out", zones[400:460], lambda fence, old: fence.without(old.id, old.version)),
    ):
        spent = []
        for old in chosen:
            took, fence = cpu(lambda fence=fence, old=old, edit=edit: edit(fence, old))
            spent.append(took * 1e3)
        print(f"{'3,000 zones: ' + name:45} median {np.median(spent):5.1f} ms, worst {max(spent):5.1f} ms")
    took, _ = cpu(fence._grid.compacted)
    print(f"{'3,000 zones: rows compacted':45} {took:6.1f} s")


def locating(rng, name, locate):
    """Best of three rounds of 20 batches of 100,000 points, after one that lays out the questions met."""
    lon, lat = rng.uniform(BOX[0], BOX[2], (20, 100_000)), rng.uniform(BOX[1], BOX[3], (20, 100_000))

    def every():
        for x, y in zip(lon, lat, strict=True):
            locate(x, y)

    every()
    best = min(cpu(every)[0] for _ in range(3))
    print(f"{name:45} {2 / best:6.1f} M points per CPU second")


def deciding(rng, fence):
    """A city's fleet that stands still but for 2 m of noise, 16 % of it in or near zones, batches of 5,000."""
    lon, lat = rng.uniform(BOX[0], BOX[2], 400_000), rng.uniform(BOX[1], BOX[3], 400_000)
    within = fence.locate(lon, lat) != 0
    chosen = np.concatenate([np.flatnonzero(within)[: int(FLEET * INSIDE)], np.flatnonzero(~within)])[:FLEET]
    devices = rng.integers(1, 2**62, FLEET)
    machines = Machines.bound({d: Machine(i, emission_stage=str(i % 4 + 1)) for i, d in enumerate(devices.tolist())})
    rules = Ruleset(fence, machines)
    state = State()
    state.adopt(rules)
    spent, rows, entering, entries = 0.0, 0, 0.0, 0
    for turn in range(10):
        shuffled = rng.permutation(FLEET)
        for part in np.array_split(shuffled, 3):
            noise = rng.normal(0, 2e-5, (2, len(part)))
            x, y = lon[chosen[part]] + noise[0], lat[chosen[part]] + noise[1]
            batch = positions(devices[part], np.full(len(part), START + turn * 10 * SECOND), x, y)
            took, decision = cpu(lambda batch=batch: decide(state, rules, batch))
            state.apply(decision.delta)
            if turn >= 3:
                spent, rows = spent + took, rows + len(part)
            elif turn < 2:
                entering, entries = entering + took, entries + len(decision.delta.walked)
    print(f"{'decide, steady':45} {spent / rows * 1e6:6.2f} us per row")
    print(f"{'decide, a terminal that changes':45} {entering / entries * 1e6:6.1f} us per fix")
    took, data = cpu(state.to_bytes)
    print(f"{'snapshot of 14,000 terminals':45} {took * 1e3:6.0f} ms, {len(data) / 1000:.0f} kB")


def main():
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    print(f"{model}; Python {platform.python_version()}, numpy {np.__version__}; seed {SEED}; {commit.stdout.strip()}")
    rng = np.random.default_rng(SEED)
    shapes = counties(rng) + townships(rng, 150)
    zones = [zone(i, shape) for i, shape in enumerate(shapes)]
    towns = [zone(i, shape) for i, shape in enumerate(townships(rng, 160))]
    took, grid = cpu(lambda: FenceGrid.compile(shapes))
    print(f"{'compile, plain shapes':45} {took:6.2f} s")
    took, fence = cpu(lambda: Fence.compile(zones))
    print(f"{'compile, three shapes per zone':45} {took:6.2f} s")
    took, _ = cpu(lambda: Fence.compile(towns))
    print(f"{'compile, 160 zones of 500 vertices':45} {took:6.2f} s")
    locating(rng, "locate, plain shapes", grid.locate)
    locating(rng, "locate, three shapes per zone", fence.locate)
    deciding(rng, fence)
    editing(rng, province(rng))


if __name__ == "__main__":
    main()
