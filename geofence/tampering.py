"""Tampering: reports in or near a zone that say the terminal is cut off or carried away. Pure, whole columns at a time.

The bits are the alarm flags of JT/T 808 (table 24). A cut aerial leaves a terminal without a fix, so a report that has
none counts at the terminal's last good place; reports whose identity or time is in doubt count nowhere.

An episode is one terminal and one kind. It begins with a report that has a bit of the kind in or near (in the halo of) a
zone that is in force, while the terminal sits on a machine. It goes on wherever the terminal is taken, and ends where the
bits are gone from CLEAR_REPORTS reports in succession, or from all of CLEAR_US: at the first of them. Only reports later
than the last one with the bits count for that, so late data ends nothing that goes on. Unlike a visit an episode is a
matter of arrival: what comes late begins one, and corrects none.

A terminal that has its bits in every report costs no Python per report.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Quality
from geofence.jumps import NEVER
from geofence.lookup.zonesets import NOWHERE
from geofence.presence import is_late

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.ruleset import Ruleset
    from geofence.state import State
    from geofence.zones import Zone

KINDS = {
    "power_cut": (8,),
    "antenna_cut": (4, 5, 6),
    "displacement": (28,),
}
"""Alarm bits of each kind: main power lost; GNSS module faulty, aerial open, aerial short; moved while it should not be."""
NAMES = tuple(KINDS)
CLEAR_REPORTS = 3
CLEAR_US = 5 * 60 * 1_000_000

_MASKS = np.array([sum(1 << bit for bit in bits) for bits in KINDS.values()], np.uint32)
_ANY = np.uint32(int(np.bitwise_or.reduce(_MASKS)))
_WEIGHTS = np.array([1 << k for k in range(len(KINDS))], np.uint8)
_DOUBTED = np.uint16(Quality.BAD_TIME | Quality.FUTURE | Quality.DISPUTED)


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode that goes on. seen: the last report with the bits; times are us UTC.

    clear_since, clears: reports without the bits after that, the first one's time and how many; None, 0: none.
    """

    seen: int
    clear_since: int | None = None
    clears: int = 0


@dataclass(frozen=True, slots=True)
class Began:
    """An episode began with a report of ``device`` at device time ``at`` (us UTC), received at ``received``.

    bits: those of the kind that it had; lon, lat: its place, or the last good one before it where ``fixed`` is False;
    machine: id; district: the machine's own; verdict: the machine's in this zone.
    """

    kind: str
    device: int
    machine: int
    machine_district: str | None
    zone: Zone
    inside: bool
    verdict: str
    at: int
    received: int
    late: bool
    lon: float
    lat: float
    fixed: bool
    bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """An episode ended: ``at`` is the device time of the first report without its bits."""

    kind: str
    device: int
    at: int


class Watch:
    """The episodes that go on in a partition. It never changes; ``follow`` makes the next one.

    device: int64, ascending; kinds: uint8, those of its episodes by bits in the order of NAMES; clearing: whether one of
    them may be about to end; seen: int64, the last report with all these bits, us UTC, where it is later than Episode's.
    """

    def __init__(self, episodes: dict[tuple[int, str], Episode] | None = None) -> None:
        self.episodes = episodes or {}
        kinds: dict[int, int] = {}
        clearing: dict[int, bool] = {}
        for (device, kind), episode in self.episodes.items():
            kinds[device] = kinds.get(device, 0) | 1 << NAMES.index(kind)
            clearing[device] = clearing.get(device, False) or episode.clears > 0
        devices = sorted(kinds)
        # One place more, for terminals without any: searchsorted may point there.
        self.device = np.array([*devices, np.iinfo(np.int64).max], np.int64)
        self.kinds = np.array([*(kinds[device] for device in devices), 0], np.uint8)
        self.clearing = np.array([*(clearing[device] for device in devices), False])
        self.seen = np.full(len(self.device), NEVER, np.int64)

    def seen_again(self, place: NDArray[np.int64], time: NDArray[np.int64]) -> Watch:
        """With reports of the terminals at ``place`` that have all their bits; the rest is shared."""
        after = copy(self)
        after.seen = self.seen.copy()
        np.maximum.at(after.seen, place, time)
        return after

    def up_to_date(self) -> dict[tuple[int, str], Episode]:
        """The episodes, each with the last report that had its bits."""
        seen = dict(zip(self.device.tolist(), self.seen.tolist(), strict=True))
        return {
            key: replace(episode, seen=seen[key[0]]) if seen[key[0]] > episode.seen else episode
            for key, episode in self.episodes.items()
        }

    @classmethod
    def of(cls, found: Iterable[tuple[int, str, int]]) -> Watch:
        """From (device, kind, time of the last report that is known to have had the bits) of every open alarm."""
        return cls({(device, kind): Episode(seen) for device, kind, seen in found})


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """changes: in the order in which they happened, terminal by terminal; after: the watch once they are committed."""

    changes: tuple[Began | Ended, ...]
    after: Watch


def follow(watch: Watch, state: State, rules: Ruleset, positions: Positions) -> Followed:
    """What these rows, each once and in any order, say of tampering. state: as it was before them, with these rules."""
    heard = (positions.quality & _DOUBTED) == 0
    concerned = heard & ((positions.alarm & _ANY) != 0)
    if watch.episodes:
        concerned |= heard & (watch.device[np.searchsorted(watch.device, positions.device)] == positions.device)
    if not concerned.any():
        return Followed((), watch)
    rows = np.flatnonzero(heard & np.isin(positions.device, positions.device[concerned]))
    rows = rows[np.lexsort((positions.fingerprint[rows], positions.time[rows], positions.device[rows]))]
    return _Rows(watch, state, rules, positions, rows).follow()


class _Rows:
    """All rows of the terminals that may have something to say, by terminal and device time."""

    def __init__(
        self, watch: Watch, state: State, rules: Ruleset, positions: Positions, rows: NDArray[np.int64]
    ) -> None:
        self.watch, self.rules, self.positions, self.rows = watch, rules, positions, rows
        self.device, self.time = positions.device[rows], positions.time[rows]
        bits = positions.alarm[rows]
        self.kinds = ((bits[:, None] & _MASKS) != 0).astype(np.uint8) @ _WEIGHTS
        self.lon, self.lat, self.fixed = self._places(state)
        self.sets = rules.fence.locate(self.lon, self.lat)

    def _places(self, state: State) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Where each row is: its own place, else that of the last good row before it, else the state's."""
        fixed = self.positions.good[self.rows]
        begins = np.flatnonzero(np.append(True, self.device[1:] != self.device[:-1]))
        first = np.repeat(begins, np.diff(np.append(begins, len(self.rows))))
        source = np.maximum.accumulate(np.where(fixed, np.arange(len(self.rows)), -1))
        slots = state.slots_of(self.device)
        known = state.column("time", slots) != NEVER
        lon, lat = (
            np.where(
                source >= first, column[self.rows[np.maximum(source, 0)]],
                np.where(known, state.column(name, slots), np.nan),
            )
            for name, column in (("lon", self.positions.lon), ("lat", self.positions.lat))
        )  # fmt: skip
        return lon, lat, fixed

    def follow(self) -> Followed:
        place = np.searchsorted(self.watch.device, self.device)
        place[self.watch.device[place] != self.device] = len(self.watch.device) - 1
        open_ = self.watch.kinds[place]
        # A bit that has no episode is news only near a zone.
        counted = np.where(self.sets == NOWHERE, self.kinds & open_, self.kinds)
        restless = np.unique(self.device[(counted != open_) | self.watch.clearing[place]])
        steady = (open_ != 0) & ~np.isin(self.device, restless)
        watch = self.watch.seen_again(place[steady], self.time[steady]) if steady.any() else self.watch
        if not len(restless):
            return Followed((), watch)
        before = watch.up_to_date()
        episodes = dict(before)
        changes: list[Began | Ended] = []
        late = is_late(self.positions)
        for i in np.flatnonzero(np.isin(self.device, restless)).tolist():
            changes += self._step(i, episodes, late=bool(late[self.rows[i]]))
        return Followed(tuple(changes), watch if episodes == before else Watch(episodes))

    def _step(self, i: int, episodes: dict[tuple[int, str], Episode], *, late: bool) -> list[Began | Ended]:
        """One row of a terminal with news: begins, counts on, or ends its episodes."""
        changes: list[Began | Ended] = []
        device, time, kinds = int(self.device[i]), int(self.time[i]), int(self.kinds[i])
        for k, kind in enumerate(NAMES):
            has = bool(kinds >> k & 1)
            episode = episodes.get((device, kind))
            if episode is None:
                began = self._begin(i, kind, late=late) if has else None
                if began is not None:
                    episodes[device, kind] = Episode(time)
                    changes.append(began)
            elif has:
                if time >= episode.seen:
                    episodes[device, kind] = Episode(time)
            elif time > episode.seen:
                since = time if episode.clear_since is None else min(episode.clear_since, time)
                clears = episode.clears + 1
                if clears >= CLEAR_REPORTS or time - since >= CLEAR_US:
                    del episodes[device, kind]
                    changes.append(Ended(kind, device, since))
                else:
                    episodes[device, kind] = Episode(episode.seen, since, clears)
        return changes

    def _begin(self, i: int, kind: str, *, late: bool) -> Began | None:
        time, row = int(self.time[i]), int(self.rows[i])
        machine = self.rules.machines.find(int(self.device[i]), time)
        fence = self.rules.fence
        here = [(fence.zones[zone], depth) for zone, depth in fence.depths(int(self.sets[i]))]
        here = [(zone, depth) for zone, depth in here if zone.counts_at(time)]
        if machine is None or not here:
            return None
        # Of several zones the one that it is in, a core zone before a general one.
        zone, depth = min(here, key=lambda found: (found[1] == 1, found[0].tier != "core", found[0].id))
        alarm = int(self.positions.alarm[row])
        return Began(
            kind=kind, device=int(self.device[i]), machine=machine.id, machine_district=machine.district, zone=zone,
            inside=depth > 1, verdict=str(self.rules.judge(zone, machine, time).verdict), at=time,
            received=int(self.positions.received[row]), late=late, lon=float(self.lon[i]), lat=float(self.lat[i]),
            fixed=bool(self.fixed[i]), bits=tuple(bit for bit in KINDS[kind] if alarm >> bit & 1),
        )  # fmt: skip
