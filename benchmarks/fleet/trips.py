"""What machines do at a border, and where they truly are meanwhile: through, in to work, along it, parked near it.

A machine keeps to one stretch of one border and rests outside between its trips. Nothing here knows what will be scored:
truth follows from the legs (paths.py), also where a straight way to the next trip cuts a corner nobody planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from benchmarks.fleet.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.fleet.world import Area

    Point = tuple[float, float]

STAGES, _STAGE_SHARES = ("1", "2", "4"), (0.4, 0.4, 0.2)
_AREA_SHARES = (0.25, 0.35, 0.3, 0.1)
_TRIPS = {"through": 0.30, "work": 0.25, "trailer through": 0.10, "trailer in": 0.08, "along": 0.10,
          "park outside": 0.10, "park between": 0.07}  # fmt: skip
_TANGENT_M = 40.0  # borders are jagged below this; "across" means across the border at this scale
_REST_S = (120.0, 2_400.0)  # shorter and longer than the time within which a re-entry is the same visit
_WORK_LEG_S = 60.0
_WORK_REACH_M = 12.0


class Border:
    """The line of an area, by the metre, with the inside on the left."""

    def __init__(self, area: Area, rng: np.random.Generator) -> None:
        rings = [area.shape.exterior, *area.shape.interiors]
        hole = len(rings) > 1 and rng.random() < 0.2
        self._ring = rings[rng.integers(1, len(rings))] if hole else rings[0]
        self.length = self._ring.length

    def place(self, along_m: float, inside_m: float) -> Point:
        """A point that far along the border and that far inside it (outside where negative)."""
        ahead, behind, here = (
            self._ring.interpolate((along_m + step) % self.length) for step in (_TANGENT_M, -_TANGENT_M, 0.0)
        )
        east, north = ahead.x - behind.x, ahead.y - behind.y
        size = float(np.hypot(east, north)) or 1.0
        return here.x - inside_m * north / size, here.y + inside_m * east / size


class _Machine:
    """One machine's legs as they come to be."""

    def __init__(self, number: int, place: Point) -> None:
        self.number = number
        self.time = 0.0
        self.place = place
        self.legs: list[tuple[float, ...]] = []

    def go(self, to: Point, kmh: float, *, engine: bool = True) -> None:
        metres = float(np.hypot(to[0] - self.place[0], to[1] - self.place[1]))
        self._leg(to, max(metres / kmh * 3.6, 1.0), engine)

    def stand(self, seconds: float) -> None:
        self._leg(self.place, seconds, engine=False)

    def work(self, seconds: float, rng: np.random.Generator) -> None:
        """Moves about within a few metres, and is back where it began."""
        middle = self.place
        for east, north in rng.uniform(-_WORK_REACH_M, _WORK_REACH_M, (int(seconds / _WORK_LEG_S), 2)).tolist():
            self._leg((middle[0] + east, middle[1] + north), _WORK_LEG_S, engine=True)
        self._leg(middle, _WORK_LEG_S, engine=True)

    def _leg(self, to: Point, seconds: float, engine: bool) -> None:
        end = self.time + seconds
        self.legs.append((self.number, self.time, end, *self.place, *to, engine))
        self.time, self.place = end, to


def days(rng: np.random.Generator, areas: Sequence[Area], machines: int, seconds: float) -> tuple[Paths, list[str]]:
    """(paths of machines 0 to n-1 over so many seconds, their emission stages)."""
    stages = rng.choice(STAGES, machines, p=_STAGE_SHARES).tolist()
    legs: list[tuple[float, ...]] = []
    for number in range(machines):
        border = Border(areas[rng.choice(len(areas), p=_AREA_SHARES)], rng)
        along = rng.uniform(0, border.length)
        machine = _Machine(number, border.place(along, -rng.uniform(60, 300)))
        machine.stand(rng.uniform(0, _REST_S[1]))
        while machine.time < seconds:
            along += rng.uniform(-500, 500)
            along = _trip(rng, machine, border, along)
            machine.stand(rng.uniform(*_REST_S))
        legs += machine.legs
    columns = np.array(legs, np.float64).T
    begin, end, x0, y0, x1, y1 = columns[1:7]
    return Paths(columns[0].astype(np.int64), begin, end, x0, y0, x1, y1, columns[7].astype(bool)), stages


def _trip(rng: np.random.Generator, machine: _Machine, border: Border, along: float) -> float:
    """One trip; returns how far along the border it ended."""
    kind = rng.choice(list(_TRIPS), p=list(_TRIPS.values()))
    trailer = kind.startswith("trailer")
    kmh, engine = (rng.uniform(40, 60), False) if trailer else (rng.uniform(5, 25), True)
    further = along + float(rng.choice((-1, 1)) * rng.uniform(300, 1_500))

    def go(to: Point) -> None:
        machine.go(to, kmh, engine=engine)

    go(border.place(along, -rng.uniform(60, 300)))
    if kind in {"through", "trailer through"}:
        depth = rng.uniform(0, 400)
        go(border.place(along, depth))
        go(border.place(further, depth))
        go(border.place(further, -rng.uniform(60, 300)))
        return further
    if kind == "along":
        beside = rng.uniform(10, 60)
        for step in np.linspace(along, further, 30).tolist():
            go(border.place(step, -beside))
        return further
    if kind in {"work", "trailer in"}:
        go(border.place(along, rng.uniform(40, 400)))
        machine.work(rng.uniform(1_200, 5_400), rng)
    elif kind == "park outside":
        go(border.place(along, -rng.uniform(10, 60)))
        machine.stand(rng.uniform(600, 3_600))
    else:
        go(border.place(along, rng.uniform(2, 28)))
        machine.stand(rng.uniform(600, 2_400))
    go(border.place(along, -rng.uniform(60, 300)))
    return along


def parking(rng: np.random.Generator, area: Area, outside_m: float, count: int) -> list[Point]:
    """Places exactly so far outside the line (inside where negative), anywhere along it."""
    line = area.offset(outside_m)
    points = shapely.line_interpolate_point(line, rng.uniform(0, line.length, count))
    return list(zip(shapely.get_x(points).tolist(), shapely.get_y(points).tolist(), strict=True))
