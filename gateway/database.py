"""The database for commands: LEZGATE_DATABASE_URL, or the embedded server, started for the while if need be."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.nodes import database_url, postgres
from storage.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Settings


@contextmanager
def running_server(settings: Settings) -> Iterator[str]:
    """The owner's conninfo of a server that is up, whatever its schema; an embedded one that we started is stopped."""
    embedded = None if settings.database_url else postgres(settings)
    ours = embedded is not None and embedded.start() != "adopted"
    try:
        yield database_url(settings, "owner")
    finally:
        if embedded is not None and ours:
            embedded.stop()


@contextmanager
def running_database(settings: Settings) -> Iterator[str]:
    """The same, with its schema up to date."""
    with running_server(settings) as conninfo:
        migrate(conninfo)
        yield conninfo
