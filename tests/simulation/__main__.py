"""Runs seeds: `python -m tests.simulation --seeds 10000` many on all cores, `--seed 17 -v` one with its trace.

Exits with 1 where a seed fails, and says how to run that seed again.
"""

# ruff: noqa: T201 - it prints

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from tests.simulation.model import kind
from tests.simulation.run import simulate

if TYPE_CHECKING:
    from tests.simulation.run import Result

TOLD = 20
"""Failing seeds that are shown whole; of the others the numbers."""
SHOWN = 2000  # characters of one failure


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone, twice: both runs must be the same")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--quiet", action="store_true", help="one line: how many failed, and what the most were told")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: the trace")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return _one(asked.seed, verbose=asked.verbose)
    seeds = range(asked.first, asked.first + asked.seeds)
    return _briefly(seeds, asked.jobs) if asked.quiet else _many(seeds, asked.jobs)


def _one(seed: int, *, verbose: bool) -> int:
    result, again = simulate(seed), simulate(seed)
    if verbose or result.failures:
        print("\n".join(result.trace))
    print(f"seed {seed}: {result.digest}, {result.seconds:.0f} s of virtual time, {result.counts}")
    if again.digest != result.digest:
        result.failures.append(f"the second run is another one: {again.digest}")
    print("\n".join(result.failures) or "all is well")
    return 1 if result.failures else 0


def _many(seeds: range, jobs: int) -> int:
    begun, failed, total, virtual = time.monotonic(), list[int](), Counter[str](), 0.0
    with ProcessPoolExecutor(jobs) as pool:
        for result in pool.map(_without_trace, seeds, chunksize=10):
            total.update(result.counts)
            virtual += result.seconds
            if result.failures:
                failed.append(result.seed)
                if len(failed) <= TOLD:
                    told = "\n  ".join(each[:SHOWN] for each in result.failures)
                    print(
                        f"seed {result.seed} fails: python -m tests.simulation --seed {result.seed} -v\n  {told}",
                        flush=True,
                    )
    print(
        f"{len(seeds)} seeds from {seeds.start}, {virtual / 3600:.1f} h of virtual time in {time.monotonic() - begun:.0f} s"
    )
    print(", ".join(f"{name} {number}" for name, number in sorted(total.items())))
    print(f"{len(failed)} failed: {failed}" if failed else "none failed")
    return 1 if failed else 0


def _briefly(seeds: range, jobs: int) -> int:
    """ "failed | what was wrong, the most frequent first": for mutants."""
    failed, kinds = 0, Counter[str]()
    with ProcessPoolExecutor(jobs) as pool:
        for result in pool.map(_without_trace, seeds, chunksize=5):
            failed += bool(result.failures)
            kinds.update({kind(failure) for failure in result.failures})
    print(f"{failed} | {', '.join(f'{name} {number}' for name, number in kinds.most_common(4))}")
    return 1 if failed else 0


def _without_trace(seed: int) -> Result:
    result = simulate(seed)
    result.trace = []
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
