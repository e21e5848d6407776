"""The fleet clock: a server's clock that jumps or was wrong, against random fleets, alone and through the hub."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from columns.identity import device_of
from columns.positions import Quality
from gateway.edge import hub as hub_module
from gateway.edge.fleet_clock import FLEET, STEP, FleetClock
from protocols.jt808 import terminal

if TYPE_CHECKING:
    from tests.plugins.edge import Bench

SECOND = 1_000_000
HOUR = 3600 * SECOND
TRUE = 1_760_000_000 * SECOND


class World:
    """True time, a wall clock that is ``wrong`` by so much, a steady clock with a zero of its own, and a fleet.

    Some terminals are mad: their times are days or hours off, for ever. ``behind``: how old what each sends now is, after an outage.
    """

    def __init__(self, seed: int, terminals: int, wrong: int = 0, mad: float = 0.1) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.clock = FleetClock()
        self.true, self.wrong = TRUE, wrong
        self.period = self.random.choice([1, 5, 10])
        self.terminals = range(terminals)
        self.mad = {
            one: self.random.choice([-1, 1]) * self.random.randrange(2 * HOUR, 900 * 24 * HOUR)
            for one in self.terminals
            if self.random.random() < mad
        }
        self.worst = 0
        self.behind = dict.fromkeys(self.terminals, 0)

    def now(self) -> int:
        return self.clock.now(self.true + self.wrong, self.true - TRUE)

    def pass_by(self, seconds: float, *, checked: bool = True) -> None:
        """Reports come every quarter of a second, of those whose turn it is; the believed time is checked at each."""
        for _ in range(int(seconds * 4)):
            self.true += SECOND // 4
            error = self.now() - self.true
            speaking = [one for one in self.terminals if self.random.random() < 0.25 / self.period]
            times = [self._says(one) for one in speaking]
            if speaking and self.clock.due(self.true - TRUE):
                self.clock.note(np.array(speaking), np.array(times), self.true + self.wrong, self.true - TRUE)
            if checked:
                self.worst = max(self.worst, abs(error))

    def _says(self, one: int) -> int:
        late = int(self.random.expovariate(1 / (2 * SECOND)))
        if self.behind[one]:  # it sends what it kept, ten times as fast as it came
            self.behind[one] = max(0, self.behind[one] - 9 * self.period * SECOND)
        return self.true - late - self.behind[one] + self.mad.get(one, 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jump", [HOUR, -HOUR, 90 * SECOND, -90 * SECOND])
def test_the_servers_clock_jumps(seed, jump):
    """Whichever way, and back again: the time that is believed is the true one all along, and it is said meanwhile."""
    world = World(seed, random.Random(seed).randrange(120, 400))  # noqa: S311
    world.pass_by(60)
    assert world.clock.reason is None
    world.wrong = jump
    world.now()
    assert abs(world.clock.ahead - jump) < SECOND
    assert world.clock.jumps == 1
    reason = world.clock.reason
    assert reason is not None
    assert ("ahead of" in reason) is (jump > 0)
    assert "检查 NTP" in reason
    world.pass_by(120)
    world.wrong = 0
    world.pass_by(60)
    assert world.clock.reason is None
    assert (world.clock.jumps, world.clock.steps) == (1, 0)
    assert world.worst < SECOND


@pytest.mark.parametrize("seed", range(4))
def test_a_clock_that_was_behind_from_the_start(seed):
    """Recognised when FLEET terminals have spoken, not before and not by mad ones; NTP's correction is then believed."""
    world = World(seed, 400, wrong=-random.Random(seed).randrange(2 * STEP, 30 * 24 * HOUR))  # noqa: S311
    world.pass_by(30, checked=False)
    assert abs(world.now() - world.true) < 10 * SECOND
    assert "behind" in (world.clock.reason or "")
    world.pass_by(30, checked=False)
    world.wrong = 0
    world.pass_by(60)
    assert world.clock.reason is None
    assert world.worst < 10 * SECOND


@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_clock_that_is_set_right_is_followed(seed):
    """Ahead at the start, which nobody can tell from old reports: the correction is believed as soon as it comes."""
    world = World(seed, 400, wrong=HOUR)
    world.pass_by(30, checked=False)
    assert world.clock.reason is None
    world.wrong = 0
    world.pass_by(30)
    assert (world.worst < SECOND, world.clock.reason, world.clock.steps) == (True, None, 1)


@pytest.mark.parametrize("seed", range(4))
def test_an_outage_of_the_network_is_no_jump(seed):
    """Everybody sends an hour of old reports as if they were new: nothing is said, and the time stays."""
    world = World(seed, 300)
    world.pass_by(60)
    world.true += HOUR
    world.behind = {one: int(HOUR * world.random.uniform(0.2, 1)) for one in world.terminals}
    world.pass_by(150)
    assert (world.worst < SECOND, world.clock.reason, world.clock.jumps) == (True, None, 0)
    world.behind = {one: int(HOUR * world.random.uniform(0.2, 1)) for one in world.terminals}
    world.pass_by(5)
    # And a clock that jumps in the middle of that is not believed either, though it fits the old reports.
    world.wrong = -int(np.median(list(world.behind.values())))
    world.pass_by(60)
    assert world.worst < SECOND
    assert "behind" in (world.clock.reason or "")


def test_a_few_terminals_cannot_tell():
    """Below FLEET the wall clock is believed, and that it jumped is counted; when enough speak, they take it back."""
    world = World(1, FLEET - 1, mad=0)
    world.pass_by(30)
    world.wrong = HOUR
    world.pass_by(30, checked=False)
    assert abs(world.now() - world.true - HOUR) < SECOND
    assert (world.clock.jumps, world.clock.reason) == (1, None)
    world.terminals = range(200)
    world.behind = dict.fromkeys(world.terminals, 0)
    world.pass_by(30, checked=False)
    assert abs(world.now() - world.true) < SECOND
    assert "ahead of" in (world.clock.reason or "")


def test_one_makers_mistake_does_not_move_it():
    """Two thirds of the fleet in the wrong time zone are wrong, not the server."""
    world = World(3, 300, mad=0)
    world.mad = dict.fromkeys(range(200), 8 * HOUR)
    world.pass_by(60)
    assert (world.worst < SECOND, world.clock.reason) == (True, None)


class Clocks:
    """Stands for the module `time`, where the hub asks it."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.passed, self.wrong = 0, 0

    def time_ns(self) -> int:
        return (TRUE + self.passed + self.wrong) * 1000

    def clock_gettime_ns(self, _: int) -> int:
        return self.passed * 1000

    def monotonic(self) -> float:
        return self.passed / 1e6


@pytest.fixture
def clocks(monkeypatch):
    one = Clocks()
    monkeypatch.setattr(hub_module, "time", one)
    return one


async def fleet(bench: Bench, clocks, count: int):
    callers = [bench.caller(f"138{i:08}") for i in range(count)]
    for one in callers:
        one.say(one.authenticate())
    await bench.settle()
    return callers


async def reports(bench: Bench, clocks, callers, mad=()):
    """A report of each with the true time, of the mad ones two days ahead: quality by device, and `received`."""
    clocks.passed += SECOND
    bench.log.messages.clear()
    for one in callers:
        at = TRUE + clocks.passed + (48 * HOUR if one in mad else 0)
        one.say(one.frame(0x0200, terminal.location(at, 116.0, 36.5)))
    await bench.settle()
    rows = [batch.positions for batch in bench.log.batches]
    quality = dict(zip(np.concatenate([r.device for r in rows]).tolist(),
                       np.concatenate([r.quality for r in rows]).tolist(), strict=True))  # fmt: skip
    return quality, np.concatenate([r.received for r in rows])


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_jump_quarantines_nobody(edge_bench, clocks, jump):
    """From a terminal's bytes to the log: no report of an honest terminal is FUTURE, `received` stays true, mad terminals stay
    mad, and no timer moves."""
    bench = edge_bench()
    callers = await fleet(bench, clocks, 80)
    mad = callers[:5]
    await reports(bench, clocks, callers, mad)
    clocks.wrong = jump
    for _ in range(5):
        quality, received = await reports(bench, clocks, callers, mad)
        future = {device for device, bits in quality.items() if bits & Quality.FUTURE}
        assert future == {device_of(one.phone) for one in mad}
        assert abs(received - TRUE - clocks.passed).max() < SECOND
    assert bench.hub.counts["clock_jumped"] == 1
    assert bench.hub.clock.reason is not None
    bench.hub.assemblies.sweep(bench.hub.now())
    bench.hub.rivals.sweep(bench.hub.now())
    assert all(not one.connection.dropped for one in callers)
    assert all(one.results(0x0200) == [0] * 6 for one in callers)
    clocks.wrong = 0
    await reports(bench, clocks, callers)
    assert bench.hub.clock.reason is None


async def test_a_server_that_boots_in_the_past(edge_bench, clocks):
    """The very linger in which enough terminals have spoken is dated right: none of its honest reports is FUTURE."""
    bench = edge_bench()
    clocks.wrong = -24 * HOUR
    callers = await fleet(bench, clocks, 80)
    quality, received = await reports(bench, clocks, callers, callers[:5])
    assert sum(1 for bits in quality.values() if bits & Quality.FUTURE) == 5
    assert abs(received - TRUE - clocks.passed).max() < 2 * SECOND
    assert "behind" in bench.hub.clock.reason


async def test_strangers_do_not_set_the_clock(edge_bench, clocks):
    """What nobody authenticated says moves no clock, however many say it."""
    bench = edge_bench()
    await fleet(bench, clocks, 10)
    strangers = [bench.caller(f"137{i:08}") for i in range(200)]
    clocks.passed += SECOND
    for one in strangers:
        one.say(one.frame(0x0200, terminal.location(TRUE + 48 * HOUR, 116.0, 36.5)))
    await bench.settle()
    assert bench.hub.clock.reason is None
    assert abs(bench.hub.now() - TRUE - clocks.passed) < SECOND


def test_no_timer_of_the_edge_reads_the_wall_clock():
    """Where the edge asks for the wall clock: the hub, which hands it to the fleet clock, and the tracer's dated orders."""
    folder = Path(hub_module.__file__).parent
    asked = {
        path.name for path in folder.glob("*.py") for word in ("time.time", "datetime.now") if word in path.read_text()
    }
    assert asked == {"hub.py", "tracer.py"}
