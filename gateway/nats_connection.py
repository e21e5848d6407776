"""The connection to NATS: comes back by itself, whichever server of the cluster is there, and ends the process where it can't.

It holds nothing back while it is away: what waits for the log waits in the edge, which knows its bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import nats.errors
import structlog
from nats.aio.client import Client

from gateway.logs import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_S = 2.0  # of one server: beyond, it is as good as away
RETRY_S = 0.2
PING_S, PINGS = 2.0, 2  # a server that hangs, or whose cable is out, is left after 6 s; elections take as long
PENDING_BYTES = 0  # nothing is kept for a server that is away: an append asks again, and a batch is in memory once
TELL_S = 5.0
_TROUBLE = (
    "the log cannot be reached, trying again; check LEZGATE_NATS_URL, and that NATS runs"
    " | 日志服务连接异常，正在重试：请检查 LEZGATE_NATS_URL 以及 NATS 是否在运行"
)
log = structlog.get_logger()


class _Client(Client):
    """Knows whether it is we who close it: nats-py also closes for good, by itself, on most errors of the server.

    Until it is connected for the first time it is ours: connect() tries again.
    """

    closing = True

    async def close(self) -> None:
        self.closing = True
        await super().close()

    async def give_up_answers(self) -> None:
        """What was asked over a connection that is lost is never answered: who waits asks again at once."""
        for answer in list(self._resp_map.values()):
            if not answer.done():
                answer.set_exception(nats.errors.StaleConnectionError())
                answer.exception()  # heard of, also where the request itself was not sent and nobody waits


def servers(url: str) -> tuple[list[str], dict[str, Any]]:
    """The servers that a setting names, separated by commas, without who we are there; and who we are, for `Client.connect`.

    A cluster tells its other servers' addresses, without a password: so that is given once, for all of them.
    """
    found, who = list[str](), dict[str, Any]()
    for one in filter(None, (part.strip() for part in url.split(","))):
        parts = urlsplit(one if "//" in one else f"nats://{one}")
        name, word = unquote(parts.username or ""), unquote(parts.password or "")
        if name and not who:
            who = {"user": name, "password": word} if word else {"token": name}
        found.append(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    return found, who


async def connect(url: str | Callable[[], str], role: str) -> Client:
    """A connection that comes back by itself, also when no server is there yet at the start.

    url: of one server or several of a cluster, separated by commas; a function is asked before each round, since the
    embedded server's port is known only when that has been started for the first time. Where nats-py gives a connection
    up for good, the process ends, and whoever supervises starts it again: without a log it would only seem to work.
    Nothing is lost by that, since what was acknowledged is on disk.
    """
    tell = Seldom(TELL_S)

    async def on_error(error: Exception) -> None:
        tell(log.warning, _TROUBLE, error=repr(error))

    async def quiet() -> None:
        return

    async def on_closed() -> None:
        if client.closing:
            return
        log.error("log connection closed for good; ending | 日志连接已断开且不再恢复，进程退出",
                  error=repr(client.last_error))  # fmt: skip
        os._exit(1)

    while True:
        client = _Client()
        pool, who = servers(url if isinstance(url, str) else url())
        try:
            async with asyncio.timeout(2 * CONNECT_S * len(pool)):  # nats-py itself would try the same ones for ever
                await client.connect(
                    pool,
                    **who,
                    name=f"lezgate-{role}",
                    inbox_prefix=f"_{role}".encode(),
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    # Seconds; of each process its own, so that they don't all come back at once.
                    reconnect_time_wait=RETRY_S * random.uniform(0.5, 1.5),  # type: ignore[arg-type]  # noqa: S311
                    connect_timeout=CONNECT_S,  # type: ignore[arg-type]
                    ping_interval=PING_S,  # type: ignore[arg-type]
                    max_outstanding_pings=PINGS,
                    pending_size=PENDING_BYTES,
                    error_cb=on_error,
                    disconnected_cb=client.give_up_answers,
                    reconnected_cb=quiet,
                    closed_cb=on_closed,
                )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            tell(log.warning, _TROUBLE, error=repr(error))
            with contextlib.suppress(Exception):
                await client.close()
            await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311
        else:
            client.closing = False
            return client
