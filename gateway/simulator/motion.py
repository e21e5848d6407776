"""Where a machine is at a moment: a pure function of its itinerary and the time.

An itinerary is a closed round of legs (park, work, drive, ride on a trailer) that repeats for ever. Nothing is
remembered between two calls, so a simulator that stops and starts again finds every machine where it would have been,
and two simulators with one seed agree. Distances are metres on a plane tangent at the leg's start: exact enough for a
city. Positions are WGS-84 degrees; time is seconds since 1970 UTC.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias

from gateway.simulator.machines import TRAILER_KMH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from gateway.simulator.machines import Kind

METRES_PER_DEGREE = 111_195.0
MILEAGE_SINCE = 1_735_689_600.0
"""2025-01-01 UTC: odometers start here, or fifty years of rounds would show on them."""
_RAMP_S = 8.0  # from standing to travelling speed
_NOISE = ((67.0, 1.6), (313.0, 2.4), (11.0, 0.4))  # period in s and amplitude in m of each part of the GNSS error


Point: TypeAlias = tuple[float, float]


class Mode(Enum):
    """What a machine is doing, as its work grade tells it."""

    PARKED = "parked"
    WORKING = "working"
    DRIVING = "driving"
    TRAILER = "trailer"


@dataclass(frozen=True, slots=True)
class Leg:
    """One stretch of an itinerary, from ``start`` to ``end`` (degrees) in ``seconds``."""

    mode: Mode
    seconds: float
    start: Point
    end: Point
    reach_m: float = 0.0
    """How far a working machine strays from its place."""
    turns: int = 1

    def metres(self) -> float:
        east, north = offset(self.start, self.end)
        return math.hypot(east, north)


@dataclass(frozen=True, slots=True)
class Fix:
    """What a receiver on the machine says at one moment."""

    lon: float
    lat: float
    altitude_m: int
    speed_kmh: float
    course_deg: int
    mileage_km: float
    satellites: int
    engine_on: bool
    mode: Mode


def offset(a: Point, b: Point) -> tuple[float, float]:
    """Metres east and north from a to b."""
    scale = math.cos(math.radians(a[1]))
    return (b[0] - a[0]) * METRES_PER_DEGREE * scale, (b[1] - a[1]) * METRES_PER_DEGREE


def moved(point: Point, east: float, north: float) -> Point:
    """The point so many metres east and north of this one."""
    scale = math.cos(math.radians(point[1]))
    return point[0] + east / (METRES_PER_DEGREE * scale), point[1] + north / METRES_PER_DEGREE


@dataclass(frozen=True, slots=True)
class Itinerary:
    """A round of legs; ``phase_s`` says how far into it the machine was at time 0, ``seed`` shapes its GNSS error."""

    legs: tuple[Leg, ...]
    phase_s: float
    seed: int
    _ends: list[float] = field(init=False, repr=False, compare=False)
    _metres: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for leg, following in zip(self.legs, (*self.legs[1:], self.legs[0]), strict=True):
            if leg.end != following.start:
                raise ValueError(f"a round must be closed: {leg} is followed by {following}")
        object.__setattr__(self, "_ends", list(accumulate(leg.seconds for leg in self.legs)))
        object.__setattr__(self, "_metres", list(accumulate((_travelled(leg) for leg in self.legs), initial=0.0)))

    @property
    def period_s(self) -> float:
        return self._ends[-1]

    def at(self, time: float) -> Fix:
        rounds, elapsed = divmod(time + self.phase_s, self.period_s)
        index = min(bisect.bisect_right(self._ends, elapsed), len(self.legs) - 1)
        leg = self.legs[index]
        into = elapsed - (self._ends[index] - leg.seconds)
        east, north, speed_east, speed_north, share = _progress(leg, into)
        speed = math.hypot(speed_east, speed_north)
        course = math.degrees(math.atan2(speed_east, speed_north)) % 360 if speed > 0.1 else self.seed * 47 % 360
        rounds -= MILEAGE_SINCE // self.period_s
        metres = max(0.0, rounds) * self._metres[-1] + self._metres[index] + share * _travelled(leg)
        error_east, error_north = noise(self.seed, time)
        lon, lat = moved(leg.start, east + error_east, north + error_north)
        return Fix(
            lon=lon,
            lat=lat,
            altitude_m=30 + self.seed % 9,
            speed_kmh=speed * 3.6,
            course_deg=int(course),
            mileage_km=metres / 1000,
            satellites=10 + int(4 * math.sin(time / 900 + self.seed)),
            engine_on=leg.mode in {Mode.WORKING, Mode.DRIVING},
            mode=leg.mode,
        )


def noise(seed: int, time: float) -> tuple[float, float]:
    """The GNSS error in metres east and north: slow, correlated, never above ~4.5 m each way."""
    east = north = 0.0
    for place, (period, amplitude) in enumerate(_NOISE):
        angle = math.tau * time / period
        east += amplitude * math.sin(angle + seed * 1.7 + place)
        north += amplitude * math.sin(angle * 1.13 + seed * 2.3 + place)
    return east, north


def _progress(leg: Leg, into: float) -> tuple[float, float, float, float, float]:
    """Metres east and north of the leg's start, both speeds in m/s, and the share of its way that is done."""
    if leg.mode is Mode.PARKED:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    if leg.mode is Mode.WORKING:
        wide, narrow = math.tau * leg.turns / leg.seconds, math.tau * (leg.turns + 1) / leg.seconds
        reach = leg.reach_m
        return (
            reach * math.sin(wide * into),
            reach * math.sin(narrow * into),
            reach * wide * math.cos(wide * into),
            reach * narrow * math.cos(narrow * into),
            into / leg.seconds,
        )
    ramp = min(_RAMP_S, leg.seconds / 3)
    top = 1 / (leg.seconds - ramp)  # shares of the way per second, once rolling
    left = leg.seconds - into
    if into < ramp:
        share, rate = top * into * into / (2 * ramp), top * into / ramp
    elif left < ramp:
        share, rate = 1 - top * left * left / (2 * ramp), top * left / ramp
    else:
        share, rate = top * (into - ramp / 2), top
    east, north = offset(leg.start, leg.end)
    return east * share, north * share, east * rate, north * rate, share


def _travelled(leg: Leg) -> float:
    """Metres on the odometer; a machine on a trailer is carried, a working one shuttles."""
    if leg.mode is Mode.DRIVING:
        return leg.metres()
    return leg.reach_m * leg.turns * 4 if leg.mode is Mode.WORKING else 0.0


def park(place: Point, seconds: float) -> list[Leg]:
    return [Leg(Mode.PARKED, seconds, place, place)]


def work(kind: Kind, place: Point, seconds: float, reach_m: float) -> list[Leg]:
    """Works about ``place``, never faster than its kind does."""
    fastest = kind.work_kmh / 3.6 * 0.9
    turns = max(1, int(fastest * seconds / (math.tau * reach_m * 1.5)))
    reach = min(reach_m, fastest * seconds / (math.tau * math.hypot(turns, turns + 1)))
    return [Leg(Mode.WORKING, seconds, place, place, reach, turns)]


def drive(kind: Kind, stops: Sequence[Point], rng: Random) -> list[Leg]:
    """From stop to stop: under its own power if its kind goes on roads, otherwise on a trailer."""
    mode = Mode.DRIVING if kind.road_kmh else Mode.TRAILER
    fastest = (kind.road_kmh or TRAILER_KMH) / 3.6
    legs = []
    for start, end in pairwise(stops):
        metres = math.hypot(*offset(start, end))
        rolling = max(metres / (fastest * rng.uniform(0.75, 0.97)), 1.0)
        legs.append(Leg(mode, rolling + min(_RAMP_S, rolling / 2), start, end))
    return legs
