"""The part of the fleet that stands still for days, beside the line or inside it: what noise alone does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.fleet.encoding import BATCH_ROWS, SECOND, START
from benchmarks.fleet.noise import Errors, Excursions, receivers
from benchmarks.fleet.system import System
from benchmarks.fleet.trips import parking
from benchmarks.fleet.world import areas, degrees, published
from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from protocols.jt808.location import FIXED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.fleet.book import Alarm

INTERVAL_S = 30
_STAGE = "2"  # banned by the core, the township and the strip, not by the general zone around the core
_BLOCK = 120  # reports of each machine made at once
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Parked:
    """Equal-length columns by machine. zone: whose line it stands beside; outside_m: inside where negative; sigma_m: of
    its receiver; alarms: how many it raised; first_s: seconds until the first, NaN where none.
    """

    days: float
    zone: NDArray[np.int64]
    outside_m: NDArray[np.float64]
    sigma_m: NDArray[np.float64]
    alarms: NDArray[np.int64]
    first_s: NDArray[np.float64]

    def per_1000_days(self, chosen: NDArray[np.bool_]) -> tuple[int, float, float]:
        """(alarms, machine-days, alarms per 1,000 machine-days) of the chosen machines."""
        count, machine_days = int(self.alarms[chosen].sum()), float(chosen.sum()) * self.days
        return count, machine_days, 1_000 * count / machine_days


def run(
    seed: int,
    zones: Sequence[int],
    outside_m: Sequence[float],
    each: int,
    days: float,
    guard_m: float = 30.0,
    excursions: Excursions | None = None,
) -> Parked:
    """``each`` machines at every distance, in turn at each of the zones (by id); the same seed has the same noise and
    places whatever the guard is.
    """
    rng = np.random.default_rng(seed)
    beside = [area for area in areas(guard_m) if area.id in zones]
    count = each * len(outside_m)
    distance, zone = np.repeat(outside_m, each).astype(np.float64), np.resize([area.id for area in beside], count)
    place = np.empty((count, 2))
    for area in beside:
        for metres in outside_m:
            here = np.flatnonzero((zone == area.id) & (distance == metres))
            place[here] = parking(rng, area, metres, len(here))
    sigma, tau = receivers(rng, count)
    errors = Errors(rng, sigma, tau, INTERVAL_S, excursions or Excursions())
    system = System(published(areas(guard_m), guard_m), [_STAGE] * count)
    phase = np.sort(rng.integers(0, INTERVAL_S, count))
    slots = int(days * _DAY_S) // INTERVAL_S
    for first in range(0, slots, _BLOCK):
        steps = min(_BLOCK, slots - first)
        noise = errors.steps(steps)
        lon, lat = degrees(place[:, 0] + noise[:, 0], place[:, 1] + noise[:, 1])
        clock = START + phase + INTERVAL_S * np.arange(first, first + steps)[:, None]
        rows = _positions(np.tile(np.arange(1, count + 1), steps), clock.ravel() * SECOND, lon.ravel(), lat.ravel())
        for begin in range(0, len(rows), BATCH_ROWS):
            system.decide(rows.take(np.arange(begin, min(begin + BATCH_ROWS, len(rows)))))
    return _counted(days, zone, distance, sigma, system.alarms)


def _positions(
    device: NDArray[np.int64], time: NDArray[np.int64], lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> Positions:
    """Good fixes of machines at rest with the engine off, received a second later, as the decoder would give them."""
    columns = {name: np.zeros(len(time), dtype) for name, dtype in DTYPES.items()}
    columns |= {
        "device": device, "time": time, "received": time + SECOND, "fingerprint": time ^ device,
        "lon": np.round(lon, 6), "lat": np.round(lat, 6), "status": np.full(len(time), FIXED, np.uint32),
    }  # fmt: skip
    return Positions(**columns, extras=Ragged.empty(len(time)))


def _counted(
    days: float,
    zone: NDArray[np.int64],
    distance: NDArray[np.float64],
    sigma: NDArray[np.float64],
    alarms: Sequence[Alarm],
) -> Parked:
    raised = Counter(alarm.machine - 1 for alarm in alarms)
    first = np.full(len(zone), np.nan)
    for alarm in alarms:
        machine = alarm.machine - 1
        first[machine] = np.fmin(first[machine], alarm.entered / SECOND - START)
    return Parked(days, zone, distance, sigma, np.array([raised[i] for i in range(len(zone))], np.int64), first)
