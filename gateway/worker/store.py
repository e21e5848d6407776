"""The store: all that a partition needs of the database, as a port, and its implementation on PostgreSQL.

A partition knows nothing else of the database, so it runs over a fake one (tests/simulation) as it runs over this.
Whatever fails raises one of storage/errors.py: RefusedError where values don't fit, OffsetMovedError and EpochChangedError
from commit() and save_snapshot(), and UnavailableError for all the rest: close the session, and begin with another one.

It decides nothing and retries nothing; SQL is in storage/.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from geofence.tampering import NAMES, Watch
from storage import backups, commit, history, load, membership, signals
from storage.errors import RefusedError, UnavailableError
from storage.ruleset import ruleset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    import numpy as np
    from numpy.typing import NDArray

    from columns.positions import Positions
    from storage.load import Offset, Snapshot
    from storage.membership import Standing
    from storage.ruleset import Changes
    from storage.work import Committed, Work

    Connection = psycopg.AsyncConnection[Any]

# The log is trimmed behind a commit, so a commit must be on disk. A path that is cut is noticed within 10 s on both sides,
# since the server would hold the partition's lock for the sake of a worker that is gone; and a worker that hangs loses its
# session after SILENT_S, so what is idle says something every PING_S.
PING_S = 5.0
SILENT_S = 20
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
    "options": "-c synchronous_commit=on -c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
    f" -c tcp_user_timeout=8000 -c idle_session_timeout={SILENT_S}s -c idle_in_transaction_session_timeout={SILENT_S}s",
}


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a worker gets the time from: seconds that only go on, and microseconds UTC, which may jump."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], int] = lambda: time.time_ns() // 1000


class Reads(Protocol):
    """What belongs to no partition: rules (storage/ruleset.py), and what a late report is judged with (storage/history.py)."""

    async def rules_since(self, epoch: int) -> Changes: ...

    async def fixes_before(self, device: int, at: int, most: int) -> Positions: ...

    async def fixes_from(self, device: int, at: int, most: int) -> Positions: ...

    async def presences(self, device: int, since: int) -> list[dict[str, Any]]: ...


class Session(Reads, Protocol):
    """One session for one partition. The lock is the session's: it ends with it, and nobody else's commit passes meanwhile."""

    async def lock(self) -> bool:
        """Takes the partition for as long as this session lives, or says that somebody has it."""

    async def offset(self, stream: str) -> Offset:
        """Takes the partition over: an earlier owner commits nothing more. One of another stream is returned as it is: compare."""

    async def snapshot(self) -> Snapshot | None: ...

    async def parked(self, after: int) -> list[bytes]:
        """What was parked of the log behind ``after``: batches of one part each."""

    async def save_snapshot(self, stream: str, sequence: int, version: int, state: bytes) -> None:
        """Raises OffsetMovedError where the offset is not there: another owner has gone on."""

    async def trimmable(self, stream: str, sequence: int) -> int:
        """Up to where the log may be trimmed, now that a snapshot of ``sequence`` is stored; 0: not now."""

    async def tracks(self) -> dict[int, Any]: ...

    async def watch(self) -> Watch:
        """The episodes of tampering that are open in the database: a new owner's."""

    async def known(self, positions: Positions) -> NDArray[np.bool_]:
        """Of every report: is it stored?"""

    async def commit(self, work: Work) -> Committed: ...

    async def trial(self, work: Work) -> Committed:
        """What commit() would do, rolled back."""

    async def flush_last(self, positions: Positions) -> None: ...

    async def ping(self) -> None:
        """Says that this session lives, where nothing else was said for PING_S."""


class Member(Protocol):
    """One session for the process; while it lasts the process is counted (storage/membership.py)."""

    id: int

    async def look(self) -> Standing: ...


class Store(Protocol):
    """Where partitions are kept."""

    def session(self, partition: int) -> AbstractAsyncContextManager[Session]: ...

    def member(self) -> AbstractAsyncContextManager[Member]: ...


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """The driver's errors as ours, of a statement that changes nothing or may be done again."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RefusedError(str(error).strip()) from error
    except psycopg.Error as error:
        raise UnavailableError.of(error, known=True) from error


class PostgresReads:
    """Reads over a connection in autocommit mode."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def rules_since(self, epoch: int) -> Changes:
        with _told_apart():
            return await ruleset(self._connection, epoch)

    async def fixes_before(self, device: int, at: int, most: int) -> Positions:
        with _told_apart():
            return await history.fixes_before(self._connection, device, at, most)

    async def fixes_from(self, device: int, at: int, most: int) -> Positions:
        with _told_apart():
            return await history.fixes_from(self._connection, device, at, most)

    async def presences(self, device: int, since: int) -> list[dict[str, Any]]:
        with _told_apart():
            return await history.presences(self._connection, device, since)


class PostgresSession(PostgresReads):
    """A Session over a connection in autocommit mode. member: the number of the process that it is counted for."""

    def __init__(
        self, connection: Connection, partition: int, *, trim_after_backup: bool = False, member: int | None = None
    ) -> None:
        super().__init__(connection)
        self._partition = partition
        self._trim_after_backup = trim_after_backup
        self._member = member
        self._owner = 0

    async def lock(self) -> bool:
        with _told_apart():
            locked = await load.lock_partition(self._connection, self._partition)
            if locked and self._member is not None:
                await membership.join(self._connection, self._member)
            return locked

    async def offset(self, stream: str) -> Offset:
        with _told_apart():
            found = await load.own_offset(self._connection, self._partition, stream)
            self._owner = found.owner
            return found

    async def snapshot(self) -> Snapshot | None:
        with _told_apart():
            return await load.load_snapshot(self._connection, self._partition)

    async def parked(self, after: int) -> list[bytes]:
        with _told_apart():
            return await load.parked(self._connection, self._partition, after)

    async def save_snapshot(self, stream: str, sequence: int, version: int, state: bytes) -> None:
        with _told_apart():
            await load.save_snapshot(
                self._connection, self._partition, stream, sequence, version, state, owner=self._owner
            )

    async def trimmable(self, stream: str, sequence: int) -> int:
        with _told_apart():
            return await backups.trimmable(
                self._connection, self._partition, stream, sequence, after_backup=self._trim_after_backup
            )

    async def tracks(self) -> dict[int, Any]:
        with _told_apart():
            return await load.tracks(self._connection, self._partition)

    async def watch(self) -> Watch:
        with _told_apart():
            return Watch.of(await signals.open_of(self._connection, NAMES))

    async def known(self, positions: Positions) -> NDArray[np.bool_]:
        with _told_apart():
            return await load.known_reports(
                self._connection, positions.device, positions.time, positions.fingerprint
            )  # fmt: skip

    async def commit(self, work: Work) -> Committed:
        return await commit.commit(self._connection, work, owner=self._owner)

    async def trial(self, work: Work) -> Committed:
        return await commit.commit(self._connection, work, owner=self._owner, trial=True)

    async def flush_last(self, positions: Positions) -> None:
        with _told_apart():
            await load.flush_last(self._connection, positions)

    async def ping(self) -> None:
        with _told_apart():
            await self._connection.execute("SELECT 1")


class PostgresMember:
    """A Member over a connection in autocommit mode."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.id = number
        self._connection = connection

    async def look(self) -> Standing:
        with _told_apart():
            return await membership.look(self._connection)


class PostgresStore:
    """The Store of a conninfo string and of one process: one connection a session."""

    def __init__(self, database: str, *, trim_after_backup: bool = False) -> None:
        self._database = database
        self._trim_after_backup = trim_after_backup
        self._member = secrets.randbelow(2**31)

    @contextlib.asynccontextmanager
    async def session(self, partition: int) -> AsyncIterator[Session]:
        connection = await self._connect(f"lezgate-worker-{partition}")
        try:
            yield PostgresSession(connection, partition, trim_after_backup=self._trim_after_backup, member=self._member)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def member(self) -> AsyncIterator[Member]:
        connection = await self._connect("lezgate-worker")
        try:
            with _told_apart():
                await membership.join(connection, self._member)
            yield PostgresMember(connection, self._member)
        finally:
            await connection.close()

    async def _connect(self, name: str) -> Connection:
        with _told_apart():
            return await psycopg.AsyncConnection.connect(
                self._database, autocommit=True, application_name=name, **CONNECTION
            )
