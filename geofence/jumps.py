"""Jumps: fixes that lie too far from the one before to have been reached. They confirm nothing, and page nobody.

A fix is held against the terminal's fix before it, whether that one was a jump or not: after a wild fix the next one,
back at the old place, is a jump too, and the one after it is not. So a jump is a function of two neighbours in device
time. It may be the first of the two fixes that an entry or an exit takes, never the second: a terminal that really was
moved is believed as soon as its next fix agrees, and one that shows two places in turn is never believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = -(2**63)
"""Earlier than any device time, us."""
FASTEST_M_S = 60.0  # 216 km/h: nothing that carries a machine by road is as fast
SLACK_M = 200.0  # receivers stray by this much among tall buildings, within any time
_FASTEST_REPORTED = 2500  # 0.1 km/h, as the terminal reports it itself
_METRES_PER_DEGREE = 111_320.0
_SECOND = 1_000_000


def jumps(
    elapsed: NDArray[np.int64],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    before_lon: NDArray[np.float64],
    before_lat: NDArray[np.float64],
    speed: NDArray[np.uint16],
) -> NDArray[np.bool_]:
    """Which fixes jump. elapsed: us since the fix before, which lay at before_lon, before_lat (degrees WGS-84)."""
    reach = SLACK_M + elapsed * (FASTEST_M_S / _SECOND)
    north, east = lat - before_lat, lon - before_lon
    far = np.maximum(np.abs(north), np.abs(east)) * _METRES_PER_DEGREE > reach / 1.5  # either leg is long enough
    found: NDArray[np.bool_] = speed > _FASTEST_REPORTED
    doubtful = np.flatnonzero(far)
    if len(doubtful):
        across = east[doubtful] * np.cos(np.radians(lat[doubtful]))
        found[doubtful] |= np.hypot(across, north[doubtful]) * _METRES_PER_DEGREE > reach[doubtful]
    return found


def follow(
    begins: NDArray[np.bool_],
    time: NDArray[np.int64],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    speed: NDArray[np.uint16],
    last: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(which rows jump, how long after the fix before each is, us; 0 where there is none).

    Rows ascend in time, terminal by terminal; last: time, lon, lat of each terminal's last fix, in the order of
    ``begins``; a time of NEVER where none is known.
    """
    before_time, before_lon, before_lat = (
        shifted(values, begins, first) for values, first in zip((time, lon, lat), last, strict=True)
    )
    unknown = before_time == NEVER
    elapsed = np.where(unknown, 0, time - np.where(unknown, 0, before_time))
    before_lon, before_lat = np.where(unknown, lon, before_lon), np.where(unknown, lat, before_lat)
    return jumps(elapsed, lon, lat, before_lon, before_lat, speed), elapsed


def shifted(values: NDArray[Any], begins: NDArray[np.bool_], first: NDArray[Any]) -> NDArray[Any]:
    """Each row's value before it; where a terminal's rows begin, what ``first`` says, in the order of ``begins``."""
    before = np.empty_like(values)
    before[1:] = values[:-1]
    before[begins] = first
    return before
