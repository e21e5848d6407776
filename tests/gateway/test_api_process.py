"""The api process alone: it answers from its start, and says of everything that is away what it is and what to do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess

import httpx
import orjson
import psycopg
import pytest

from gateway.ending import end
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from storage.migrate import migrate
from tests.plugins.serve import LEZGATE, free_port

# nats-py leaves the sockets of tries that fail to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
LATE = "late_one"


class Api:
    """`lezgate api` over a log and a database that are not there yet."""

    def __init__(self, directory, nats: NatsServer, database: str) -> None:
        self.port = free_port()
        self.log = directory / "api.log"
        own = {k: v for k, v in os.environ.items() if not k.startswith("LEZGATE_")}
        environment = {
            **own,
            "LEZGATE_DATA_DIR": str(directory / "var"),
            "LEZGATE_HTTP_PORT": str(self.port),
            "LEZGATE_NATS_URL": nats.url("api"),
            "LEZGATE_DATABASE_URL": database,
            "LEZGATE_MQTT_URL": "mqtt://127.0.0.1:1",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([LEZGATE, "api"], env=environment, stdout=log, stderr=log)

    async def ask(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def reasons(self) -> list[str]:
        answer = await self.ask("/readyz")
        found = answer.json()["reasons"]
        assert answer.status_code == (503 if found else 200)
        assert (await self.ask("/livez")).status_code == 200
        for reason in found:
            assert re.fullmatch(r"[a-z]+: [^|]+ \| [^|]*[\u4e00-\u9fff][^|]*", reason), reason
        return found

    async def until(self, *wanted: str) -> None:
        """Waits for exactly these reasons, each by how it begins."""
        found: list[str] = []
        async with asyncio.timeout(40):
            while True:
                try:
                    found = await self.reasons()
                except httpx.TransportError:  # it has not begun to listen
                    assert self.process.poll() is None, self.log.read_text()
                else:
                    if len(found) == len(wanted) and all(map(str.startswith, sorted(found), sorted(wanted))):
                        return
                await asyncio.sleep(0.1)


@pytest.fixture
def late_database(postgres_server):
    yield postgres_server.url("api", LATE)
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {LATE} WITH (FORCE)")


@pytest.fixture
def nats(tmp_path):
    """A server that has a port already and does not run."""
    one = NatsServer(tmp_path / "nats", load_secrets(tmp_path), 64 * 1024**2)
    one.start()
    one.stop()
    yield one
    one.stop()


@pytest.fixture
def api(tmp_path, nats, late_database):
    one = Api(tmp_path, nats, late_database)
    yield one
    one.process.terminate()
    one.process.wait(20)


async def test_everything_comes_one_after_the_other(api, nats, postgres_server):
    """At the start and later: log, stream, processes, registry, broker, partitions, database and its schema."""
    no_database = (
        "database: it does not answer (",
        "log: not connected to NATS; start nats-server, or check LEZGATE_NATS_URL",
    )
    await api.until(*no_database)
    assert (await api.ask("/metrics")).status_code == 200
    nats.start()
    await api.until(
        no_database[0], "log: there is no stream yet; `lezgate serve` or the first `lezgate worker` makes it"
    )
    worker = await connect(nats.url("worker"), "worker")
    await Log(worker).create(2, 16 * 1024**2)
    none_run = [f"{role}: none is running; start `lezgate {role}" for role in ("edge", "worker")]
    await api.until(no_database[0], *none_run, "mqtt: none is running; start `lezgate edge --mqtt`")
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {LATE} OWNER lezgate_owner")
        connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {LATE} TO lezgate_worker, lezgate_api")
    await api.until("database: its schema is missing, run `lezgate db migrate`", *none_run, "mqtt: none is running")
    migrate(postgres_server.url("owner", LATE))
    await api.until(*none_run, "mqtt: none is running")

    edge = await connect(nats.url("edge"), "edge")
    said = {
        "edge": {"ready": False, "reason": "no registry yet: waiting for the api | 尚未取得终端登记表"},
        "mqtt": {"ready": False, "reason": "the MQTT broker is not connected | 未连接 MQTT 服务器"},
        "worker": {"ready": True, "partitions": {"0": {"owned": True}, "1": {"owned": False}}},
    }

    async def speak() -> None:
        while True:
            for client, role in ((edge, "edge"), (edge, "mqtt"), (worker, "worker")):
                await client.publish(f"health.{role}", orjson.dumps({"pid": 1, "host": role, **said[role]}))
            await asyncio.sleep(0.3)

    speaking = asyncio.create_task(speak())
    await api.until("edge: no registry yet", "mqtt: the MQTT broker", "worker: nobody owns partition 1 of the log")
    said["edge"] = said["mqtt"] = {"ready": True, "reason": None}
    said["worker"] = {"ready": True, "partitions": {"0": {"owned": True}, "1": {"owned": True}}}
    await api.until()

    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {LATE} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [LATE])
        await api.until("database: it does not answer (")
        connection.execute(f"ALTER DATABASE {LATE} ALLOW_CONNECTIONS true")
    await api.until()
    await end(speaking)
    for client in (worker, edge):
        await client.close()
    nats.stop()
    await api.until("log: not connected to NATS")
    lines = [json.loads(line) for line in api.log.read_text().splitlines()]
    assert {line["process"] for line in lines} == {"api"}
    assert len(lines) < 500, "whatever is away, and however long: no flood"
