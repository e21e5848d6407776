"""The worker's chore: evidence is copied and dropped by itself, and a cut connection is no more than a pause."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from gateway.ending import end
from gateway.worker import evidence as chore
from tests.visited import IN, ONE, OUT, Worker, edit, populate, route

pytestmark = pytest.mark.asyncio


async def test_evidence_is_kept(database: str, worker_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the worker's own role: what is due is copied, what is over is dropped, also after the session was cut off."""
    for name in ("COPY_EVERY_S", "DROP_EVERY_S", "RETRY_S"):
        monkeypatch.setattr(chore, name, 0.05)
    populate(database)

    async def until(statement: str) -> None:
        async with asyncio.timeout(20):
            while not edit(database, statement)[0][0]:  # noqa: ASYNC110 - the worker tells nobody
                await asyncio.sleep(0.05)

    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        worker = await Worker.of(connection)
        await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
    task = asyncio.create_task(chore.keep_evidence(worker_database, 1096))
    try:
        await until("SELECT count(*) = 9 FROM evidence_fix")
        cut = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'lezgate-evidence'"
        )
        assert edit(worker_database, cut) == [(1,)]
        edit(
            database,
            "UPDATE visit SET entered_at = now() - interval '1101 days', exited_at = now() - interval '1100 days'",
        )
        edit(database, "UPDATE alarm SET state = 'closed'")
        await until("SELECT count(*) = 0 FROM evidence_fix")
        assert not task.done()
    finally:
        await end(task)
