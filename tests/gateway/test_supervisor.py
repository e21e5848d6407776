"""What the supervisor does when a store goes away, does not start, or comes back elsewhere; where nats-server listens."""

from __future__ import annotations

import asyncio
import socket
import sysconfig

import psycopg
import pytest

from gateway import nats_server, supervisor
from gateway.config import Settings
from gateway.nats_server import NatsServer, free_port
from gateway.secrets import load_secrets
from gateway.supervisor import Supervisor


class Store:
    """Dead at first; its start fails with each trouble in turn, and then gives it another address."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.address, self.living = "one", False

    def alive(self) -> bool:
        return self.living

    def start(self) -> None:
        if self.troubles:
            raise self.troubles.pop()
        self.address, self.living = "two", True

    def url(self, role: str) -> str:
        return f"{role}@{self.address}"


async def until(condition) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(supervisor, "WATCH_S", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_WAIT_S", 0.01)


async def test_a_store_is_started_until_it_stands(tmp_path, quick):
    """Whatever keeps it from starting (no file, a database's error, ours) is tried again."""
    one = Supervisor(Settings(data_dir=str(tmp_path)))
    store = Store(RuntimeError("a lock"), OSError("no space"), psycopg.OperationalError("away"))
    watching = asyncio.create_task(one._watch_store(store))
    await until(store.alive)
    assert not watching.done()
    watching.cancel()


async def test_children_follow_a_store_that_moved(tmp_path, quick, monkeypatch):
    """A child reads the stores' addresses when it starts: when one changes, it is ended and started again."""
    script = tmp_path / "lezgate"
    script.write_text(
        f"import os, time\nopen({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(60)"
    )
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "pids").touch()
    one = Supervisor(Settings(data_dir=str(tmp_path)))
    keeping = asyncio.create_task(one._keep("edge-0", ["edge"]))

    def pids() -> list[str]:
        return (tmp_path / "pids").read_text().split()

    await until(lambda: len(pids()) == 1)
    store = Store()
    watching = asyncio.create_task(one._watch_store(store))
    await until(lambda: len(pids()) == 2)
    one._stopping.set()
    await asyncio.wait_for(keeping, 10)
    watching.cancel()
    assert len(set(pids())) == 2


def test_the_port_is_no_ephemeral_one(tmp_path, monkeypatch):
    """No outgoing connection gets it while the server is away; where there is no room below, the server chooses."""
    limits = tmp_path / "ip_local_port_range"
    limits.write_text("20003\t60999\n")
    monkeypatch.setattr(nats_server, "EPHEMERAL", limits)
    assert {free_port() for _ in range(20)} <= {20000, 20001, 20002, -1}
    limits.write_text("1024\t65535\n")
    assert free_port() == -1


def test_a_taken_port_is_given_up(tmp_path):
    """The port is kept from start to start, and another one is found where somebody else has it."""
    server = NatsServer(tmp_path / "nats", load_secrets(tmp_path), 64 * 1024**2)
    server.start()
    first = server.port
    server._end()
    server.start()
    assert server.port == first
    server._end()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        server.start()
        assert server.port != first
    server.stop()
