"""Registry feed: answers the edges' questions for the registry from the database, a page at a time.

Asked {"from", "vacant_from"?, "have", "version"} on `registry.get`, it answers {"version", "total", "terminals"} with the
terminals (storage.load.Registry) from number `from` on; to who asks with `vacant_from` also {"vacant_total", "vacant"}. Who
`have`s this version gets none.

Runs in the api process. The page is cut from one snapshot in memory, which is read again when the database says that
the registry changed; a storm of changes (an import) is one reading in SETTLE_S, of open enrolments one in ENROLLED_S.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import structlog

from gateway.logs import Seldom
from gateway.pauses import Pauses
from storage.load import Registry, registry

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

PAGE = 8_000  # of each list; about 60 bytes a terminal and 15 a number: with the framing, half of the largest message
SETTLE_S = 3.0  # a change by staff is told at once, an import every so often
# Edges that admit terminals by themselves need not be told, and a reading of a city is 0.1 s of three processes.
ENROLLED_S = 60.0
TELL_S = 10.0
log = structlog.get_logger()


class RegistryFeed:
    def __init__(self, client: Client, conninfo: str) -> None:
        self._client = client
        self._conninfo = conninfo
        self._registry: Registry | None = None

    async def run(self) -> None:
        """For ever, whatever happens: without it no edge hears of a new terminal."""
        asked, pauses, tell = None, Pauses(), Seldom(TELL_S)
        while True:
            try:
                if asked is None:
                    asked = await self._client.subscribe("registry.get", cb=self._answer)
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    await connection.execute("LISTEN registry")
                    pauses.start_again()
                    while True:
                        read = time.monotonic()
                        await self._load(connection)
                        await _news(connection, read + ENROLLED_S)
                        await asyncio.sleep(max(0.0, read + SETTLE_S - time.monotonic()))
            except psycopg.OperationalError as error:
                tell(
                    log.warning, "registry feed waits for the database | 终端登记表等待数据库", error=str(error).strip()
                )
            except Exception:
                log.exception("registry feed failed; trying again")
            await asyncio.sleep(pauses.next())

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        found = await registry(connection)
        if self._registry is not None and found.version == self._registry.version:
            return
        self._registry = found
        await self._client.publish("registry.changed", str(found.version).encode())

    async def _answer(self, message: Msg) -> None:
        if self._registry is not None:  # else the edge asks again, and lives on its own copy
            await message.respond(orjson.dumps(_page(self._registry, orjson.loads(message.data))))


async def _news(connection: psycopg.AsyncConnection, enrolled_due: float) -> None:
    """Returns when the registry is worth reading again: at once, or at ``enrolled_due`` where it only grew by enrolment."""
    wait = None
    while True:
        # The generator holds the connection while it is open: it must end before the next reading.
        notices = [notice async for notice in connection.notifies(timeout=wait, stop_after=1)]
        if not notices or notices[0].payload != "enrolled":
            return
        wait = max(0.0, enrolled_due - time.monotonic())


def _page(known: Registry, asked: dict[str, Any]) -> dict[str, Any]:
    fresh = asked["have"] != known.version
    first = asked["from"] if fresh else len(known.terminals)
    page = {"version": known.version, "total": len(known.terminals), "terminals": known.terminals[first : first + PAGE]}
    if "vacant_from" in asked:
        first = asked["vacant_from"] if fresh else len(known.vacant)
        page |= {"vacant_total": len(known.vacant), "vacant": known.vacant[first : first + PAGE]}
    return page
