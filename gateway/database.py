"""A database connection for commands: LEZGATE_DATABASE_URL, or the embedded server, started for the while if need be."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from gateway.nodes import database_url, postgres
from storage.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Settings


@contextmanager
def running_database(settings: Settings) -> Iterator[str]:
    """The owner's conninfo of a database that is up and migrated; an embedded server that we started is stopped."""
    server = None
    if not settings.database_url:
        embedded = postgres(settings)
        if not embedded.alive():
            server = embedded
            server.start()
    try:
        conninfo = database_url(settings, "owner")
        migrate(conninfo)
        yield conninfo
    finally:
        if server is not None:
            server.stop()


@contextmanager
def connect_sync(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection as the owner. Commits at the end, rolls back on an exception."""
    with running_database(settings) as conninfo, psycopg.connect(conninfo) as connection:
        yield connection
