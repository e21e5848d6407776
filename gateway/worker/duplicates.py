"""Duplicates: which reports of a batch are already stored, found before anything is decided from them.

A report is (device, time, fingerprint). A report later than every stored one of its device is new. One of the device's
newest second is new if it is not among the keys remembered since that second began. Everything else is a suspect: the
caller asks the database, which has the last word. So the answer is exact, and in ordinary traffic nothing is asked.

Bound: two generations of GENERATION keys and what one commit adds, 8 bytes each: about 3 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.positions import Positions

GENERATION = 150_000
_NEVER = np.iinfo(np.int64).min
_C1, _C2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_S32 = np.uint64(32)


@dataclass(frozen=True, slots=True, eq=False)
class Sifted:
    """Rows (indices into the batch) by what is known of them; repeats within the batch are in none of the two."""

    fresh: NDArray[np.intp]
    suspects: NDArray[np.intp]


class Keys:
    """A set of uint64, some added at a time: sorted arrays, each more than twice as long as the next one."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, keys: NDArray[np.uint64]) -> None:
        run = np.sort(keys)
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # of two sorted runs: one merge
        self._runs.append(run)

    def contains(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Of every key: is it in the set?"""
        order = np.argsort(keys)  # in order, neighbours look at the same memory
        ordered, found = keys[order], np.zeros(len(keys), bool)
        for run in self._runs:
            found |= run[np.minimum(np.searchsorted(run, ordered), len(run) - 1)] == ordered
        result = np.empty_like(found)
        result[order] = found
        return result


class Recent:
    """What a partition remembers of the newest second of each device."""

    def __init__(self) -> None:
        self._devices = np.empty(0, np.int64)  # sorted
        self._newest = np.empty(0, np.int64)
        self._since = np.empty(0, np.int64)  # generation in which the newest second began
        self._generation = 0
        self._current, self._previous = Keys(), Keys()

    def sift(self, positions: Positions) -> Sifted:
        """Looks, and remembers nothing: the batch may yet be rolled back."""
        first = _first_of_each(positions)
        devices, times = positions.device[first], positions.time[first]
        at, known = self._find(devices)
        newest = np.full(len(first), _NEVER)
        since = np.full(len(first), -2)
        newest[known], since[known] = self._newest[at[known]], self._since[at[known]]
        suspect = (times <= newest) | ((positions.quality[first] & Quality.FUTURE) != 0)
        covered = np.flatnonzero(suspect & (times == newest) & (since >= self._generation - 1))
        if len(covered):
            rows = first[covered]
            keys = _keys(positions.device[rows], positions.time[rows], positions.fingerprint[rows])
            suspect[covered] = self._current.contains(keys) | self._previous.contains(keys)
        return Sifted(first[~suspect], first[suspect])

    def remember(self, positions: Positions) -> None:
        """Takes in rows that are committed now. A time in the future is no one's newest: all later ones would be suspects."""
        timely = np.flatnonzero((positions.quality & Quality.FUTURE) == 0)
        if len(timely) < len(positions):
            positions = positions.take(timely)
        if not len(positions):
            return
        if len(self._current) > GENERATION:
            self._previous, self._current = self._current, Keys()
            self._generation += 1
        self._current.add(_keys(positions.device, positions.time, positions.fingerprint))
        order = np.lexsort((positions.time, positions.device))
        devices, times = positions.device[order], positions.time[order]
        last = np.flatnonzero(np.append(devices[1:] != devices[:-1], True))
        devices, times = devices[last], times[last]
        at, known = self._find(devices)
        later = known.copy()
        later[known] = times[known] > self._newest[at[known]]
        self._newest[at[later]] = times[later]
        self._since[at[later]] = self._generation
        new = ~known
        if new.any():
            merged = np.concatenate([self._devices, devices[new]])
            order = np.argsort(merged)
            self._devices = merged[order]
            self._newest = np.concatenate([self._newest, times[new]])[order]
            self._since = np.concatenate([self._since, np.full(int(new.sum()), self._generation)])[order]

    def newest(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(devices, their newest stored times): what a snapshot keeps."""
        return self._devices, self._newest

    def restore(self, devices: NDArray[np.int64], newest: NDArray[np.int64]) -> None:
        """After a restart the keys are gone: equal seconds are suspects until their device moves on."""
        self._devices, self._newest = devices.copy(), newest.copy()
        self._since = np.full(len(devices), self._generation - 2)

    def _find(self, devices: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        at = np.searchsorted(self._devices, devices)
        known = at < len(self._devices)
        known[known] = self._devices[at[known]] == devices[known]
        return at, known


def _first_of_each(positions: Positions) -> NDArray[np.intp]:
    """Row numbers without repeats of an identity within the batch; the first one stays. Ascending."""
    n = len(positions)
    keys = _keys(positions.device, positions.time, positions.fingerprint)
    if len(np.unique(keys)) == n:
        return np.arange(n)
    order = np.lexsort((np.arange(n), positions.fingerprint, positions.time, positions.device))
    columns = (positions.device[order], positions.time[order], positions.fingerprint[order])
    repeat = np.zeros(n, bool)
    repeat[1:] = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    return np.sort(order[~repeat])


def _keys(devices: NDArray[np.int64], times: NDArray[np.int64], fingerprints: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64-bit keys: unequal keys are unequal identities; equal ones are only a suspicion."""
    mixed = devices.view(np.uint64) * _C1 + times.view(np.uint64) * _C2
    mixed ^= mixed >> _S32
    return (mixed + fingerprints.view(np.uint64)) * _C1
