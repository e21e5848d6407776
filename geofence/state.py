"""State: what one partition remembers between batches. Columns for every terminal, objects only for those near zones.

    column            per terminal
    time, lon, lat,
    fingerprint       its last good fix
    heard             when that was received
    set_id            the set of zones there
    settled           the set at which another fix changes nothing but times, -1 where there is none
    until, lost, best ... before this device time, no longer after the last one, with a grade no higher
    since             the fix since which it has been settled so: a late fix after it changes nothing either
    prior_...         the good fix before the last one; prior_time NEVER: there is none, UNKNOWN: it is not known
    tracks            the terminals that have a stay, by slot
    trails            the last fixes of terminals that were not settled, by slot; a new owner begins without any

A State changes by apply(delta), after the decision was committed, and by adopt(ruleset). Set ids mean something only to
the fence that gave them, so they are not in a snapshot: a loaded state must adopt a ruleset before it is used.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geofence.fence import FOREVER
from geofence.grades import WORKING, Grade
from geofence.jumps import NEVER
from geofence.lookup.zonesets import NOWHERE
from geofence.presences import Cause, End, Presence
from geofence.stays import Stay
from geofence.trail import MOST_TRAILS, NO_SET, Pace, Passed, Place, Trail
from geofence.walking import NO_TRACK, Previous, Track

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.ruleset import Ruleset

_MAGIC = b"LZS1"
_VERSION = 4
_PREFIX = struct.Struct("<4sII")  # magic, CRC-32 of the rest, length of the header
COLUMNS = {
    "time": "<i8", "lon": "<f8", "lat": "<f8", "fingerprint": "<i8", "heard": "<i8", "set_id": "<i4", "settled": "<i4", "until": "<i8", "lost": "<i8", "best": "<u1", "since": "<i8",
    "prior_time": "<i8", "prior_set_id": "<i4", "prior_lon": "<f8", "prior_lat": "<f8", "prior_fingerprint": "<i8",
}  # fmt: skip
PRIOR = tuple(name for name in COLUMNS if name.startswith("prior_"))
UNKNOWN = NEVER + 1
"""As prior_time: there may be a fix before the last, and it is not known."""
_ABSENT = {"time": NEVER, "prior_time": NEVER, "until": FOREVER, "lost": FOREVER, "best": WORKING, "since": NEVER}
_SAVED = ("device", "time", "lon", "lat", "fingerprint", "heard", "since")


class SnapshotError(ValueError):
    """These bytes are not a snapshot that this version reads: replay the log instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """What a decision does to the state that it was made on (``revision``).

    new: int64, terminals to add, which take the next slots in order; slots: int64, the terminals that have a later fix
    now; columns: what they are then, by the names above; walked: by slot, what replaces a terminal's track and trail.
    passed_over: int64, slots of terminals of which late rows that change nothing were passed over: whatever trail they had
    lacks these, and so may what is known of the fix before the last.
    """

    revision: int
    new: NDArray[np.int64]
    slots: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    walked: dict[int, tuple[Track, Trail]]
    passed_over: NDArray[np.int64]


class State:
    """Empty, and without rules: call ``adopt`` before the first decision."""

    def __init__(self) -> None:
        self.rules: Ruleset | None = None
        """Set ids are of its fence."""
        self.revision = 0
        """Changes with every change, so that a delta meets the state that it was made on."""
        self.device = np.empty(0, np.int64)
        self.tracks: dict[int, Track] = {}
        self.trails: dict[int, Trail] = {}
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in COLUMNS.items()}
        self._sorted = np.empty(0, np.int64)
        self._order = np.empty(0, np.int64)

    def __len__(self) -> int:
        """The number of terminals known."""
        return len(self.device)

    def column(self, name: str, slots: NDArray[np.int64]) -> NDArray[Any]:
        """A column's values at slots; where the slot is -1, those of a terminal of which nothing is known."""
        known = slots >= 0
        if known.all():
            return self._columns[name][slots]
        out = np.full(len(slots), _ABSENT.get(name, 0), COLUMNS[name])
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

    def pace_of(self, slot: int) -> Pace:
        """How the terminal is judged now."""
        return Pace(self.track(slot), *(int(self._columns[name][slot]) for name in Pace._fields[1:]))

    def trail_of(self, slot: int) -> Trail | None:
        """The terminal's last fixes: those that were kept, or of a settled one the last, whose grade is not known."""
        c = self._columns
        time, kept = int(c["time"][slot]), self.trails.get(slot)
        if kept is not None and kept.ends_with(time, int(c["fingerprint"][slot])):
            return kept
        if time <= c["since"][slot] or c["prior_time"][slot] == UNKNOWN:
            return None
        before = None if c["prior_time"][slot] == NEVER else Place(*(c[name][slot].item() for name in PRIOR))
        place = Place(*(c[name][slot].item() for name in Place._fields))
        return Trail(before, (Passed(self.pace_of(slot), place.fix(int(c["heard"][slot])), ()),))

    @classmethod
    def of_one(cls, rules: Ruleset, device: int, pace: Pace, trail: Trail) -> State:
        """What is known of one terminal after its trail."""
        state, fix = cls(), trail.end
        state.rules, state.device = rules, np.array([device])
        state._sorted, state._order = state.device, np.zeros(1, np.int64)
        values = {"time": fix.time, "lon": fix.lon, "lat": fix.lat, "fingerprint": fix.fingerprint,
                  "heard": fix.received, "set_id": fix.set_id, **pace._asdict()}  # fmt: skip
        before = trail.passed[-2].fix if len(trail.passed) > 1 else trail.before
        prior = (NEVER, 0, 0.0, 0.0, 0) if before is None else [getattr(before, name) for name in Place._fields]
        values |= dict(zip(PRIOR, prior, strict=True))
        state._columns = {name: np.array([values[name]], dtype) for name, dtype in COLUMNS.items()}
        if pace.track.stays:
            state.tracks[0] = pace.track
        state.trails[0] = trail
        return state

    def adopt(self, rules: Ruleset) -> None:
        """Takes new rules: every terminal with a stay is judged anew from its next fix on, never for what was before.
        Free where they are the same ones.
        """
        if rules is self.rules:
            return
        self.revision += 1
        self.trails = {}
        columns = self._columns
        anew = np.zeros(len(self), bool)
        if self.rules is None or self.rules.fence is not rules.fence:
            anew |= columns["set_id"] != NOWHERE
            columns["set_id"][:] = rules.fence.locate(columns["lon"], columns["lat"])
            columns["set_id"][columns["time"] == NEVER] = NOWHERE
            anew |= columns["set_id"] != NOWHERE
            columns["settled"][:] = NOWHERE
            columns["until"][:], columns["lost"][:], columns["best"][:] = FOREVER, FOREVER, WORKING
        self.rules = rules
        slots = list(self.tracks)
        columns["settled"][slots] = NO_SET
        anew[slots] = True
        columns["since"][anew] = columns["time"][anew]
        time = columns["time"]
        self.tracks = {slot: _from_next_fix(track, int(time[slot])) for slot, track in self.tracks.items()}

    def apply(self, delta: Delta) -> None:
        """Takes a decision in. Raises ValueError where it was made on another state than this one is now."""
        if delta.revision != self.revision:
            raise ValueError("this delta was decided on another state")
        self.revision += 1
        if len(delta.new):
            self._add(delta.new)
        for name, values in delta.columns.items():
            self._columns[name][delta.slots] = values
        for slot, (track, trail) in delta.walked.items():
            if track.stays:
                self.tracks[slot] = track
            else:
                self.tracks.pop(slot, None)
            self._keep_trail(slot, trail)
        self._columns["prior_time"][delta.passed_over] = UNKNOWN
        for slot in delta.passed_over.tolist():
            self.trails.pop(slot, None)

    def silent(self, now: int) -> dict[int, Previous]:
        """Terminals (slots) that are in a zone, and of which nothing was heard for longer than it allows, with their last
        fix. now: us UTC, while reports come in as they are sent: what waits in a log was not heard.
        """
        slots = np.fromiter(self.tracks, np.int64, len(self.tracks))
        heard = self._columns["heard"][slots]
        return {
            slot: Previous(int(self._columns["time"][slot]), int(self._columns["set_id"][slot]))
            for slot, at in zip(slots.tolist(), heard.tolist(), strict=True)
            if now - at > self.tracks[slot].lost
            and any(stay.presence is not None and not stay.silent for stay in self.tracks[slot].stays.values())
        }

    def silence(self, tracks: Mapping[int, Track]) -> None:
        """Takes in, by slot, tracks that fell silent, once that is committed."""
        self.revision += 1
        self.tracks |= tracks
        for slot in tracks:
            self.trails.pop(slot, None)
        self._columns["settled"][list(tracks)] = NO_SET

    def take_over(self, other: State) -> None:
        """Takes what another state, under the same rules, knows of its one terminal, in place of what this one knew."""
        if other.rules is not self.rules or len(other) != 1:
            raise ValueError("the state of one terminal, under the same rules")
        self.revision += 1
        if self.slots_of(other.device)[0] < 0:
            self._add(other.device)
        slot = int(self.slots_of(other.device)[0])
        for name, column in self._columns.items():
            column[slot] = other._columns[name][0]
        self.tracks.pop(slot, None)
        if other.tracks:
            self.tracks[slot] = other.track(0)
        self.trails.pop(slot, None)
        if other.trails:
            self._keep_trail(slot, other.trails[0])

    def _keep_trail(self, slot: int, trail: Trail) -> None:
        self.trails.pop(slot, None)
        while len(self.trails) >= MOST_TRAILS:
            del self.trails[next(iter(self.trails))]
        self.trails[slot] = trail

    def track_json(self, slot: int = 0, track: Track | None = None) -> tuple[int, Any]:
        """As ``records``, of one terminal; of the track that it will have, where that is given."""
        return int(self.device[slot]), _track_to_json(self.track(slot) if track is None else track)

    def records(self, delta: Delta) -> list[tuple[int, Any]]:
        """(device, track as JSON, None where it is empty) of every track that ``delta`` changes: what is stored of it."""
        known = len(self)
        return [
            (int(self.device[slot] if slot < known else delta.new[slot - known]), _track_to_json(track))
            for slot, (track, _) in delta.walked.items()
        ]

    def recall(self, positions: Positions) -> None:
        """Takes in reports that were decided before, of any terminals; decides nothing. Those that are older than what is
        known are passed over.

        For a new owner, which has the tracks from where they are stored; afterwards the state must adopt rules.
        """
        good = np.flatnonzero(positions.good)
        rows = good[np.lexsort((positions.fingerprint[good], positions.time[good], positions.device[good]))]
        device, time = positions.device[rows], positions.time[rows]
        first = np.ones(len(rows), bool)  # of several in one second
        first[1:] = (device[1:] != device[:-1]) | (time[1:] != time[:-1])
        fresh = np.unique(device[self.slots_of(device) < 0])
        if len(fresh):
            self._add(fresh)
        slots, c = self.slots_of(device), self._columns
        later = time > c["time"][slots]
        later |= (time == c["time"][slots]) & (positions.fingerprint[rows] < c["fingerprint"][slots])
        kept = np.flatnonzero(first & later)
        rows, time, slots = rows[kept], time[kept], slots[kept]
        lon, lat = positions.lon[rows], positions.lat[rows]
        # Of several values for one slot numpy keeps the last, which is the latest.
        for name, values in (("time", time), ("lon", lon), ("lat", lat), ("fingerprint", positions.fingerprint[rows])):
            c[name][slots] = values
        c["since"][slots], c["heard"][slots], c["prior_time"][slots] = time, positions.received[rows], UNKNOWN
        self._forget_rules()

    def replace_tracks(self, tracks: Mapping[int, Any]) -> None:
        """All tracks, device -> JSON as `records` gave it, instead of those that are here; then adopt."""
        devices = np.fromiter(tracks, np.int64, len(tracks))
        fresh = devices[self.slots_of(devices) < 0]
        if len(fresh):
            self._add(fresh)
        slots = self.slots_of(devices).tolist()
        self.tracks = {slot: _track_from_json(track) for slot, track in zip(slots, tracks.values(), strict=True)}
        self._forget_rules()

    def _forget_rules(self) -> None:
        self.rules = None
        self.trails = {}
        self.revision += 1

    def _add(self, devices: NDArray[np.int64]) -> None:
        """Terminals are added once each, so the columns are simply copied to their new length."""
        self.device = np.concatenate([self.device, devices])
        for name, column in self._columns.items():
            fill = np.full(len(devices), _ABSENT.get(name, 0), column.dtype)
            self._columns[name] = np.concatenate([column, fill])
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
        """The state of a snapshot, without rules. Raises SnapshotError."""
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
            name: np.frombuffer(columns, COLUMNS.get(name, "<i8"), n, 8 * n * i).copy() for i, name in enumerate(_SAVED)
        }
        state._add(saved.pop("device"))
        state._columns.update(saved)
        state._columns["prior_time"][:] = UNKNOWN
        state.tracks = {int(slot): _track_from_json(track) for slot, track in header["tracks"].items()}
        return state


def _from_next_fix(track: Track, judged: int) -> Track:
    """The same stays, to be judged anew by the first fix after ``judged``."""
    return Track({
        zone: stay if stay.presence is None else replace(stay, until=min(stay.until, judged + 1))
        for zone, stay in track.stays.items()
    })  # fmt: skip


def _track_to_json(track: Track) -> list[Any] | None:
    if not track.stays:
        return None
    stays = []
    for stay in track.stays.values():
        fields = _row(stay)
        fields[_PRESENCE] = None if stay.presence is None else _row(stay.presence)
        stays.append(fields)
    return stays


def _track_from_json(record: list[Any]) -> Track:
    stays = {}
    for fields in record:
        values = dict(zip(Stay.__slots__, fields, strict=True))
        presence = values["presence"]
        values |= {"cause": Cause(values["cause"]), "presence": None if presence is None else _presence(presence)}
        stays[values["zone"]] = Stay(**values)
    return Track(stays)


def _presence(fields: list[Any]) -> Presence:
    values = dict(zip(Presence.__slots__, fields, strict=True))
    values |= {"cause": Cause(values["cause"]), "grade": Grade(values["grade"])}
    return Presence(**{**values, "end": None if values["end"] is None else End(values["end"])})


_PRESENCE = Stay.__slots__.index("presence")


def _row(value: Stay | Presence) -> list[Any]:
    """The fields in order; dataclasses.astuple would copy each one deeply, at eight times the price."""
    return [getattr(value, name) for name in value.__slots__]
