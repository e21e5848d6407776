"""Worlds for the random tests: overlapping zones of every kind, dated rules and machines, places to be at, and walks."""

from __future__ import annotations

from functools import cache

import numpy as np
import shapely
from hypothesis import strategies as st

from columns.positions import Positions, Source
from geofence.exemptions import Exemption
from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.rules import parse_rules
from geofence.ruleset import Ruleset
from tests.geofence.oracle import Oracle
from tests.geofence.world import SECOND, START, at, box, positions, zone

HOUR = 3600 * SECOND
WORLDS = 12
DEVICES = list(range(101, 109))
EVERY = [1, 5, 20, 60, 300, 1500, 4000]
# Engine and speed (0.1 km/h): working, parked, transport, unknown, on the road; the last is a speed that jumps.
GRADED = [(1, 30), (0, 0), (0, 300), (0, 100), (1, 450), (1, 2600)]


class World:
    """Versions of everything, the ruleset of them, and places that cover every set of depths."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.bindings, self.versions = _machines(rng)
        self.exemptions = [
            Exemption(1, "machine", 1, None, START + 3 * HOUR, START + 7 * HOUR, "a", "b"),
            Exemption(2, "owner", "road works", 2, START + 5 * HOUR, None, "a", "b"),
        ]
        zones = _zones(rng)
        self.machines = Machines(self.bindings, self.versions)
        self.rules = Ruleset(Fence.compile(zones), self.machines, self.exemptions)
        self.oracle = Oracle(self.rules, self.bindings, self.versions, self.exemptions)
        self.menu = _menu(rng, self.rules.fence)
        self.before = self._before(zones)

    def _before(self, zones: list) -> Ruleset:
        """The rules as they were known before anything dated was: what is decided until then is the same."""
        known = [each for each in zones if each.valid_from is None or each.valid_from <= EDIT]
        versions = [each for each in self.versions if each.since is None or each.since <= EDIT]
        exemptions = [each for each in self.exemptions if each.since <= EDIT]
        return Ruleset(Fence.compile(known), Machines(self.bindings, versions), exemptions)

    def walk(self, device: int, runs: list[tuple[int, int, int, int]]) -> Positions:
        """Fixes: runs of (place, how many, apart, engine and speed); two of one second every now and then."""
        steps = [run for run in runs for _ in range(run[1])]
        n = len(steps)
        place = self.menu[[run[0] % len(self.menu) for run in steps]]
        apart = np.array([EVERY[run[2] % len(EVERY)] if run[2] < 20 else 0 for run in steps], np.int64)
        time = START + np.cumsum(apart) * SECOND
        graded = np.array([GRADED[run[3] % len(GRADED)] for run in steps]).reshape(n, 2)
        mixed = np.random.default_rng(n).permutation(10 * n)[:n]
        return positions(
            device, time, place[:, 0], place[:, 1], status=graded[:, 0], speed=graded[:, 1], fingerprint=mixed
        )


EDIT = START + 2 * HOUR


@cache
def world(seed: int) -> World:
    return World(seed)


def runs(most: int = 12) -> st.SearchStrategy:
    """Sticky walks between a few places, so that entries, settled stays, hesitations and exits all happen."""
    few = st.lists(st.integers(0, 400), min_size=1, max_size=4)
    run = st.tuples(
        st.integers(0, 3), st.sampled_from([1, 1, 2, 2, 3, 5]), st.sampled_from([0, 1, 2, 3, 3, 3, 4, 4, 5, 6, 20]),
        st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5]),
    )  # fmt: skip
    pairs = st.tuples(few, st.lists(run, min_size=1, max_size=most))
    return pairs.map(lambda found: [(found[0][place % len(found[0])], *rest) for place, *rest in found[1]])


def arriving(rows: Positions, packets: list[tuple[int, int, bool]]) -> Positions:
    """The rows as packets of consecutive ones that arrive in the order of their numbers: (size, number, backfill)."""
    parts, begin = [], 0
    for size, number, backfill in [*packets, (len(rows), 50, False)]:
        if begin < len(rows):
            parts.append((number, begin, min(begin + size, len(rows)), backfill))
            begin += size
    received = rows.received.copy()
    source = rows.source.copy()
    order, clock = [], 0
    for _, first, past, backfill in sorted(parts):
        clock = max(clock + SECOND, int(rows.time[first:past].max()) + SECOND)
        received[first:past] = clock
        source[first:past] = Source.BACKFILL if backfill else Source.LIVE
        order += range(first, past)
    return rows.with_columns(received=received, source=source).take(np.array(order, int))


packets = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 100), st.booleans()), max_size=8)


def _menu(rng: np.random.Generator, fence: Fence) -> np.ndarray:
    lon, lat = at(rng.uniform(-600, 1700, 4000), rng.uniform(-600, 1500, 4000))
    lon, lat = np.round(lon, 6), np.round(lat, 6)
    sets = fence.locate(lon, lat)
    chosen = np.concatenate([np.flatnonzero(sets == s)[:2] for s in np.unique(sets)])
    far = np.round(np.column_stack(at([9000, -30000], [9000, 0])), 6)
    return np.concatenate([np.column_stack([lon[chosen], lat[chosen]]), far])


def _machines(rng: np.random.Generator) -> tuple[list[Binding], list[Machine]]:
    stages = ["2", "1", "unknown", "x", "3"]
    versions = [Machine(i + 1, emission_stage=stage) for i, stage in enumerate(stages)]
    versions += [
        Machine(1, emission_stage="3", since=START + int(rng.integers(1, 10)) * HOUR),
        Machine(2, emission_stage="1", owner="road works", since=START + int(rng.integers(1, 10)) * HOUR),
        Machine(3, emission_stage="2", since=START + int(rng.integers(1, 10)) * HOUR + 7),
        Machine(6, emission_stage="2", since=START + HOUR),
    ]
    bindings = [Binding(device, i + 1) for i, device in enumerate(DEVICES[:5])]
    swap = START + int(rng.integers(1, 6)) * HOUR
    bindings += [
        Binding(DEVICES[5], 1, START, swap), Binding(DEVICES[5], 6, swap, None),
        Binding(DEVICES[6], 2, swap, None),
    ]  # fmt: skip
    return bindings, versions  # the last terminal waits for a machine


def _zones(rng: np.random.Generator) -> list:
    def numbers() -> dict:
        return {
            "merge_s": float(rng.choice([0, 60, 600, 7200])),
            "lost_s": float(rng.choice([30, 100, 1800, 1800, 90_000])),
            "lost_merge_s": float(rng.choice([0, 600, 43_200])),
            "unknown_policy": str(rng.choice(["record", "alarm"])),
            "slow_terminals": str(rng.choice(["ask", "wait", "one_fix"])),
        }

    def box_near(*corners: float) -> shapely.Geometry:
        west, south, east, north = np.array(corners) + rng.uniform(-40, 40, 4)
        return box(west, south, east, north)

    edge = START + int(rng.integers(2, 6)) * HOUR + 3 * SECOND
    begun = edge + int(rng.choice([0, 900, 7200])) * SECOND
    hours = parse_rules([
        {"any_of": [{"stage_below": "3"}], "hours": [["07:00", "10:30"], ["16:00", "18:30"], ["22:00", "05:00"]]},
        {"any_of": [{"stage_in": ["3"]}], "valid_from": "2025-10-09T20:00:00+08:00"},
    ])  # fmt: skip
    holed = shapely.difference(box_near(300, 300, 800, 1200), box(450, 500, 650, 900))
    strip = box_near(1000, -200, 1045, 900)
    return [
        zone(1, box_near(0, 0, 900, 900), valid_to=edge, **numbers()),
        zone(1, box_near(200, 0, 1100, 900), version=2, valid_from=begun, rules=hours, **numbers()),
        zone(2, holed, tier="core", guard_m=float(rng.choice([0, 30])), **numbers()),
        zone(3, strip, halo_m=0, valid_from=START + 4 * HOUR, valid_to=START + 9 * HOUR, **numbers()),
        zone(4, box_near(-300, 400, 350, 800), rules=hours, district="371503", **numbers()),
        zone(5, box_near(-100, -300, 500, 200), rules=(), valid_to=edge + HOUR, **numbers()),
        zone(5, box_near(-100, -300, 500, 200), version=2, valid_from=edge + HOUR, **numbers()),
    ]
