"""A host that dies sends no FIN: its worker's session ends by keepalives, and its partition is somebody else's within 15 s.

The host is a network namespace, and its death the end of its cable. Needs root and `ip`; skipped elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from gateway.worker.store import PostgresStore
from storage import embedded
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from tests.plugins.postgres import new_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKER = """
import asyncio, sys
from gateway.worker import store

async def run():
    options = store.CONNECTION["options"].replace(f"idle_session_timeout={store.SILENT_S}s", "idle_session_timeout=0")
    store.CONNECTION["options"] = options  # keepalives alone end it
    async with store.PostgresStore(sys.argv[1]).session(0) as session:
        print(await session.lock(), flush=True)
        await asyncio.sleep(600)

asyncio.run(run())
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def host() -> Iterator[tuple[str, str, str]]:
    """(namespace, our end of its cable, our address on it)."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("a network namespace needs root and `ip`")
    name, ours, theirs = f"lezgate-{os.getpid()}", f"lz{os.getpid()}a", f"lz{os.getpid()}b"
    net = f"10.77.{os.getpid() % 250}"
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace here: {error.stderr.decode().strip()}")
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _ip("addr", "add", f"{net}.1/24", "dev", ours)
        _ip("link", "set", ours, "up")
        _ip("-n", name, "addr", "add", f"{net}.2/24", "dev", theirs)
        _ip("-n", name, "link", "set", theirs, "up")
        yield name, ours, f"{net}.1"
    finally:
        _ip("netns", "del", name)


async def test_a_dead_hosts_partition_is_free_again(
    host: tuple[str, str, str], reachable_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server notices by itself that nobody is there, ends the session, and the lock is another worker's."""
    namespace, cable, address = host
    monkeypatch.setitem(embedded._CONF, "listen_addresses", address)
    postgres = EmbeddedPostgres(reachable_dir / f"host-{os.getpid()}", new_secrets())
    postgres.start()
    try:
        migrate(postgres.url("owner"))
        with (postgres.cluster / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {address}/24 scram-sha-256\n")
        with psycopg.connect(postgres.url("superuser"), autocommit=True) as conn:
            conn.execute("SELECT pg_reload_conf()")
        parts = psycopg.conninfo.conninfo_to_dict(postgres.url("worker"))
        there = psycopg.conninfo.make_conninfo("", **{**parts, "host": address})
        worker = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", namespace, sys.executable, "-c", WORKER, there, stdout=subprocess.PIPE
        )
        try:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"True\n"
            async with PostgresStore(postgres.url("worker")).session(0) as other:
                assert not await other.lock()
                _ip("link", "set", cable, "down")
                begun = time.monotonic()
                async with asyncio.timeout(60):
                    while not await other.lock():  # noqa: ASYNC110  a lock tells nobody
                        await asyncio.sleep(0.1)
                took = time.monotonic() - begun
            assert took > 1, "the worker itself must not have ended"
        finally:
            worker.kill()
            await worker.wait()
    finally:
        postgres.stop()
