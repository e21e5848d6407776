"""What each demonstration machine does all day, as itineraries (gateway.simulator.motion) about the made-up zones.

Entries that raise an alarm come as a timetable: the `crossing` roles share one period, and their rounds are shifted so
that one of them enters its zone every ENTRY_EVERY_S seconds of wall-clock time. Whenever the demonstration is started,
the next alarm is never farther away than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias

from gateway.demo.districts import SEED, District, branches, distance_km, townships
from gateway.demo.zones import edge_km, lenient_towns, radius_km
from gateway.simulator.motion import Itinerary, Leg, drive, moved, park, work

if TYPE_CHECKING:
    from gateway.simulator.machines import Kind
    from gateway.simulator.motion import Point

Stage: TypeAlias = Literal["pre", "1", "2", "3", "4", "x", "electric", "unknown"]

ENTRY_EVERY_S = 40.0
_CLEAR_KM = 0.6
"""How far outside every zone a machine starts that is meant to be outside."""

_INNER = 0.55
_YARD, _YARD_KM = 1.3, 0.3
"""A crossing machine turns at _INNER radii and rests at _YARD radii and some: in and out whatever the ring's wiggle."""


@dataclass(frozen=True, slots=True)
class Role:
    """A part in the demonstration, how many play it, and who may."""

    name: str
    count: int
    stages: tuple[Stage, ...]
    road_kmh: float = 0
    """Only kinds that travel under their own power at least this fast (0: any, on a trailer if need be)."""
    every_kind: bool = False


_BANNED: tuple[Stage, ...] = ("2", "2", "2", "2", "1", "1", "pre", "x")
_ALLOWED: tuple[Stage, ...] = ("3", "3", "3", "4", "4", "electric")
_ANY: tuple[Stage, ...] = ("pre", "1", "2", "2", "2", "3", "3", "3", "3", "4", "4", "x", "electric", "unknown")

ROLES = (
    Role("crossing", 36, _BANNED, road_kmh=18),
    Role("crossing_trailer", 3, ("1", "2")),
    Role("crossing_town", 6, ("pre", "1", "x"), road_kmh=18),
    Role("crossing_allowed", 20, _ALLOWED, road_kmh=18),
    Role("parked_inside", 6, _BANNED),
    Role("parked_allowed", 10, _ALLOWED),
    Role("working_inside", 43, _ALLOWED),
    Role("working_unknown", 3, ("unknown",)),
    Role("working_town", 25, ("2", "3", "3", "4")),
    Role("in_hole", 3, ("2",)),
    Role("moving", 34, _ANY),
    Role("working_outside", 81, _ANY, every_kind=True),
    Role("parked_outside", 30, _ANY),
)
_TIMETABLE = [(role.name, turn) for role in ROLES if role.name.startswith("crossing") for turn in range(role.count)
              if role.name != "crossing_allowed"]  # fmt: skip
PERIOD_S = ENTRY_EVERY_S * len(_TIMETABLE)


@dataclass(frozen=True, slots=True)
class Scene:
    district: str
    itinerary: Itinerary


def _at(district: District, shares: float, bearing: float, plus_km: float = 0.0) -> Point:
    """A point so many radii (and kilometres) from a zone's seat."""
    metres = 1000 * (radius_km(district) * shares + plus_km)
    return moved(district.seat, metres * math.sin(bearing), metres * math.cos(bearing))


def _outside(rng: Random) -> Point:
    """A place in the county lands, clear of every zone."""
    while True:
        district = rng.choice((*branches(), *townships()))
        point = moved(district.seat, rng.uniform(-7000, 7000), rng.uniform(-7000, 7000))
        if all(
            distance_km(point, zone.seat) > 1.45 * radius_km(zone) + _CLEAR_KM for zone in (*branches(), *townships())
        ):
            return point


def _branch_of(point: Point) -> str:
    """The branch that a machine is registered with: the nearest."""
    return min(branches(), key=lambda branch: distance_km(point, branch.seat)).code


@cache
def _with_holes() -> tuple[District, ...]:
    return tuple(branch for number, branch in enumerate(branches(), start=1) if number % 3 == 0)


def place(role: Role, turn: int, kind: Kind, index: int) -> Scene:
    """The scene of the ``turn``-th machine of a role; ``index`` is its number in the whole fleet."""
    rng = Random(f"{SEED} scene {index}")
    if role.name.startswith("crossing"):
        home = _crossed(role, turn, rng)
        return Scene(
            home.code if home.level == "branch" else str(home.parent), _crossing(role, turn, kind, home, rng, index)
        )
    phase = rng.uniform(0, 10_000)
    if role.name == "moving":
        stops = [_outside(rng) for _ in range(3)]
        return Scene(_branch_of(stops[0]), Itinerary(tuple(_round_trip(kind, stops, rng)), phase, index))
    if role.name == "in_hole":
        home = _with_holes()[turn % len(_with_holes())]
        metres = radius_km(home) * 450
        point = moved(home.seat, -metres * math.cos(math.radians(home.seat[1])), metres)
    elif role.name.endswith("outside"):
        point = _outside(rng)
    elif role.name == "working_town":
        home = rng.choice(lenient_towns())
        point = _at(home, rng.uniform(0.1, 0.5), rng.random() * math.tau)
    else:
        home = branches()[turn % len(branches())]
        # South-east of the seat, away from the hole that some zones have in the north-west.
        point = _at(home, rng.uniform(0.1, 0.6), rng.uniform(0.25, 1.0) * math.pi)
    if role.name.startswith("parked"):
        legs = park(point, 3600)
    else:
        legs = [*work(kind, point, rng.uniform(300, 900), rng.uniform(15, 60)), *park(point, rng.uniform(60, 400))]
    return Scene(_branch_of(point), Itinerary(tuple(legs), phase, index))


def _round_trip(kind: Kind, stops: list[Point], rng: Random) -> list[Leg]:
    legs: list[Leg] = []
    for start, end in zip(stops, [*stops[1:], stops[0]], strict=True):
        legs += [*work(kind, start, rng.uniform(200, 500), 30.0), *park(start, rng.uniform(60, 300))]
        legs += drive(kind, [start, end], rng)
    return legs


def _crossed(role: Role, turn: int, rng: Random) -> District:
    return (
        townships()[rng.randrange(len(townships()))]
        if role.name == "crossing_town"
        else branches()[turn % len(branches())]
    )


def _crossing(role: Role, turn: int, kind: Kind, home: District, rng: Random, index: int) -> Itinerary:
    """In from outside, then through, or a while of work or standing still, and out again; the rest of the round outside."""
    bearing = rng.uniform(0.25, 1.0) * math.pi
    yard = _at(home, _YARD, bearing, plus_km=_YARD_KM)
    inner = _at(home, _INNER, bearing)
    stay: list[Leg] = []
    manner = ("through", "works", "stands")[turn % 3]
    far = inner if manner != "through" else _at(home, _INNER, bearing + rng.uniform(0.4, 0.8))
    if manner == "works":
        stay = work(kind, inner, rng.uniform(120, 240), 25.0)
    elif manner == "stands":
        stay = park(inner, rng.uniform(150, 300))
    way_in = drive(kind, [yard, inner], rng)
    back = drive(kind, [inner, far, yard] if far != inner else [inner, yard], rng)
    away = [*way_in, *stay, *back]
    rest = PERIOD_S - sum(leg.seconds for leg in away)
    if rest < 0:
        raise ValueError(f"{kind.code} needs {-rest:.0f} s more than the timetable's period")
    legs = [*away, *park(yard, rest)]
    if (role.name, turn) not in _TIMETABLE:
        return Itinerary(tuple(legs), rng.uniform(0, PERIOD_S), index)
    yard_km = _YARD * radius_km(home) + _YARD_KM
    enters = way_in[0].seconds * (yard_km - edge_km(home, bearing)) / (yard_km - _INNER * radius_km(home))
    slot = _shuffled_slot(role.name, turn) * ENTRY_EVERY_S + rng.uniform(-8, 8)
    return Itinerary(tuple(legs), enters - slot, index)


def _shuffled_slot(role: str, turn: int) -> int:
    """Neighbours in the timetable are far apart on the map."""
    return _TIMETABLE.index((role, turn)) * 7 % len(_TIMETABLE)
