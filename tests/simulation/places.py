"""Places: the random worlds of tests/geofence, with terminals that have phones, and what these have to report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from columns.identity import device_of
from geofence.machines import Machines
from geofence.ruleset import Ruleset
from protocols.jt808 import terminal
from tests.geofence.oracle import Oracle
from tests.geofence.world import SECOND, START
from tests.geofence.worlds import DEVICES, EDIT, WORLDS, world
from tests.simulation.terminals import Report

if TYPE_CHECKING:
    import random

    from tests.geofence.worlds import World

MOST_REPORTS = 45
MOST_S = 400.0
BEGIN_S = 1000.0
"""The loop's time at a run's origin."""
_EVERY = (1, 1, 5, 5, 5, 20, 20, 60, 150)  # seconds between fixes


def phone_of(device: int) -> str:
    return f"1380000{device:04d}"


@dataclass(frozen=True, eq=False)
class Place:
    """A world. before: its rules as they were until EDIT; oracle: what they come to."""

    world: World
    rules: Ruleset
    before: Ruleset
    oracle: Oracle


@cache
def place(number: int) -> Place:
    one = world(number % WORLDS)
    devices = {device: device_of(phone_of(device)) for device in DEVICES}
    bindings = [replace(binding, device=devices[binding.device]) for binding in one.bindings]
    rules = Ruleset(one.rules.fence, Machines(bindings, one.versions), one.exemptions)
    versions = [each for each in one.versions if each.since is None or each.since <= EDIT]
    exemptions = [each for each in one.exemptions if each.since <= EDIT]
    before = Ruleset(one.before.fence, Machines(bindings, versions), exemptions)
    return Place(one, rules, before, Oracle(rules, bindings, one.versions, one.exemptions))


def origin_of(one: Place, chance: random.Random, *, edited: bool) -> int:
    """When a run begins, us: shortly before something takes effect, or before the edit."""
    if edited:
        return EDIT - chance.randrange(120, 1500) * SECOND
    edges = [edge for edge in one.oracle.edges if edge > START]
    return chance.choice(edges) // SECOND * SECOND - chance.randrange(0, 1500) * SECOND


def reports(one: Place, device: int, origin: int, chance: random.Random, *, blind: bool, mad: bool) -> list[Report]:
    """What a terminal has to report: a walk between a few places, some of it from a blind area, some of it nonsense."""
    menu = one.world.menu
    few = [menu[chance.randrange(len(menu))] for _ in range(chance.randrange(1, 5))]
    time, found = origin + chance.randrange(30) * SECOND, list[Report]()
    late = _stretches(chance) if blind else {}
    while len(found) < MOST_REPORTS:
        lon, lat = few[chance.randrange(len(few))]
        every, graded = chance.choice(_EVERY), chance.choice([(1, 3.0), (1, 3.0), (0, 0.0), (0, 30.0), (1, 45.0)])
        for _ in range(chance.choice([1, 2, 2, 3, 5])):
            again = bool(found) and chance.random() < 0.05  # two of one second
            time += 0 if again else every * SECOND
            if (time - origin) / SECOND > MOST_S:
                return found
            number = len(found)
            told = time + 3 * 86_400 * SECOND if mad and chance.random() < 0.05 else time
            status = graded[0] | (0 if mad and chance.random() < 0.03 else 2)
            body = terminal.location(told, float(lon), float(lat), graded[1], status=status, altitude=number)
            due = BEGIN_S + (time - origin) / SECOND + 0.2 + chance.random() * 1.5
            found.append(Report(number, told, due + late.get(number, 0.0), body, number in late))
    return found


def _stretches(chance: random.Random) -> dict[int, float]:
    """Reports that are kept back -> for how long, seconds."""
    found = {}
    for _ in range(chance.randrange(1, 4)):
        begin, wait = chance.randrange(MOST_REPORTS), chance.choice([20.0, 60.0, 150.0, 400.0])
        found |= dict.fromkeys(range(begin, begin + chance.randrange(1, 10)), wait)
    return found
