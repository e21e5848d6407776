"""What the application holds while it runs, and how handlers reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from admin_api.broadcast import Broadcaster
    from admin_api.throttle import Throttle
    from storage.blobs import Blobs

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]


class Health(Protocol):
    """What the hall knows of the other processes; this room only asks."""

    def reasons(self) -> list[str]:
        """Why the gateway is not ready; empty when it is."""

    def warnings(self) -> list[str]:
        """What is wrong and keeps nobody from being served."""

    def statuses(self) -> list[tuple[str, dict[str, Any]]]:
        """Role and status of every process that was heard lately."""

    def own(self) -> dict[str, Any]:
        """What the api says of itself, for the same table."""

    def log(self) -> dict[str, Any] | None:
        """Figures of the log's stream; None where nobody has seen it lately."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the API is set up."""

    conninfo: str
    public_url: str = ""
    """What people's browsers call; https makes the session cookie Secure."""
    demo: bool = False
    """Shown to the console, which marks every screen."""
    health: Health | None = None
    blobs: Blobs | None = None
    """Where media are; without it they are listed and not given."""
    pool_size: int = 8
    """Connections at most: requests beyond it wait, then get a 503."""
    console: Path | None = None
    """Directory of the console; None: the one in this package."""

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")


@dataclass(frozen=True, slots=True)
class State:
    options: Options
    pool: Pool
    broadcaster: Broadcaster
    throttle: Throttle
    hashing: asyncio.Semaphore
    """scrypt takes 32 MiB each: more at once would let anybody fill the memory by guessing."""

    def database(self) -> AbstractAsyncContextManager[Connection]:
        """One transaction: committed at the end of the block, rolled back where it raises.

        Handlers open it themselves, so that the commit comes before the answer.
        """
        return self.pool.connection()


def _state(request: Request) -> State:
    state: State = request.app.state.lezgate
    return state


Here = Annotated[State, Depends(_state)]
