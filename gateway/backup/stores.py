"""The stores for a backup or a restore: the ones that run, or the embedded ones of this data directory, started for the while."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from gateway.backup.errors import BackupError
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nodes import nats_server, nats_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.config import Settings

_CONNECT_S = 20


@contextmanager
def running_log(settings: Settings) -> Iterator[None]:
    """The log is up meanwhile; an embedded nats-server that we started is stopped."""
    server = None if settings.nats_url else nats_server(settings)
    ours = server is not None and not server.in_use()
    if server is not None and ours:
        server.start()
    try:
        yield
    finally:
        if server is not None and ours:
            server.stop()


@asynccontextmanager
async def opened_log(settings: Settings, role: str = "worker") -> AsyncIterator[Log]:
    """As a role of nats-server's: `worker` reads, makes and trims, `edge` appends."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            client = await connect(nats_url(settings, role), role)
    except TimeoutError:
        raise BackupError(
            "the log cannot be reached: check LEZGATE_NATS_URL, and that nats-server runs"
            " | 无法连接日志服务：请检查 LEZGATE_NATS_URL 以及 nats-server 是否在运行"
        ) from None
    try:
        yield Log(client)
    finally:
        await client.close()


def operator() -> str:
    """Who does this, for the audit: the user who became root, too."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"
