"""The worker process: partitions of the log, decided and stored."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from gateway.ending import end
from gateway.health import report
from gateway.histogram import Histogram
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nodes import database_url, nats_url
from gateway.worker.asking import Asking
from gateway.worker.evidence import keep_evidence
from gateway.worker.partition import Partition
from gateway.worker.rules import RulesCache
from gateway.worker.share import Share
from gateway.worker.signals import watch_contradictions
from gateway.worker.store import PostgresStore
from storage import retention, terminal_messages
from storage.partitions import ensure_partitions, window
from storage.ruleset import settle_machines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.config import Settings

CHORES_EVERY_S = 3600.0
RETRY_S = 5.0
MOST_LAG_S = 60.0  # what is decided so late says nothing of who is silent now
log = structlog.get_logger()


async def keep_partitions(database: str) -> None:
    """Makes the coming days' partitions of `position`, now and every hour; workers that do so together take turns."""

    async def make(connection: psycopg.AsyncConnection) -> None:
        await ensure_partitions(connection, *window(time.time_ns() // 1000))

    await _every_hour(database, make, "partitions not made yet")


async def bound_messages(database: str) -> None:
    """Drops the oldest of what terminals said beyond the bound, now and every hour."""
    before = newest = 0

    async def trim(connection: psycopg.AsyncConnection) -> None:
        nonlocal before, newest
        found = await terminal_messages.trim(connection, before)
        if found is not None:
            # One round behind: what another worker is about to commit may have an id below the newest.
            before, newest = newest, found

    await _every_hour(database, trim, "messages not bounded yet")


async def keep_for_a_time(database: str, days: Mapping[str, int]) -> None:
    """Makes the daily statistics and drops what is older than it is kept, now and every hour; one worker does it."""
    await _every_hour(database, lambda connection: retention.keep(connection, days), "old data not dropped yet")


async def settle(database: str) -> None:
    """Brings the machines' rows up to their versions of today: a later date that was stated has come."""
    await _every_hour(database, settle_machines, "machines not settled yet")


async def _every_hour(
    database: str, chore: Callable[[psycopg.AsyncConnection[Any]], Awaitable[object]], trouble: str
) -> None:
    """For ever; while the database is away, ``trouble`` is said and the chore tried again soon."""
    while True:
        wait = CHORES_EVERY_S
        try:
            async with await psycopg.AsyncConnection.connect(
                database, autocommit=True, connect_timeout=5
            ) as connection:
                await chore(connection)
        except psycopg.Error as error:
            log.warning(trouble, error=str(error).strip())
            wait = RETRY_S
        await asyncio.sleep(wait)


async def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT; a partition that is in a commit is rolled back by the server and done again."""
    client = await connect(lambda: nats_url(settings, "worker"), "worker")
    broker = Log(client)
    stream = await broker.create(settings.log_partitions, settings.log_max_bytes, settings.log_replicas)
    rules, asking = RulesCache(), Asking(client)
    database = database_url(settings, "worker")
    store = PostgresStore(database, trim_after_backup=settings.trim_after == "backup")
    share, latency = Share(store, stream.partitions, lambda: client.is_connected), Histogram()
    partitions = [
        Partition(number, stream, broker, store, rules, asking, settings.gather_ms / 1000, turns=share, latency=latency)
        for number in range(stream.partitions)
    ]

    def status() -> dict[str, Any]:
        troubles = [f"partition {one.number}: {one.trouble}" for one in partitions if one.trouble]
        if share.trouble:
            troubles.insert(0, f"database: {share.trouble}")
        return {
            "ready": not troubles,
            "reason": "; ".join(troubles) or None,
            "workers": share.members,
            "rules_epoch": rules.epoch,
            "commit_latency": latency.to_json(),
            "partitions": {str(one.number): one.status() for one in partitions},
            "queries": dict(asking.counts),
        }

    def listens() -> bool:
        return all(one.trouble is None and one.lag_s < MOST_LAG_S for one in partitions)

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(one.run()) for one in partitions]
    tasks.append(asyncio.create_task(share.run()))
    tasks.append(asyncio.create_task(report(client, "worker", status)))
    tasks.append(asyncio.create_task(keep_partitions(database)))
    tasks.append(asyncio.create_task(bound_messages(database)))
    tasks.append(asyncio.create_task(settle(database)))
    tasks.append(asyncio.create_task(keep_for_a_time(database, settings.kept_days)))
    tasks.append(asyncio.create_task(keep_evidence(database, settings.evidence_days)))
    tasks.append(asyncio.create_task(watch_contradictions(database, settings, listens)))
    tasks.append(asyncio.create_task(rules.watch(database)))
    tasks.append(asyncio.create_task(asking.run()))
    log.info("worker runs", stream=stream.identity, partitions=stream.partitions)
    ending: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
    await end(*tasks)
    await client.close()
    for task in done - {ending}:
        task.result()  # a partition never returns: this raises what ended it
