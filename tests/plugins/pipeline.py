"""A real log and a real database without edges: batches are appended as an edge would, workers run as tasks or processes.

pipeline   a nats-server and a database of this test's own, zones and machines in it; see Pipeline
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest_asyncio

from columns.batch import Batch, DeadLetters, encode
from gateway.ending import end
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from gateway.worker.asking import Asking
from gateway.worker.partition import Partition
from gateway.worker.rules import RulesCache
from gateway.worker.store import PostgresStore
from tests.visited import populate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from nats.aio.client import Client

    from columns.positions import Positions
    from gateway.log import Stream

LEZGATE = Path(sysconfig.get_path("scripts")) / "lezgate"
LOG_BYTES = 64 * 1024**2
BOOT = "b0" * 8


@dataclass
class Pipeline:
    """``database``: as the owner; ``worker_database``: as workers connect."""

    data: Path
    server: NatsServer
    client: Client
    log: Log
    stream: Stream
    database: str
    worker_database: str
    _numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    _workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def append(
        self, rows: Positions, partition: int = 0, *, boot: str = BOOT, number: int | None = None, **more: Any
    ) -> int:
        """One batch, numbered as an edge does it unless a number is given; its sequence in the log."""
        number = self._numbers.get((boot, partition), 0) + 1 if number is None else number
        self._numbers[boot, partition] = number
        data = encode(Batch(boot, number, "jt808", rows, more.pop("dead_letters", DeadLetters.empty()), **more))
        return await self.append_bytes(data, partition, f"{boot}-{partition}-{number}")

    async def append_bytes(self, data: bytes, partition: int, message_id: str) -> int:
        return await self.log.append(partition, data, message_id)

    @contextlib.asynccontextmanager
    async def partition(self, number: int = 0, *, database: str | None = None, **more: Any) -> AsyncIterator[Partition]:
        """A partition that runs in this process."""
        store = PostgresStore(database or self.worker_database)
        one = Partition(
            number, self.stream, Log(self.client), store, RulesCache(), Asking(self.client), 0.02, **more
        )  # fmt: skip
        task = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            await end(task)

    def environment(self, database: str) -> dict[str, str]:
        """Of a command of ours."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("LEZGATE_")}
        return own | {
            "LEZGATE_DATA_DIR": str(self.data),
            "LEZGATE_NATS_URL": self.server.url("worker"),
            "LEZGATE_DATABASE_URL": database,
            "LEZGATE_GATHER_MS": "20",
            "LEZGATE_LOG_MAX_BYTES": str(LOG_BYTES),
        }

    def start_worker(self) -> subprocess.Popen[bytes]:
        """`lezgate worker`."""
        self.data.mkdir(exist_ok=True)
        with (self.data / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [LEZGATE, "worker"], env=self.environment(self.worker_database), stdout=log, stderr=log
            )
        self._workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()

    def query(self, statement: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """One statement, of the owner's unless another role's ``database`` is given."""
        with psycopg.connect(database or self.database, prepare_threshold=None) as conn:
            cursor = conn.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    async def until(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """What ``condition`` says once it is true."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"not within {seconds} s"
            await asyncio.sleep(0.02)
        return found

    async def until_stored(self, n: int, seconds: float = 30) -> None:
        await self.until(lambda: self.query("SELECT count(*) FROM position") == [(n,)], seconds)

    @contextlib.asynccontextmanager
    async def health(self) -> AsyncIterator[dict[int, dict[str, Any]]]:
        """pid -> what that worker said last, kept up to date."""
        said: dict[int, dict[str, Any]] = {}
        client = await connect(self.server.url("api"), "api")

        async def on_report(message: Any) -> None:
            status = orjson.loads(message.data)
            said[status["pid"]] = status

        await client.subscribe("health.worker", cb=on_report)
        try:
            yield said
        finally:
            await client.close()


@pytest_asyncio.fixture
async def pipeline(tmp_path: Path, database: str, worker_database: str, request: Any) -> AsyncIterator[Pipeline]:
    """With as many partitions as ``indirect`` parametrization says, else 1."""
    populate(database)
    server = NatsServer(tmp_path / "nats", load_secrets(tmp_path), LOG_BYTES)
    server.start()
    client = await connect(server.url("worker"), "worker")
    edge = await connect(server.url("edge"), "edge")
    stream = await Log(client).create(getattr(request, "param", 1), LOG_BYTES)
    one = Pipeline(tmp_path / "data", server, client, Log(edge), stream, database, worker_database)
    try:
        yield one
    finally:
        one.stop_workers()
        await client.close()
        await edge.close()
        server.stop()


def owners(said: dict[int, dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """(partition, pid) of all that is owned, as the workers say."""
    for pid, status in said.items():
        for number, partition in status["partitions"].items():
            if partition["owned"]:
                yield int(number), pid
