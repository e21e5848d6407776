"""The api process: the admin API and console over HTTP, and the registry feed for the edges.

It answers from its first second, whatever is away: /readyz says what is missing, and what needs the log joins it later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
import uvicorn

from admin_api.app import create_app
from gateway.ending import end
from gateway.health import Health
from gateway.nats_connection import connect
from gateway.nodes import database_url, nats_url, postgres
from gateway.registry_feed import RegistryFeed
from storage.blobs import open_store

if TYPE_CHECKING:
    from types import FrameType

    from gateway.config import Settings

log = structlog.get_logger()


class Server(uvicorn.Server):
    """Ends the live streams before it waits for open requests: a stream would never end by itself."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.lezgate.broadcaster.end_streams()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


async def run(settings: Settings, *, demo: bool) -> None:
    """Runs until SIGTERM or SIGINT (uvicorn's own handlers), or until the part that needs the log fails."""
    conninfo = database_url(settings, "api")
    embedded = None if settings.database_url else postgres(settings).cluster
    health = Health(("edge", "worker", "mqtt") if settings.mqtt_url else ("edge", "worker"), embedded)
    blobs = open_store(settings.blobs)
    app = create_app(conninfo, public_url=settings.base_url, demo=demo, health=health, blobs=blobs)
    config = uvicorn.Config(
        app, settings.http_host, settings.http_port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=3, server_header=False, ssl_certfile=settings.http_tls_cert or None,
        ssl_keyfile=settings.http_tls_key or None, log_config=None,
    )  # fmt: skip
    log.info("api listens", url=settings.base_url)
    server = Server(config)
    joined = asyncio.get_running_loop().create_task(_join(settings, health, conninfo))

    def ended(_: asyncio.Task[None]) -> None:
        server.should_exit = True

    joined.add_done_callback(ended)
    await server.serve()
    if joined.done():
        joined.result()  # raises what ended it
    joined.remove_done_callback(ended)
    await end(joined)


async def _join(settings: Settings, health: Health, conninfo: str) -> None:
    """For ever: what the api does over the log, from when there is one."""
    client = await connect(lambda: nats_url(settings, "api"), "api")
    try:
        await health.listen(client)
        async with asyncio.TaskGroup() as both:
            both.create_task(health.watch_log())
            both.create_task(RegistryFeed(client, conninfo).run())
    finally:
        await client.close()
