"""Grades: what a machine is doing, as far as one fix tells. A visit has the highest grade of the fixes inside it.

So transport means that every fix inside was at road speed with the engine off, and a grade can only rise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Grade(StrEnum):
    """From the lowest to the highest; the rank is the place in this list."""

    TRANSPORT = "transport"
    """Road speed with the engine off: on a trailer."""
    UNKNOWN = "unknown"
    PARKED = "parked"
    WORKING = "working"
    """The engine (ACC) is on, below a speed that no machine works at."""


GRADES = tuple(Grade)
TRANSPORT, UNKNOWN, PARKED, WORKING = range(len(GRADES))

_ACC_ON = 1  # JT/T 808 table 25, bit 0
_WORKING_BELOW = 400  # 0.1 km/h; the fastest wheeled machines travel at 40 km/h
_TRANSPORT_FROM = 200  # 0.1 km/h


def ranks(status: NDArray[np.uint32], speed: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The rank of each fix's grade; speed in 0.1 km/h."""
    on = (status & _ACC_ON) != 0
    rank = np.full(len(status), UNKNOWN, np.uint8)
    rank[on & (speed < _WORKING_BELOW)] = WORKING
    rank[~on & (speed == 0)] = PARKED
    rank[~on & (speed >= _TRANSPORT_FROM)] = TRANSPORT
    return rank
