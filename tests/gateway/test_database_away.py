"""The database is away, at the start or later: the worker says so, reads nothing meanwhile, and catches up once it is back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest_asyncio

from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from tests.plugins.pipeline import LOG_BYTES, Pipeline
from tests.plugins.postgres import new_secrets
from tests.visited import IN, ONE, OUT, THREE, populate, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECOND = 1_000_000
MOST_GROWTH = 64 * 1024**2


@pytest_asyncio.fixture
async def own(tmp_path: Path, reachable_dir: Path) -> AsyncIterator[tuple[Pipeline, EmbeddedPostgres]]:
    """A pipeline with a database server of its own, which is down."""
    postgres = EmbeddedPostgres(reachable_dir / f"away-{tmp_path.name}", new_secrets())
    postgres.start()
    migrate(postgres.url("owner"))
    populate(postgres.url("owner"))
    postgres.stop()
    server = NatsServer(tmp_path / "nats", load_secrets(tmp_path), LOG_BYTES)
    server.start()
    client, edge = await connect(server.url("worker"), "worker"), await connect(server.url("edge"), "edge")
    stream = await Log(client).create(1, LOG_BYTES)
    one = Pipeline(
        tmp_path / "data", server, client, Log(edge), stream, postgres.url("owner"), postgres.url("worker")
    )  # fmt: skip
    try:
        yield one, postgres
    finally:
        one.stop_workers()
        await client.close()
        await edge.close()
        server.stop()
        postgres.stop()


async def test_away_at_the_start_and_later(own: tuple[Pipeline, EmbeddedPostgres]) -> None:
    """It waits and says for what; an outage's backlog is not taken into memory, comes in whole and once, and an entry of the
    gap pages once, as delayed.
    """
    pipeline, postgres = own
    async with pipeline.health() as said:
        worker = pipeline.start_worker()
        await pipeline.until(lambda: worker.pid in said, 60)
        await pipeline.until(lambda: not said[worker.pid]["ready"] and "database" in said[worker.pid]["reason"])
        await pipeline.append(route(THREE, [OUT] * 10))
        await asyncio.to_thread(postgres.start)
        await pipeline.until_stored(10, 60)
        await pipeline.until(lambda: said[worker.pid]["ready"])
        before = said[worker.pid]["resident_bytes"]

        await asyncio.to_thread(postgres.stop)
        await pipeline.until(lambda: not said[worker.pid]["ready"])
        now = time.time_ns() // 1000 // SECOND * SECOND - 600 * SECOND
        many = route(THREE, [OUT] * 1000, every=0).with_columns(device=np.arange(5000, 6000))
        for n in range(200):  # as an edge's lingers are, of a thousand terminals
            moved = n * 10 * SECOND
            await pipeline.append(many.with_columns(time=many.time + moved, received=many.received + moved))
        entry = route(ONE, [OUT, OUT, IN, IN, IN])
        shift = now - int(entry.time[0])
        await pipeline.append(entry.with_columns(time=entry.time + shift, received=entry.received + shift))
        await asyncio.sleep(2.5)
        away = said[worker.pid]
        assert away["resident_bytes"] - before < MOST_GROWTH, "nothing is read that cannot be stored"
        assert away["partitions"]["0"]["lag_s"] > 0, "it grows while nothing can be taken"

        await asyncio.to_thread(postgres.start)
        begun = time.monotonic()
        await pipeline.until_stored(200_015, 120)
        took = time.monotonic() - begun
        assert took < 100, f"{200_000 / took:.0f} reports/s"
        await pipeline.until(lambda: said[worker.pid]["ready"])
        assert said[worker.pid]["resident_bytes"] - before < 4 * MOST_GROWTH
    assert pipeline.query("SELECT kind, page_reason FROM alarm") == [("zone_entry", "delayed")]
    assert pipeline.query("SELECT count(*) FROM event WHERE kind = 'alarm'") == [(1,)]
    assert pipeline.query("SELECT stored, duplicate FROM log_offset") == [(200_015, 0)]
