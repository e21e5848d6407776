"""Bad rows: reports that the database refuses, and reports that make our own code raise. Each is to be parked, alone.

They are known by the number that a terminal gives its reports, which travels as their altitude.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from columns.reason import Reason
from gateway.worker import decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from columns.positions import Positions
    from tests.simulation.weather import Weather

REFUSED, POISON = 7, 11
PARKED = {Reason.REFUSED: "refused", Reason.FAILED: "failed"}


def refused(rows: Positions) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = rows.altitude == REFUSED
    return found


def is_bad(number: int, weather: Weather) -> bool:
    return (number == REFUSED and weather.has("refused_rows")) or (number == POISON and weather.has("poison"))


@contextmanager
def poisoned(weather: Weather) -> Iterator[None]:
    """Deciding raises where one of these is among the rows."""
    judge = decision.judge

    def judged(memory: Any, rules: Any, positions: Positions) -> Any:
        if (positions.altitude == POISON).any():
            raise ZeroDivisionError("a fault of ours")
        return judge(memory, rules, positions)

    if not weather.has("poison"):
        yield
        return
    with mock.patch.object(decision, "judge", judged):
        yield
