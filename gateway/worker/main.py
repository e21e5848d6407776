"""The worker process: partitions of the log, decided and stored."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import structlog

from gateway.health import report
from gateway.log import Log, connect
from gateway.nodes import database_url, nats_url
from gateway.worker.partition import Partition
from gateway.worker.rules import RulesCache

if TYPE_CHECKING:
    from gateway.config import Settings

log = structlog.get_logger()


async def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT; a partition that is in a commit is rolled back by the server and done again."""
    client = await connect(nats_url(settings, "worker"), "worker")
    broker = Log(client)
    stream = await broker.create(settings.partitions, settings.log_max_bytes)
    rules = RulesCache()
    database = database_url(settings, "worker")
    partitions = [
        Partition(number, stream, broker, database, rules, settings.gather_ms / 1000)
        for number in range(stream.partitions)
    ]

    def status() -> dict[str, Any]:
        troubles = [f"partition {one.number}: {one.trouble}" for one in partitions if one.trouble]
        return {
            "ready": not troubles,
            "reason": "; ".join(troubles) or None,
            "partitions": {
                str(one.number): {"owned": one.owned, "sequence": one.sequence, "lag_s": round(one.lag_s, 3),
                             "commits": one.commits, "rows": one.rows}
                for one in partitions
            },
        }  # fmt: skip

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(one.run()) for one in partitions]
    tasks.append(asyncio.create_task(report(client, "worker", status)))
    log.info("worker runs", stream=stream.identity, partitions=stream.partitions)
    ending: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
    for task in done - {ending}:
        task.result()  # a partition never returns: this raises what ended it
