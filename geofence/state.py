"""State: what one partition remembers between batches. Columns for every terminal, objects only for those near zones.

    column    per terminal: its last judged fix, and the *settled* set
    settled   the set of zones at which another fix changes nothing but times, -1 where there is none
    until     device time up to which that holds: then a zone of the set comes into or goes out of force
    tracks    the terminals that have a stay or a visit, by slot

A State changes by apply(delta), after the decision was committed, and by refence(fence). Set ids mean something only to
the fence that gave them, so they are not in a snapshot: a loaded state must be refenced before it is used.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geofence.changes import Cause
from geofence.fence import FOREVER
from geofence.stays import Stay
from geofence.visits import NO_TRACK, Track, Visit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from geofence.fence import Fence

NO_SET = -1
NEVER = -(2**63)
"""Earlier than any device time, us."""

_MAGIC = b"LZS1"
_VERSION = 1
_PREFIX = struct.Struct("<4sII")  # magic, CRC-32 of the rest, length of the header
_COLUMNS = {"time": "<i8", "lon": "<f8", "lat": "<f8", "set_id": "<i4", "settled": "<i4", "until": "<i8"}
_SAVED = ("device", "time", "lon", "lat")


class SnapshotError(ValueError):
    """These bytes are not a snapshot that this version reads: replay the log instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """What a decision does to the state that it was made on (``revision``).

    new: int64, terminals to add, which take the next slots in order; slots: int64, the terminals that have a later fix
    now, with their columns; tracks: by slot, what replaces a terminal's track.
    """

    revision: int
    new: NDArray[np.int64]
    slots: NDArray[np.int64]
    time: NDArray[np.int64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    set_id: NDArray[np.int32]
    settled: NDArray[np.int32]
    until: NDArray[np.int64]
    tracks: dict[int, Track]


class State:
    """Empty, and without a fence: call ``refence`` before the first decision."""

    def __init__(self) -> None:
        self.generation = 0
        """The fence that set ids are of; 0: none yet."""
        self.revision = 0
        """Changes with every change, so that a delta meets the state that it was made on."""
        self.device = np.empty(0, np.int64)
        self.tracks: dict[int, Track] = {}
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()}
        self._sorted = np.empty(0, np.int64)
        self._order = np.empty(0, np.int64)

    def __len__(self) -> int:
        """The number of terminals known."""
        return len(self.device)

    def column(self, name: str, slots: NDArray[np.int64], absent: int) -> NDArray[Any]:
        """A column's values at slots; ``absent`` where the slot is -1."""
        known = slots >= 0
        if known.all():
            return self._columns[name][slots]
        out = np.full(len(slots), absent, _COLUMNS[name])
        out[known] = self._columns[name][slots[known]]
        return out

    def slots_of(self, devices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The terminals' slots, -1 where one is not known."""
        if not len(self._sorted):
            return np.full(len(devices), -1, np.int64)
        place = np.searchsorted(self._sorted, devices)
        place[place == len(self._sorted)] = 0
        return np.where(self._sorted[place] == devices, self._order[place], -1)

    def track(self, slot: int) -> Track:
        return self.tracks.get(slot, NO_TRACK)

    def refence(self, fence: Fence) -> None:
        """Takes a newly compiled fence: every terminal with a stay is judged anew from its next fix. Free where it is
        the same one.
        """
        if fence.generation == self.generation:
            return
        self.generation = fence.generation
        self.revision += 1
        columns = self._columns
        columns["set_id"][:] = fence.locate(columns["lon"], columns["lat"])
        columns["settled"][:] = 0
        columns["settled"][list(self.tracks)] = NO_SET
        columns["until"][:] = FOREVER

    def apply(self, delta: Delta) -> None:
        """Takes a decision in. Raises ValueError where it was made on another state than this one is now."""
        if delta.revision != self.revision:
            raise ValueError("this delta was decided on another state")
        self.revision += 1
        if len(delta.new):
            self._add(delta.new)
        for name in _COLUMNS:
            self._columns[name][delta.slots] = getattr(delta, name)
        for slot, track in delta.tracks.items():
            if track.stays or track.visits:
                self.tracks[slot] = track
            else:
                self.tracks.pop(slot, None)

    def records(self, delta: Delta) -> list[tuple[int, Any]]:
        """(device, track as JSON, None where it is empty) of every track that ``delta`` changes: what is stored of it."""
        known = len(self)
        return [
            (int(self.device[slot] if slot < known else delta.new[slot - known]), _track_to_json(track))
            for slot, track in delta.tracks.items()
        ]

    def recall(
        self, devices: NDArray[np.int64], times: NDArray[np.int64], lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> None:
        """Takes good fixes in, one per terminal, as its last judged ones where they are later; decides nothing.

        For a new owner, which has the tracks from where they are stored; afterwards the state must be refenced.
        """
        fresh = devices[self.slots_of(devices) < 0]
        if len(fresh):
            self._add(fresh)
        slots = self.slots_of(devices)
        later = times > self._columns["time"][slots]
        for name, values in (("time", times), ("lon", lon), ("lat", lat)):
            self._columns[name][slots[later]] = values[later]
        self._forget_fence()

    def replace_tracks(self, tracks: Mapping[int, Any]) -> None:
        """All tracks, device -> JSON as `records` gave it, instead of those that are here; then refence."""
        devices = np.fromiter(tracks, np.int64, len(tracks))
        fresh = devices[self.slots_of(devices) < 0]
        if len(fresh):
            self._add(fresh)
        slots = self.slots_of(devices).tolist()
        self.tracks = {slot: _track_from_json(track) for slot, track in zip(slots, tracks.values(), strict=True)}
        self._forget_fence()

    def _forget_fence(self) -> None:
        self.generation = 0
        self.revision += 1

    def _add(self, devices: NDArray[np.int64]) -> None:
        """Terminals are added once each, so the columns are simply copied to their new length."""
        self.device = np.concatenate([self.device, devices])
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.zeros(len(devices), column.dtype)])
        self._order = np.argsort(self.device, kind="stable")
        self._sorted = self.device[self._order]

    # ---- snapshots ---------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """A snapshot: magic "LZS1", CRC-32, length of the header, header (JSON with the tracks), columns."""
        tracks = {str(slot): _track_to_json(track) for slot, track in sorted(self.tracks.items())}
        header = json.dumps({"v": _VERSION, "n": len(self), "tracks": tracks}, separators=(",", ":")).encode()
        columns = {"device": self.device, **self._columns}
        body = b"".join(
            [header, *(columns[name].astype(columns[name].dtype.newbyteorder("<")).tobytes() for name in _SAVED)]
        )
        return _PREFIX.pack(_MAGIC, zlib.crc32(body), len(header)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """The state of a snapshot, without a fence. Raises SnapshotError."""
        if len(data) < _PREFIX.size:
            raise SnapshotError("a snapshot is longer than this")
        magic, crc, size = _PREFIX.unpack_from(data)
        body = memoryview(data)[_PREFIX.size :]
        if magic != _MAGIC or zlib.crc32(body) != crc:
            raise SnapshotError("not a snapshot, or not all of one")
        try:
            return cls._read(json.loads(bytes(body[:size])), body[size:])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise SnapshotError(f"the snapshot does not read: {error!r}") from error

    @classmethod
    def _read(cls, header: dict[str, Any], columns: memoryview) -> State:
        if header["v"] != _VERSION:
            raise SnapshotError(f"snapshot version {header['v']}, not {_VERSION}")
        state, n = cls(), header["n"]
        saved = {
            name: np.frombuffer(columns, _COLUMNS.get(name, "<i8"), n, 8 * n * i).copy()
            for i, name in enumerate(_SAVED)
        }
        state._add(saved.pop("device"))
        state._columns.update(saved)
        state.tracks = {int(slot): _track_from_json(track) for slot, track in header["tracks"].items()}
        return state


def _track_to_json(track: Track) -> list[Any] | None:
    if not (track.stays or track.visits):
        return None
    return [[_row(stay) for stay in track.stays.values()], [_row(visit) for visit in track.visits]]


def _track_from_json(record: list[Any]) -> Track:
    stays, visits = record
    read = [Stay(zone, Cause(cause), *rest) for zone, cause, *rest in stays]
    return Track({stay.zone: stay for stay in read}, tuple(Visit(*each) for each in visits))


def _row(value: Stay | Visit) -> list[Any]:
    """The fields in order; dataclasses.astuple would copy each one deeply, at eight times the price."""
    return [getattr(value, name) for name in value.__slots__]
