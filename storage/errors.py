"""What can go wrong with a commit, by what the caller should do.

CommitError
├── OffsetMovedError     give up the partition: somebody else committed, or the stream is another one
├── EpochChangedError    nothing was written: load the rules of epoch ``new``, decide again
├── RefusedError         nothing was written and never will be: these rows don't fit (bisect, park)
└── UnavailableError     read the offset again and retry: ``known`` says if nothing was written for certain
"""

from __future__ import annotations

from psycopg import Error, errors

FULL = (
    "the database's disk is full: free space there, and it goes on by itself; terminals are still acknowledged"
    " | 数据库所在磁盘已满：请释放磁盘空间，随后自动恢复；终端仍可正常应答"
)


class CommitError(Exception):
    """One of the below."""


class OffsetMovedError(CommitError):
    """The partition's offset is not at ``previous`` of ``stream``; nothing was written."""

    def __init__(self, partition: int, stream: str, previous: int) -> None:
        self.partition, self.stream, self.previous = partition, stream, previous
        super().__init__(partition, stream, previous)

    def __str__(self) -> str:
        return f"partition {self.partition}: the offset is not at {self.previous} of stream {self.stream}"


class EpochChangedError(CommitError):
    """The rules are at epoch ``new``; nothing was written."""

    def __init__(self, decided: int, new: int) -> None:
        self.decided, self.new = decided, new
        super().__init__(decided, new)

    def __str__(self) -> str:
        return f"decided with the rules of epoch {self.decided}, but they are at {self.new}"


class RefusedError(CommitError):
    """PostgreSQL refuses a value or a reference of this work; its own error is the ``__cause__``."""


class UnavailableError(CommitError):
    """The server or the way to it failed. ``known``: rolled back for certain, not lost between COMMIT and its answer."""

    def __init__(self, reason: str, *, known: bool) -> None:
        self.known = known
        super().__init__(reason)

    @classmethod
    def of(cls, error: Error, *, known: bool) -> UnavailableError:
        return cls(FULL if isinstance(error, errors.DiskFull) else str(error).strip(), known=known)
