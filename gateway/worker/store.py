"""The store: all that a partition needs of the database, as a port, and its implementation on PostgreSQL.

A partition knows nothing else of the database, so it runs over a fake one (tests/simulation) as it runs over this.
Whatever fails raises one of storage/errors.py: RefusedError where values don't fit, OffsetMovedError and EpochChangedError
from commit(), and UnavailableError for all the rest: close the session, and begin with another one.

It decides nothing and retries nothing; SQL is in storage/.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from geofence.tampering import NAMES, Watch
from storage import backups, commit, history, load, signals
from storage.errors import RefusedError, UnavailableError
from storage.ruleset import ruleset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    import numpy as np
    from numpy.typing import NDArray

    from columns.positions import Positions
    from storage.load import Offset, Snapshot
    from storage.ruleset import Changes
    from storage.work import Committed, Work

    Connection = psycopg.AsyncConnection[Any]

# The log is trimmed behind a commit, so a commit must be on disk. A path that is cut is noticed within seconds on both
# sides: the server would hold the partition's lock for the sake of a worker that is gone.
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c synchronous_commit=on -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5"
    " -c tcp_keepalives_count=3",
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
        """Made where there is none; one of another stream is returned as it is: compare."""

    async def snapshot(self) -> Snapshot | None: ...

    async def save_snapshot(self, sequence: int, version: int, state: bytes) -> None: ...

    async def trimmable(self, stream: str, sequence: int) -> int:
        """Up to where the log may be trimmed, now that a snapshot of ``sequence`` is stored; 0: not now."""

    async def tracks(self) -> dict[int, Any]: ...

    async def watch(self) -> Watch:
        """The episodes of tampering that are open in the database: a new owner's."""

    async def known(self, positions: Positions) -> NDArray[np.bool_]:
        """Of every report: is it stored?"""

    async def commit(self, work: Work) -> Committed: ...

    async def flush_last(self, positions: Positions) -> None: ...


class Store(Protocol):
    """Where partitions are kept."""

    def session(self, partition: int) -> AbstractAsyncContextManager[Session]: ...


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """The driver's errors as ours, of a statement that changes nothing or may be done again."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RefusedError(str(error).strip()) from error
    except psycopg.Error as error:
        raise UnavailableError(str(error).strip(), known=True) from error


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
    """A Session over a connection in autocommit mode."""

    def __init__(self, connection: Connection, partition: int, *, trim_after_backup: bool = False) -> None:
        super().__init__(connection)
        self._partition = partition
        self._trim_after_backup = trim_after_backup

    async def lock(self) -> bool:
        with _told_apart():
            return await load.lock_partition(self._connection, self._partition)

    async def offset(self, stream: str) -> Offset:
        with _told_apart():
            return await load.create_offset(self._connection, self._partition, stream)

    async def snapshot(self) -> Snapshot | None:
        with _told_apart():
            return await load.load_snapshot(self._connection, self._partition)

    async def save_snapshot(self, sequence: int, version: int, state: bytes) -> None:
        with _told_apart():
            await load.save_snapshot(self._connection, self._partition, sequence, version, state)

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
        return await commit.commit(self._connection, work)

    async def flush_last(self, positions: Positions) -> None:
        with _told_apart():
            await load.flush_last(self._connection, positions)


class PostgresStore:
    """The Store of a conninfo string: one connection a session. trim_after_backup: LEZGATE_TRIM_AFTER is `backup`."""

    def __init__(self, database: str, *, trim_after_backup: bool = False) -> None:
        self._database = database
        self._trim_after_backup = trim_after_backup

    @contextlib.asynccontextmanager
    async def session(self, partition: int) -> AsyncIterator[Session]:
        name = f"lezgate-worker-{partition}"
        with _told_apart():
            connection = await psycopg.AsyncConnection.connect(
                self._database, autocommit=True, application_name=name, **CONNECTION
            )
        async with connection:
            yield PostgresSession(connection, partition, trim_after_backup=self._trim_after_backup)
