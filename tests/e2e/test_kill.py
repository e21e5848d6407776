"""kill -9 of every part, alone and together, at random moments under load, round after round.

KILL_ROUNDS=200 makes a long run of it (`make kill`), KILL_SEED another one.
"""

from __future__ import annotations

import os
import random
import sys
import time

import pytest

from tests.e2e.fleet import PLACES, Fleet, Trip

ROUNDS = int(os.environ.get("KILL_ROUNDS", "5"))
SEED = int(os.environ.get("KILL_SEED", "0")) or time.time_ns() % 1_000_000
PARTS = ("edge", "worker", "api", "nats-server", "postgres")
HEALS_S = 60.0  # on a busy machine: every process starts again, after a pause that grows to 5 s where it dies often
HEADER = "round  killed                                                    longest gap  ready"


def plan(chance: random.Random, number: int) -> list[str]:
    """Who dies this round: in the first three rounds everybody, then everybody at once, then one, some or all."""
    if number < 3:
        return list(PARTS[2 * number : 2 * number + 2])
    return chance.sample(PARTS, 5 if number == 3 else chance.choice((1, 1, 1, 2, 2, 3, 5)))


@pytest.mark.e2e
@pytest.mark.timeout(180 + ROUNDS * 2 * HEALS_S)
def test_kill_at_random(gateway_over, tmp_path, capsys):
    """No acknowledged report is lost or doubled, no alarm missed or doubled, the counters are the rows; it heals by itself."""
    chance = random.Random(SEED)  # noqa: S311  a failing seed comes again
    gateway = gateway_over(edges="2", workers="2")
    fleet = Fleet(gateway, tmp_path, 400 + 80 * ROUNDS, pace_s=0.05)
    fleet.start()
    say(capsys, f"\nseed {SEED}\n{HEADER}")
    for number in range(ROUNDS):
        time.sleep(chance.uniform(0, 1.5))
        killed, begun = [], time.monotonic()
        for part in plan(chance, number):
            killed.append(f"{part} x{gateway.kill_any(part)}")
            time.sleep(chance.choice((0.0, chance.uniform(0, 0.5))))
        fleet.wait(len(PLACES), HEALS_S)
        gap = fleet.longest_gap_s(begun)
        ready = "not awaited"
        if chance.random() < 0.5:
            gateway.wait_ready(HEALS_S)
            ready = f"{time.monotonic() - begun:.1f} s"
        say(capsys, f"{number + 1:5}  {', '.join(killed):57} {gap:9.2f} s  {ready}")
    gateway.wait_ready(HEALS_S)
    fleet.finish()
    gateway.stop()  # and a clean stop loses nothing either
    gateway.start()
    say(capsys, str(fleet.audit()))
    assert fleet.broken, "nothing was interrupted: the test tested nothing"


def say(capsys, line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(line + "\n")


def test_reports_of_a_trip_differ():
    """The load above makes reports that are not the same, or 'exactly once' would be easy."""
    trip = Trip("13800000000", banned=True, begin_us=1_700_000_000_000_000)
    assert len({trip.body(n) for n in range(len(PLACES))}) == len(PLACES)
