"""A database behind the port gateway/worker/store.py: what PostgreSQL promises of transactions and sessions, and no SQL.

A session is a connection: what is asked over it arrives in order, and when it is cut the server rolls back what is open and
gives up its lock, while the client hears of it later, or when it asks next. A commit is begun (compare and set of the offset,
which holds the offset's row until the end; the rules' epoch), then ended by COMMIT, which takes effect in one moment or not
at all; the answer to that may be lost. Whoever waits for an offset's row looks at it when it is free.

Visits, alarms and pages are tests/geofence/system.py's, which does what storage/visits.py does.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from gateway.worker.parking import keys
from storage.errors import EpochChangedError, OffsetMovedError, RefusedError
from storage.load import Offset, Snapshot
from storage.membership import Standing
from storage.work import Committed
from tests.geofence import system
from tests.simulation.bad_rows import PARKED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from numpy.typing import NDArray

    from columns.positions import Positions
    from geofence.ruleset import Ruleset
    from storage.work import Work
    from tests.simulation.sessions import Session
    from tests.simulation.weather import Weather

Key = tuple[int, int, int]


class Letter(NamedTuple):
    """A row of dead_letter."""

    partition: int
    sequence: int
    reason: int
    data: bytes


@dataclass
class Tables:
    """What is committed. ``last_page``: the largest number of pages that any alarm has."""

    offsets: dict[int, Offset] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    tracks: dict[int, dict[int, Any]] = field(default_factory=dict)
    stored: dict[Key, int] = field(default_factory=dict)
    """Key -> partition."""
    letters: list[Letter] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    """Kinds of alarms that were raised besides visits'."""
    visiting: system.Database = field(default_factory=system.Database)
    commits: int = 0


class Server:
    """epoch, rulesets: of the rules; each epoch that is committed has its own."""

    def __init__(self, weather: Weather, ruleset: Ruleset, whole: Ruleset) -> None:
        self.weather, self.loop = weather, weather.loop
        self.tables = Tables()
        self.epoch = 1
        self.rulesets = {1: ruleset}
        self.sessions: list[Session] = []
        self.down = False
        self.counts: Counter[str] = Counter()
        self.refuses: Callable[[Positions], NDArray[np.bool_]] = lambda rows: np.zeros(len(rows), bool)
        self._whole = whole
        self._locks: dict[int, Session] = {}
        self._rows: dict[int, Session] = {}
        self._waiting: dict[int, deque[tuple[Session, Work, asyncio.Future[Any]]]] = {}

    def edit(self, ruleset: Ruleset) -> None:
        self.epoch += 1
        self.rulesets[self.epoch] = ruleset
        self.weather.say(f"database: rules of epoch {self.epoch}")

    def fall(self) -> None:
        self.down = True
        for session in list(self.sessions):
            session.cut()

    def ended(self, session: Session) -> None:
        """The server knows that a session is over: rollback, and its lock is free."""
        if session in self.sessions:
            self.sessions.remove(session)
        if self._locks.get(session.partition) is session:
            del self._locks[session.partition]
        self._give_up_row(session)

    def lose_locks(self) -> None:
        """Sessions go on without them, as behind a pool of connections: the compare and set must tell owners apart."""
        self._locks.clear()

    def lock(self, session: Session) -> bool:
        ours = self._locks.setdefault(session.partition, session) is session
        session.joined = session.joined or ours
        return ours

    def offset(self, session: Session, stream: str) -> Offset:
        """The session takes the partition over."""
        offsets, partition = self.tables.offsets, session.partition
        old = offsets.get(partition)
        offsets[partition] = (
            Offset(partition, stream, 0, 0, {}, 0, 0, 0, {}) if old is None else replace(old, owner=old.owner + 1)
        )
        session.owner = offsets[partition].owner
        return offsets[partition]

    # ---- commits --------------------------------------------------------------------------------------------------

    def begin(self, session: Session, work: Work, answer: asyncio.Future[Any]) -> None:
        """Answers with None, or with what is wrong."""
        holder = self._rows.get(work.partition)
        if holder is not None and holder is not session:
            self.counts["waited_for_row"] += 1
            self._waiting.setdefault(work.partition, deque()).append((session, work, answer))
            return
        offset = self.tables.offsets[work.partition]
        error: Exception | None = None
        if (offset.stream, offset.sequence, offset.owner) != (work.stream, work.previous, session.owner):
            self.counts["offset_moved"] += 1
            error = OffsetMovedError(work.partition, work.stream, work.previous)
        elif work.epoch != self.epoch:
            self.counts["epoch_changed"] += 1
            error = EpochChangedError(work.epoch, self.epoch)
        elif self.refuses(work.positions).any():
            self.counts["rows_refused"] += 1
            error = RefusedError("a value that fits no column")
        else:
            self._rows[work.partition] = session
        session.answer(answer, error)

    def end(self, session: Session, work: Work) -> Committed:
        duplicate = self._apply(work)
        self._give_up_row(session)
        return Committed(len(work.positions) - duplicate, duplicate)

    def rollback(self, session: Session, work: Work) -> Committed:
        self._give_up_row(session)
        return Committed(len(work.positions), 0)

    def parked(self, partition: int, after: int) -> list[bytes]:
        return [
            letter.data for letter in self.tables.letters
            if letter.partition == partition and letter.sequence > after and letter.reason in PARKED
        ]  # fmt: skip

    def look(self) -> Standing:
        """storage/membership.py: every process has a lock on its number for itself, and one for each partition it took."""
        joined = Counter(session.member for session in self.sessions if session.joined)
        return Standing(frozenset(self._locks), {member: n - 1 for member, n in joined.items()})

    def _give_up_row(self, session: Session) -> None:
        if self._rows.get(session.partition) is not session:
            return
        del self._rows[session.partition]
        waiting = self._waiting.get(session.partition, deque())
        while waiting and self._rows.get(session.partition) is None:
            other, work, answer = waiting.popleft()
            if other.open:
                self.begin(other, work, answer)

    def save_snapshot(self, session: Session, stream: str, snapshot: Snapshot) -> OffsetMovedError | None:
        """Only where the offset is there, and the session's."""
        offset = self.tables.offsets[session.partition]
        if (offset.stream, offset.sequence, offset.owner) != (stream, snapshot.sequence, session.owner):
            self.counts["old_snapshot"] += 1
            return OffsetMovedError(session.partition, stream, snapshot.sequence)
        self.tables.snapshots[session.partition] = snapshot
        return None

    def _apply(self, work: Work) -> int:
        """The number of rows that were there already."""
        tables, rows = self.tables, work.positions
        new = np.array([key not in tables.stored for key in keys(rows)], bool)
        quarantined = (rows.quality & work.quarantined) != 0
        duplicate = int((~new).sum())
        self.counts["found_by_key"] += duplicate
        old = tables.offsets[work.partition]
        tables.offsets[work.partition] = replace(
            old, sequence=work.sequence, epoch=work.epoch, boots=orjson.loads(orjson.dumps(work.boots)),
            stored=old.stored + int((new & ~quarantined).sum()),
            quarantined=old.quarantined + int((new & quarantined).sum()),
            duplicate=old.duplicate + work.duplicate + duplicate,
            rejected=dict(Counter(old.rejected) + Counter(work.rejected)),
        )  # fmt: skip
        added = rows.take(np.flatnonzero(new))
        tables.visiting.store(_as_stored(added))
        tables.stored.update(dict.fromkeys(keys(added), work.partition))
        letters = work.dead_letters
        tables.letters += [
            Letter(work.partition, work.sequence, int(reason), letters.data[i])
            for i, reason in enumerate(letters.reason)
        ]
        tables.signals += [row["kind"] for row in work.signals if "reason" not in row]
        for device, track in orjson.loads(orjson.dumps(work.tracks)):
            its = tables.tracks.setdefault(work.partition, {})
            if track is None:
                its.pop(device, None)
            else:
                its[device] = track
        if work.visits is not None:
            tables.visiting.write_changes(work.visits, self._whole)
        tables.commits += 1
        self.weather.say(
            f"database: {work.partition} from {work.previous} to {work.sequence}, {len(added)} rows,"
            f" {work.duplicate}+{duplicate} duplicates, epoch {work.epoch}"
        )
        return duplicate


def _as_stored(rows: Positions) -> Positions:
    return rows.with_columns(lon=np.rint(rows.lon * 1e6) / 1e6, lat=np.rint(rows.lat * 1e6) / 1e6)
