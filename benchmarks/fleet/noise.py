"""The error of a GNSS receiver: what makes a parked machine wander.

    error = first-order Gauss-Markov (sigma, time constant) + white + excursions, per axis, metres

- Correlated, not white: a stationary L1 receiver's errors are described by an Ornstein-Uhlenbeck process, which sampled
  is this one, and not by white noise (Soundy et al., Sensors 2020, 20(21), 6050). White noise alone would flatter a rule
  that asks for two fixes: it forgets the first error by the second.
- Sigma 2 to 8 m per axis: the GPS SPS Performance Standard (5th edition, 2020, clause 3.8) promises 95 % of horizontal
  errors within 8 m as a world average and 15 m at the worst site, by the signal alone; that is 3.3 m and 6.1 m per axis.
  8 m leaves room for the receiver and an antenna under a roof.
- Time constant 1 to 10 minutes: the autocorrelation of a stationary hand-held receiver bends at about one minute and has
  a slower part of tens of minutes (D. L. Wilson, GPS horizontal position accuracy, 20-day test of a Garmin 12XL).
- Excursions: reflections and blocked satellites beside buildings, booms and other machines. A C/A code error is at most
  12 m with a narrow correlator (Eissfeller et al. 2007), and far more where only the reflection is received. Their rate,
  size and length here are our assumption, not a measurement: docs/detection.md shows how the result depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIGMA_M = (2.0, 8.0)
TAU_S = (60.0, 600.0)
_WHITE_M = 0.5
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Excursions:
    """How often (per day), how far (scale of a Rayleigh distribution, m; its mean is 1.25 times that) and how long
    (mean of an exponential one, s) a receiver is off by one constant vector.
    """

    per_day: float = 2.0
    scale_m: float = 10.0
    mean_s: float = 120.0


class Errors:
    """The errors of many receivers, step by step; every call goes on where the last one ended."""

    def __init__(
        self, rng: np.random.Generator, sigma_m: Floats, tau_s: Floats, step_s: float, excursions: Excursions
    ) -> None:
        self._rng = rng
        self._sigma = sigma_m
        self._keep = np.exp(-step_s / tau_s)
        self._push = sigma_m * np.sqrt(1 - self._keep**2)
        self._excursions = excursions
        self._begins = excursions.per_day * step_s / _DAY_S
        self._ends = -np.expm1(-step_s / excursions.mean_s)
        self._error = rng.normal(0, 1, (2, len(sigma_m))) * sigma_m
        self._away = np.zeros((2, len(sigma_m)))

    def steps(self, count: int) -> Floats:
        """float64[count, 2, receivers]: metres east and north."""
        rng, receivers = self._rng, len(self._sigma)
        out = rng.normal(0, _WHITE_M, (count, 2, receivers))
        for step in range(count):
            self._error *= self._keep
            self._error += self._push * rng.standard_normal((2, receivers))
            chance = rng.random(receivers)
            off = self._away.any(axis=0)
            self._away[:, off & (chance < self._ends)] = 0.0
            starts = ~off & (chance < self._begins)
            # A vector with two normal components has a Rayleigh length and no preferred direction.
            self._away[:, starts] = rng.normal(0, self._excursions.scale_m, (2, int(starts.sum())))
            out[step] += self._error + self._away
        return out


def receivers(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """(sigma in m, time constant in s) of a mixed fleet: uniform, and uniform in the logarithm."""
    return rng.uniform(*SIGMA_M, count), np.exp(rng.uniform(np.log(TAU_S[0]), np.log(TAU_S[1]), count))
