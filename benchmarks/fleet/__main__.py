"""Measures detection on a simulated fleet and prints the tables of docs/detection.md: python -m benchmarks.fleet."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

from benchmarks.fleet import asked, moving, parked, tables
from benchmarks.fleet.noise import Excursions
from benchmarks.fleet.score import Score
from benchmarks.machine import describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from benchmarks.fleet.moving import Outcome
    from benchmarks.fleet.parked import Parked

OUTSIDE_M = (0, 2, 5, 10, 15, 20, 30, 50)
INSIDE_M = (-10, -20, -25, -30, -35, -40, -50)
NARROW_M = (0, 10, 20, 30, 50)
HARSH_M = (0, 10, 20, 30)
HARSH = {
    "no excursions": Excursions(0.0),
    "2 a day, 10 m (the others' tables)": Excursions(),
    "10 a day, 10 m": Excursions(10.0),
    "2 a day, 20 m": Excursions(2.0, 20.0),
    "10 a day, 20 m": Excursions(10.0, 20.0),
}
GUARDS_M = (0.0, 10.0, 20.0, 30.0)
_WIDE, _NARROW = (2, 3), (4,)  # zone ids: the core and the township; the strip
_PARTS = 5
PRECISION, RECALL, FALSE_PER_1000_DAYS, BAR_M = 0.99, 0.99, 5.0, 10.0


@dataclass(frozen=True, slots=True)
class Results:
    guards: dict[float, list[Parked]]
    narrow: Parked
    harsh: list[tuple[str, Parked]]
    inside: Parked
    outcomes: list[Outcome]
    asked: Score


def measure(seed: int, workers: int, scale: float) -> Results:
    """Everything, in so many processes. scale: share of the full number of machines."""

    def some(count: int) -> int:
        return max(2, round(count * scale))

    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:

        def at(
            zones: Sequence[int],
            outside_m: Sequence[float],
            each: int,
            days: float,
            guard_m: float = GUARDS_M[-1],
            excursions: Excursions | None = None,
        ) -> Future[Parked]:
            return pool.submit(parked.run, seed, zones, outside_m, some(each), days, guard_m, excursions)

        default = [pool.submit(parked.run, seed + part, _WIDE, OUTSIDE_M, some(50), 5.0) for part in range(_PARTS)]
        outcomes = [pool.submit(moving.run, seed + part, some(150), 12.0) for part in range(_PARTS)]
        guards = {guard: [at(_WIDE, OUTSIDE_M, 60, 2.0, guard_m=guard)] for guard in GUARDS_M[:-1]}
        guards[GUARDS_M[-1]] = default
        narrow = at(_NARROW, NARROW_M, 50, 4.0)
        harsh = [(name, at(_WIDE, HARSH_M, 25, 4.0, excursions=each)) for name, each in HARSH.items()]
        inside = at(_WIDE, INSIDE_M, 100, 0.5)
        slow = pool.submit(asked.run, seed, some(100), 6.0)
        return Results(
            {guard: [part.result() for part in parts] for guard, parts in guards.items()},
            narrow.result(),
            [(name, each.result()) for name, each in harsh],
            inside.result(),
            [outcome.result() for outcome in outcomes],
            slow.result(),
        )


def show(r: Results) -> None:
    default = r.guards[GUARDS_M[-1]]
    healthy = sum((outcome.total(fault="none") for outcome in r.outcomes), Score())
    everyone = sum((outcome.total() for outcome in r.outcomes), Score())
    count, days, upper = tables.bar(default, BAR_M)
    per_1000 = 1_000 * count / days
    print("### Bars\n")
    print(
        tables.table(
            ["", "bar", "healthy terminals", "all terminals", ""],
            [
                ["precision", f">= {PRECISION}", f"{healthy.precision:.4f}", f"{everyone.precision:.4f}",
                 _met(min(healthy.precision, everyone.precision) >= PRECISION)],
                ["recall", f">= {RECALL}", f"{healthy.recall:.4f}", f"{everyone.recall:.4f}",
                 _met(min(healthy.recall, everyone.recall) >= RECALL)],
                [f"false alarms per 1,000 machine-days, parked >= {BAR_M:g} m outside", f"<= {FALSE_PER_1000_DAYS:g}",
                 f"{per_1000:.2f} ({count} in {days:,.0f} days; 95 % limit {upper:.2f})", "-",
                 _met(per_1000 <= FALSE_PER_1000_DAYS)],
            ],
        )
    )  # fmt: skip
    print("\n### Moving machines\n\n" + tables.detection(r.outcomes))
    print("\n### Delay\n\n" + tables.delays(r.outcomes, r.asked))
    print("\n### Faults\n\n" + tables.by_fault(r.outcomes))
    print("\n### Parked outside, by guard\n\n" + tables.by_distance(r.guards, OUTSIDE_M))
    print("\n### Parked 0 to 20 m outside, guard 30 m, by receiver\n\n" + tables.by_sigma(default, 0, 20))
    print("\n### Harsher excursions\n\n" + tables.rates(r.harsh, HARSH_M))
    print("\n### Beside a strip 80 m wide\n\n" + tables.rates([("guard 10 m is left", r.narrow)], NARROW_M))
    print("\n### Parked inside\n\n" + tables.inside(r.inside))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full number of machines")
    a = parser.parse_args()
    began = time.monotonic()
    results = measure(a.seed, a.workers, a.scale)
    show(results)
    where = describe(a.seed)
    reports = sum(outcome.reports for outcome in results.outcomes)
    print(f"\n{where}; scale {a.scale:g}; {reports:,} reports of moving machines; {time.monotonic() - began:.0f} s")
    return 0


def _met(yes: bool) -> str:
    return "met" if yes else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
