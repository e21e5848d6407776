"""Registry feed: answers the edges' questions for the registry from the database, a page at a time.

Runs in the api process. The page is cut from one snapshot in memory, which is read again when the database says that
the registry changed; a storm of changes (an import, open enrolment) is one reading a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import structlog

from storage.load import registry

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

PAGE = 15_000  # terminals; about 30 bytes each, so half of the log's largest message
SETTLE_S = 1.0
RETRY_S = 1.0
log = structlog.get_logger()


class RegistryFeed:
    def __init__(self, client: Client, conninfo: str) -> None:
        self._client = client
        self._conninfo = conninfo
        self._version = 0
        self._terminals: list[list[Any]] | None = None

    async def run(self) -> None:
        """For ever, whatever happens: without it no edge hears of a new terminal."""
        asked = None
        while True:
            try:
                if asked is None:
                    asked = await self._client.subscribe("registry.get", cb=self._answer)
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    await connection.execute("LISTEN registry")
                    while True:
                        await self._load(connection)
                        # The generator holds the connection while it is open: it must end before the next reading.
                        async for _ in connection.notifies(stop_after=1):
                            await asyncio.sleep(SETTLE_S)
            except psycopg.OperationalError as error:
                log.warning("registry feed waits for the database", error=str(error).strip())
            except Exception:
                log.exception("registry feed failed; trying again")
            await asyncio.sleep(RETRY_S)

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        version, terminals = await registry(connection)
        if version == self._version:
            return
        self._version, self._terminals = version, [list(terminal) for terminal in terminals]
        await self._client.publish("registry.changed", str(version).encode())

    async def _answer(self, message: Msg) -> None:
        if self._terminals is None:
            return  # not read yet: the edge asks again, and lives on its own copy
        asked = orjson.loads(message.data)
        first = asked["from"] if asked["have"] != self._version else len(self._terminals)
        page = {
            "version": self._version,
            "total": len(self._terminals),
            "terminals": self._terminals[first : first + PAGE],
        }
        await message.respond(orjson.dumps(page))
