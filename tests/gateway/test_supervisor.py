"""What the supervisor does when a store goes away, does not start, or comes back elsewhere; where nats-server listens."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import psycopg
import pytest

from gateway import child, nats_server, supervisor
from gateway.child import Child
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


class Script:
    """A child that writes its pid down, and then lives for ``seconds``, or what the file `seconds` says."""

    def __init__(self, directory, *, overlaps: bool = False) -> None:
        self._pids, self._seconds = directory / "pids", directory / "seconds"
        self._pids.touch()
        self.lives(60)
        lines = f"import os, time; open({str(self._pids)!r}, 'a').write(str(os.getpid()) + ' ');"
        lines += f"time.sleep(float(open({str(self._seconds)!r}).read()))"
        self.child = Child("script", [sys.executable, "-c", lines], {}, overlaps=overlaps)
        self.keeping = asyncio.create_task(self.child.keep())

    def lives(self, seconds: float) -> None:
        self._seconds.write_text(str(seconds))

    @property
    def pids(self) -> list[int]:
        return [int(word) for word in self._pids.read_text().split()]

    @property
    def living(self) -> list[int]:
        return [pid for pid in self.pids if Path(f"/proc/{pid}").exists()]

    async def stop(self) -> None:
        self.child.stop()
        await asyncio.wait_for(self.keeping, 20)
        assert self.living == []


async def test_a_store_is_started_until_it_stands(tmp_path, quick):
    """Whatever keeps it from starting (no file, a database's error, ours) is tried again."""
    one = Supervisor(Settings(data_dir=str(tmp_path)))
    store = Store(RuntimeError("a lock"), OSError("no space"), psycopg.OperationalError("away"))
    watching = asyncio.create_task(one._watch_store(store))
    await until(store.alive)
    assert not watching.done()
    watching.cancel()


async def test_children_follow_a_store_that_moved(tmp_path, quick):
    """A child reads the stores' addresses when it starts: when one changes, it is ended and started again."""
    script = Script(tmp_path)
    one = Supervisor(Settings(data_dir=str(tmp_path)))
    one._children.append(script.child)
    await until(lambda: len(script.pids) == 1)
    watching = asyncio.create_task(one._watch_store(Store()))
    await until(lambda: len(script.pids) == 2 and len(script.living) == 1)
    watching.cancel()
    await script.stop()


async def test_a_child_that_ends_is_started_again(tmp_path):
    """However often it ends."""
    script = Script(tmp_path)
    script.lives(0)
    await until(lambda: len(script.pids) > 2)
    await script.stop()


async def test_a_successor_works_before_the_old_one_ends(tmp_path):
    """Both run while the new one is tried; then the new one alone, and it is kept like the old one."""
    script = Script(tmp_path, overlaps=True)
    await until(lambda: len(script.pids) == 1)
    together = []
    assert await script.child.replace(lambda pid: pid in script.pids and bool(together.append(script.living)) is False)
    old, new = script.pids
    assert sorted(together[0]) == sorted([old, new])
    await until(lambda: script.living == [new])
    os.kill(new, signal.SIGKILL)
    await until(lambda: len(script.pids) == 3)
    await script.stop()


async def test_a_successor_that_does_not_work_changes_nothing(tmp_path, monkeypatch):
    """One that ends at once, and one that never becomes ready: the old one goes on, alone."""
    monkeypatch.setattr(child, "COMES_UP_S", 2.0)
    script = Script(tmp_path, overlaps=True)
    await until(lambda: len(script.pids) == 1)
    (old,) = script.pids
    script.lives(0)
    assert not await script.child.replace(lambda _: False)
    script.lives(60)
    assert not await script.child.replace(lambda _: False)
    assert script.living == [old]
    await script.stop()


async def test_what_cannot_run_twice_is_ended_first(tmp_path):
    """Without an overlap the old process ends, then the new one is started."""
    script = Script(tmp_path)
    await until(lambda: len(script.pids) == 1)
    assert await script.child.replace(lambda pid: script.living == [pid])
    assert len(script.pids) == 2
    await script.stop()


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
