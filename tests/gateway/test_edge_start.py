"""An edge that is started before everything that it needs: it waits, and says for what."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.health import Health
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from tests.plugins.edge import until
from tests.plugins.pipeline import LEZGATE, LOG_BYTES
from tests.plugins.serve import free_port
from tests.plugins.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PHONE = "13811111111"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """Not started yet."""
    data = tmp_path / "data"
    one = NatsServer(data / "nats", load_secrets(data), LOG_BYTES)
    yield one
    one.stop()


@pytest.fixture
def edge(tmp_path: Path, server: NatsServer) -> Iterator[int]:
    """`lezgate edge` over an empty data directory, without a nats-server; its port. It ends before the server does."""
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LEZGATE_")}
    environment |= {"LEZGATE_DATA_DIR": str(tmp_path / "data"), "LEZGATE_JT808_PORT": str(port)}
    with (tmp_path / "edge.log").open("ab") as log:
        process = subprocess.Popen([LEZGATE, "edge"], env=environment, stdout=log, stderr=log)
    yield port
    assert process.poll() is None, (tmp_path / "edge.log").read_text()
    process.terminate()
    assert process.wait(10) == 0


async def test_nothing_is_there_and_comes_in_turn(edge: int, server: NatsServer) -> None:
    """nats-server, the stream, the api with its registry: each is waited for and named in two languages, and nobody is turned
    away as unknown meanwhile; then the edge listens by itself. A server that goes and comes again changes nothing."""
    await asyncio.sleep(1)
    with pytest.raises(ConnectionRefusedError):
        Terminal(edge, PHONE)
    await asyncio.to_thread(server.start)
    clients = {role: await connect(server.url(role), role) for role in ("api", "worker")}
    health = Health(("edge",))
    await health.listen(clients["api"])

    async def says(english: str, chinese: str) -> None:
        def said() -> bool:
            return any(english in one and chinese in one for one in health.reasons())

        await until(said, 20)

    try:
        await says("the log's stream POS is not there yet", "日志流 POS 尚未建立")
        await Log(clients["worker"]).create(1, LOG_BYTES)
        await says("no registry yet", "尚未取得终端登记表")
        with pytest.raises(ConnectionRefusedError):
            Terminal(edge, PHONE)

        async def registry(message: Any) -> None:
            page = {"version": 1, "total": 1, "vacant_total": 0, "vacant": [],
                    "terminals": [[PHONE, 1, "enrolled", "", "strict", None]]}  # fmt: skip
            await message.respond(orjson.dumps(page))

        await clients["api"].subscribe("registry.get", cb=registry)
        await until(lambda: health.statuses() and not health.reasons(), 20)
        one = Terminal(edge, PHONE)
        await asyncio.to_thread(one.join)
        assert await asyncio.to_thread(one.report, 116.0, 36.5) == 0
        server.process.kill()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        assert await asyncio.to_thread(one.report, 116.0, 36.5) == 0
        one.close()
    finally:
        for client in clients.values():
            await client.close()
