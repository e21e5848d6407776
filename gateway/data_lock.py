"""One lezgate at a time over a data directory: the supervisor, or a command that changes what is under it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DataInUseError(RuntimeError):
    """Another one has it; the message says so in two languages."""


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Holds the lock; the kernel lets it go with the process."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("a") as lock:  # what its holder wrote stays, where it is not us
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataInUseError(f"{data}: another lezgate is running there | 该数据目录已有 lezgate 在运行") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
