"""The simulation: fifty seeds, that a run is a function of its seed, and that there is something to see in it."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import simulate

SEEDS = 50


@cache
def counts(seed: int) -> dict[str, int]:
    result = simulate(seed)
    assert not result.failures, "\n".join([*result.trace[-200:], *result.failures])
    return result.counts


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_seed(seed):
    """Whatever goes wrong on the way: nothing acknowledged is lost, everything is there once and counted, and presences,
    visits and alarms are those of the stored reports. A seed that fails: python -m tests.simulation --seed N -v
    """
    counts(seed)


def test_a_seed_is_a_run():
    """The same seed is the same run, step by step; another is another one."""
    first, again, other = simulate(11), simulate(11), simulate(12)
    assert first.trace == again.trace
    assert first.digest != other.digest


@pytest.mark.timeout(600)  # where it comes first it runs all seeds
def test_everything_goes_wrong_somewhere():
    """Otherwise nothing would be shown by these seeds: each of these has happened in some of them."""
    total: dict[str, int] = {}
    for seed in range(SEEDS):
        for name, number in counts(seed).items():
            total[name] = total.get(name, 0) + number
    for name in (
        "alarms", "visits", "duplicates", "quarantined", "rejected", "late", "known_id", "stored_twice", "refused",
        "lost_delivery", "unavailable", "in_doubt", "epoch_changed", "offset_moved", "restarts", "parked",
    ):  # fmt: skip
        assert total.get(name, 0) > 0, f"{name} never happened: {total}"


def test_every_mutant_still_applies():
    """What a mutant breaks stands in its module, once."""
    for mutant in MUTANTS:
        spec = importlib.util.find_spec(mutant.module)
        text = Path(spec.origin).read_text()
        assert [text.count(here) for here, _ in mutant.swaps] == [1] * len(mutant.swaps), mutant.name
