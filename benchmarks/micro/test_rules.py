"""The rule test: what verdicts cost at 1,000 rules, in CPU time.

"city" is 250 zones of four rules each, every list another; "one zone" is a single zone of 1,000 rules, the most there may
be. All rules are dated and have night windows. A city's 14,000 machines are registered (some 12,000 classes of
attributes), 16 % of them are inside a zone. `extra_info.ns` is per row inside (per machine in
test_after_an_edit).
"""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
import shapely

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.presence import State, decide
from geofence.rules import STAGES, parse_rules
from geofence.rules.terms import ENERGY_WORDS, TYPE_WORDS
from geofence.ruleset import Ruleset
from geofence.zones import Zone

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

RULES = 1_000
FLEET = 14_000
INSIDE = FLEET * 16 // 100
NOW = 1_760_000_000_000_000  # 2025-10-09 16:53 in China, between two windows
SECOND = 1_000_000
HOUR = 3600 * SECOND
BAR_NS = 200

Row: TypeAlias = tuple[Zone, Machine, int]

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def _rules(rng: Random) -> list[dict[str, Any]]:
    """Each bans a few machines only, so that most are allowed, after all rules."""
    return [
        {
            "all_of": [
                {"type_in": rng.sample(list(TYPE_WORDS), 2)},
                {"any_of": [{"stage_in": rng.sample(STAGES[:6], 2)}, {"smoke_class_not_met": rng.choice("123")}]},
                {"power_kw": {"min": number, "max": number + 1}},
            ],
            "valid_from": f"20{rng.randint(10, 24)}-0{rng.randint(1, 9)}-01T00:00:00+08:00",
            "hours": [[f"{rng.randint(18, 23)}:00", f"0{rng.randint(5, 8)}:{rng.randint(10, 59)}"]],
        }
        for number in range(RULES)
    ]


def _zones(rules: list[dict[str, Any]], count: int) -> list[Zone]:
    """Squares of 900 m, 1.1 km apart, with a share of the rules each."""
    share = len(rules) // count
    squares = [shapely.box(x, y, x + 0.01, y + 0.008) for i in range(count)
               for x, y in [(115.5 + i % 20 * 0.012, 36 + i // 20 * 0.01)]]  # fmt: skip
    return [
        Zone(i + 1, 1, f"zone {i}", "371502", "core", square, parse_rules(rules[i * share : (i + 1) * share]))
        for i, square in enumerate(squares)
    ]


def _fleet(rng: Random) -> list[Machine]:
    return [
        Machine(
            i + 1,
            machine_type=rng.choice(list(TYPE_WORDS)),
            emission_stage=rng.choice(STAGES),
            power_kw=float(rng.randint(20, 40) * 10),
            energy=rng.choice(list(ENERGY_WORDS)),
            smoke_class=rng.choice(("1", "2", "3", "none", "unknown")),
        )
        for i in range(FLEET)
    ]


class World:
    """The machines that are inside stand in the middle of one zone each."""

    def __init__(self, zones: list[Zone]) -> None:
        rng = Random(1)
        self.zones = zones
        self.fence = Fence.compile(zones)
        self.fleet = _fleet(rng)
        self.machines = Machines.bound({machine.id: machine for machine in self.fleet})
        self.inside = [(rng.choice(zones), machine) for machine in self.fleet[:INSIDE]]

    def rows(self, *times: int) -> list[Row]:
        return [(zone, machine, at) for at in times for zone, machine in self.inside]

    def positions(self, at: int) -> Positions:
        """A fix of every machine that is inside."""
        columns = {name: np.zeros(INSIDE, dtype) for name, dtype in DTYPES.items()}
        columns["device"][:] = [machine.id for _, machine in self.inside]
        columns["time"][:] = at
        columns["received"][:] = at + SECOND
        columns["fingerprint"][:] = at
        columns["lon"][:] = [zone.geometry.centroid.x for zone, _ in self.inside]
        columns["lat"][:] = [zone.geometry.centroid.y for zone, _ in self.inside]
        columns["status"][:] = 3
        return Positions(**columns, extras=Ragged.empty(INSIDE))


@pytest.fixture(params=[250, 1], ids=["city", "one zone"], scope="module")
def world(request: pytest.FixtureRequest) -> World:
    return World(_zones(_rules(Random(1)), request.param))


def _judge_all(ruleset: Ruleset, rows: list[Row]) -> None:
    judge = ruleset.judge
    for zone, machine, at in rows:
        judge(zone, machine, at)


def _report(benchmark: BenchmarkFixture, rows: int) -> None:
    benchmark.extra_info["ns"] = round(benchmark.stats.stats.min / rows * 1e9)


def test_decide(benchmark: BenchmarkFixture, world: World) -> None:
    """A row inside costs at most 0.2 us more in decide() with 1,000 rules than with none: the rule test as the product does it.

    Batches of one fix per machine, all inside; both sides in turn, the best of 50 rounds of each.
    """
    ruled, free = _Decided(world), _Decided(World(_zones([], len(world.zones))))

    def next_batch() -> None:
        free.take_next()
        ruled.take_next()

    benchmark.pedantic(ruled.decide, setup=next_batch, rounds=50)
    benchmark.extra_info["ns"] = per_row = round((benchmark.stats.stats.min - free.best_s) / INSIDE * 1e9)
    benchmark.extra_info["ns without rules"] = round(free.best_s / INSIDE * 1e9)
    assert per_row <= BAR_NS


class _Decided:
    """One side of the comparison, after the machines have entered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ruleset = Ruleset(world.fence, world.machines)
        self._state = State()
        self._state.adopt(self._ruleset)
        self._at = NOW
        for _ in range(3):
            self._batch = world.positions(self._step())
            self.decide()
        self.best_s = float("inf")

    def _step(self) -> int:
        self._at += 30 * SECOND
        return self._at

    def take_next(self) -> None:
        """Makes the next batch; of the side without rules, decides it too."""
        self._batch = self._world.positions(self._step())
        if not self._world.zones[0].rules:
            begun = time.process_time()
            self.decide()
            self.best_s = min(self.best_s, time.process_time() - begun)

    def decide(self) -> None:
        self._state.apply(decide(self._state, self._ruleset, self._batch).delta)


def test_judge(benchmark: BenchmarkFixture, world: World) -> None:
    """judge() of machines that were judged before, one by one: ten fixes of each. decide() asks it at edges only."""
    ruleset = Ruleset(world.fence, world.machines)
    rows = world.rows(*range(NOW, NOW + 300 * SECOND, 30 * SECOND))
    benchmark(_judge_all, ruleset, rows)
    _report(benchmark, len(rows))


def test_at_every_edge(benchmark: BenchmarkFixture, world: World) -> None:
    """judge() where time has changed what counts: every row is in another hour than the one before, around the clock."""
    ruleset = Ruleset(world.fence, world.machines)
    rows = world.rows(*range(NOW, NOW + 24 * HOUR, HOUR))
    benchmark.pedantic(_judge_all, (ruleset, rows), rounds=3)
    _report(benchmark, len(rows))


def test_after_an_edit(benchmark: BenchmarkFixture, world: World) -> None:
    """The first judge() of every machine inside, under a ruleset made anew: rules are compiled to columns, nothing is kept."""

    def fresh() -> tuple[tuple[Ruleset, list[Row]], dict[str, Any]]:
        return (Ruleset(world.fence, world.machines), world.rows(NOW)), {}

    benchmark.pedantic(_judge_all, setup=fresh, rounds=3)
    _report(benchmark, INSIDE)
