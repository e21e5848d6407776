"""A full disk and a full log, against a real nats-server: nothing is acknowledged, nothing is torn, and it heals by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from columns.batch import decode
from gateway.config import load
from gateway.disk_floor import MIB, DiskFloor
from gateway.edge import hub as hub_module
from gateway.edge.main import Edge
from gateway.health import Health
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from tests.plugins.edge import Caller, until

if TYPE_CHECKING:
    from pathlib import Path

HEALED_S = 5.0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB of its own; skipped where nobody may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"may not mount a tmpfs: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


class Station:
    """A real nats-server with its store in ``directory``, a stream of ``max_bytes``, and an edge with a floor."""

    def __init__(self, directory: Path, secrets: Path, max_bytes: int, floor: int) -> None:
        secrets.mkdir(exist_ok=True)
        self.settings = load(None, {
            "LEZGATE_DATA_DIR": str(directory), "LEZGATE_LOG_MAX_BYTES": str(max_bytes), "LEZGATE_ENROLMENT": "open",
            "LEZGATE_DISK_FLOOR_BYTES": str(floor), "LEZGATE_AUTH_KEY": "ab" * 16,
        })  # fmt: skip
        self.server = NatsServer(directory / "nats", load_secrets(secrets), max_bytes)
        self.server.start()

    async def open(self) -> None:
        self.worker = await connect(self.server.url("worker"), "worker")
        self.log = Log(self.worker)
        self.stream = await self.log.create(1, self.settings.log_max_bytes)
        self.api = await connect(self.server.url("api"), "api")
        self.health = Health(("edge",))
        await self.health.listen(self.api)
        self.edge = Edge(self.settings, await connect(self.server.url("edge"), "edge"))
        await self.edge.start()
        self.edge._listening = True

    async def close(self) -> None:
        for task in self.edge._tasks:
            task.cancel()
        for client in (self.edge.client, self.api, self.worker):
            await client.close()

    async def fill(self, caller: Caller, reports: int) -> None:
        """These many reports of some 2 KB each; nobody waits for their acknowledgements."""
        for _ in range(reports):
            caller.say(caller.report())
        self.edge.hub.flush()
        await asyncio.sleep(0)

    async def everything(self) -> list:
        reader = self.log.reader(0, 0, self.stream)
        found = []
        while messages := await reader.gather(0.05, 1 << 20):
            found += [decode(data) for _, data in messages]
        await reader.close()
        return found

    async def ready(self, seconds: float = HEALED_S) -> None:
        await until(lambda: self.health.statuses() and not self.health.reasons(), seconds)


def healed_in(seconds: float) -> None:
    """With -s it says so: the figure of docs/reliability.md."""
    sys.stdout.write(f"\nready and acknowledging {seconds:.2f} s after there was room\n")
    assert seconds < HEALED_S


def numbers(batches) -> list[int]:
    return [batch.number for batch in batches]


async def joined(station: Station) -> Caller:
    caller = Caller(station.edge.hub, "13811111111")
    caller.say(caller.authenticate())
    station.edge.hub.flush()
    await until(lambda: station.edge.sessions.authenticated[caller.connection.slot])
    return caller


async def test_a_floor_above_the_free_space(tmp_path, monkeypatch):
    """Nothing is appended and nothing acknowledged; the buffer fills, reading pauses; readiness says why, in two languages
    and with what to do. With room again it goes on within 5 s, and every report is there, once."""
    monkeypatch.setattr(hub_module, "PAUSE_BYTES", 100_000)
    station = Station(tmp_path / "data", tmp_path / "secrets", 64 * MIB, 0)
    try:
        await station.open()
        caller = await joined(station)
        await station.ready()
        before = (await station.worker.jetstream().stream_info("POS")).state.last_seq
        station.edge.log.floor.floor = 1 << 60
        await until(station.health.reasons, 5)  # nobody has reported anything yet
        (reason,) = station.health.reasons()
        assert "LEZGATE_DISK_FLOOR_BYTES" in reason
        assert "free space there" in reason
        assert "请清理磁盘空间" in reason.partition(" | ")[2]
        await station.fill(caller, 1000)
        await asyncio.sleep(0.5)
        hub = station.edge.hub
        assert hub.paused
        assert caller.results(0x0200) == []
        assert hub.appender.pending < 100_000 + hub_module.FLUSH_BYTES
        assert (await station.worker.jetstream().stream_info("POS")).state.last_seq == before
        await until(lambda: "reading is paused" in station.health.reasons()[0], 5)
        station.edge.log.floor.floor = 0
        begun = time.monotonic()
        await station.ready()
        healed_in(time.monotonic() - begun)
        await hub.appender.close()
        assert caller.results(0x0200) == [0] * 1000
        assert not hub.paused
        batches = await station.everything()
        assert sum(len(batch.positions) for batch in batches) == 1000
        assert numbers(batches) == list(range(1, len(batches) + 1))
    finally:
        await station.close()
        station.server.stop()


async def test_a_disk_that_another_program_fills(tmp_path, small_disk):
    """On a real small disk: edges stop at the floor, JetStream never meets the end, and goes on when a file is removed."""
    station = Station(small_disk / "data", tmp_path / "secrets", 64 * MIB, 6 * MIB)
    try:
        await station.open()
        caller = await joined(station)
        await station.ready()
        junk = small_disk / "junk"
        junk.write_bytes(bytes(14 * MIB))
        floor = station.edge.log.floor
        while station.edge.log.trouble is None:  # the log itself takes the rest
            await station.fill(caller, 2000)
            await asyncio.sleep(0.02)
        taken = station.edge.hub.appender.appended_rows
        await asyncio.sleep(1.5)
        assert station.edge.hub.appender.appended_rows == taken
        assert floor.free() > 6 * MIB - MIB, "one batch beyond the floor, and what its block needs"
        assert len(caller.results(0x0200)) == taken
        with junk.open("ab") as more:  # and the other program goes on to the very end
            try:
                while more.write(bytes(64 * 1024)):
                    more.flush()
            except OSError:
                pass
        await asyncio.sleep(0.5)
        assert len(caller.results(0x0200)) == taken
        junk.unlink(missing_ok=True)
        begun = time.monotonic()
        await until(lambda: station.edge.hub.appender.appended_rows > taken, HEALED_S)
        await station.ready()
        healed_in(time.monotonic() - begun)
        await station.edge.hub.appender.close()
        batches = await station.everything()
        assert set(caller.results(0x0200)) == {0}
        assert sum(len(batch.positions) for batch in batches) == len(caller.results(0x0200))
        assert numbers(batches) == list(range(1, len(batches) + 1))
        assert "critical write error" not in (small_disk / "data/nats/server.log").read_text().lower()
    finally:
        await station.close()
        station.server.stop()


async def test_a_log_that_is_full(tmp_path, monkeypatch):
    """LEZGATE_LOG_MAX_BYTES is reached: the same as with a full disk, until a worker has trimmed."""
    monkeypatch.setattr(hub_module, "PAUSE_BYTES", 100_000)
    station = Station(tmp_path / "data", tmp_path / "secrets", 1 * MIB, 0)
    try:
        await station.open()
        caller = await joined(station)
        while station.edge.log.trouble is None:
            await station.fill(caller, 300)
            await asyncio.sleep(0.01)
        await station.fill(caller, 1000)
        await asyncio.sleep(0.5)
        taken = len(caller.results(0x0200))
        assert taken == station.edge.hub.appender.appended_rows
        assert station.edge.hub.paused
        await until(station.health.reasons, 5)
        await until(lambda: "the log is full" in station.health.reasons()[0], 5)
        english, _, chinese = station.health.reasons()[0].partition(" | ")
        assert "LEZGATE_LOG_MAX_BYTES" in english
        assert "日志已写满" in chinese
        first = await station.everything()
        await station.log.trim(0, (await station.worker.jetstream().stream_info("POS")).state.last_seq)
        begun = time.monotonic()
        await station.ready()
        healed_in(time.monotonic() - begun)
        await station.edge.hub.appender.close()
        rest = await station.everything()
        assert sum(len(batch.positions) for batch in first + rest) == len(caller.results(0x0200)) > taken
        assert numbers(first + rest) == list(range(1, len(first + rest) + 1))
    finally:
        await station.close()
        station.server.stop()


async def test_a_server_that_met_the_end_of_the_disk(tmp_path, small_disk):
    """Without a floor JetStream meets ENOSPC and takes nothing more, also when there is room again: then, and not before, it
    asks to be started, and goes on with all that it had acknowledged."""
    (tmp_path / "secrets").mkdir()
    server = NatsServer(small_disk / "nats", load_secrets(tmp_path / "secrets"), 64 * MIB)
    server.start()
    client = await connect(server.url("worker"), "worker")
    log = Log(client)
    stream = await log.create(1, 64 * MIB)
    edge = await connect(server.url("edge"), "edge")
    junk = small_disk / "junk"
    junk.write_bytes(bytes(16 * MIB))
    appends = Log(edge)
    count = 0
    appending = asyncio.create_task(appends.append(0, os.urandom(200_000), "x-0"))
    while (await asyncio.wait({appending}, timeout=1))[0]:
        count += 1
        appending = asyncio.create_task(appends.append(0, os.urandom(200_000), f"x-{count}"))
    assert server.alive()
    assert server._full, "and no room yet"
    junk.unlink()
    assert not server.alive()
    await asyncio.to_thread(server.start)
    await asyncio.wait_for(appending, 20)
    reader = log.reader(0, 0, stream)
    found = []
    while messages := await reader.gather(0.05, 1 << 24):
        found += messages
    assert [len(data) for _, data in found] == [200_000] * (count + 1)
    assert server.alive()
    for one in (client, edge):
        await one.close()
    server.stop()


def test_a_place_that_is_not_there_yet(tmp_path):
    """The floor looks at the nearest folder that is: an edge may start before the server has made its own."""
    floor = DiskFloor(tmp_path / "not" / "yet", 1 << 60)
    assert floor.free() == DiskFloor(tmp_path, 0).free() or abs(floor.free() - DiskFloor(tmp_path, 0).free()) < 64 * MIB
    assert "not/yet" in (floor.reason() or "")
    assert DiskFloor(tmp_path / "not", 0).reason() is None
