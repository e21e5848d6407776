"""The log's server goes away, or the leader of a cluster does, under load, on real servers: an edge's hub, appender and log on
one side, readers on the other. `make log-outage` leaves the server away for longer."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest

from columns.batch import decode
from columns.identity import device_of
from gateway.edge import hub as hub_module
from gateway.ending import end
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from protocols.jt808 import terminal
from tests.plugins.edge import Caller, until

AWAY_S = float(os.environ.get("OUTAGE_S", "5"))
TERMINALS, PARTITIONS = 40, 2
BOUND = 100_000
TICK_S = 0.02
START_US = 1_700_000_000_000_000
ELECTED_S = 60.0  # four to nine on a machine that does nothing else


class Load:
    """Terminals that report every 20 ms while they are read, and two readers of all that the log has."""

    def __init__(self, bench, log: Log, stream) -> None:
        self.bench = bench
        self.batches: list[list] = [[] for _ in range(PARTITIONS)]
        self.heard = time.monotonic()
        self.longest_s = 0.0
        self.most_pending = 0
        self.callers: list[Caller] = []
        self.sent: dict[Caller, list[int]] = {}
        self._readers = [log.reader(partition, 0, stream) for partition in range(PARTITIONS)]
        self._tasks: list[asyncio.Task] = []

    async def open(self) -> None:
        self.callers = [Caller(self.bench.hub, f"138{i:08}") for i in range(TERMINALS)]
        for one in self.callers:
            one.say(one.authenticate())
        self.bench.hub.flush()
        await until(lambda: self.bench.hub.sessions.authenticated.sum() == TERMINALS, 20)
        self.sent = {one: [] for one in self.callers}
        self._tasks = [asyncio.create_task(self._report())]
        self._tasks += [asyncio.create_task(self._read(partition)) for partition in range(PARTITIONS)]

    async def _report(self) -> None:
        """Each report is a second later than the terminal's last, and has the serial number that its place says."""
        while True:
            for one in self.callers:
                if one.transport.reading:
                    sent = self.sent[one]
                    one.serial = len(sent)
                    sent.append(START_US + len(sent) * 1_000_000)
                    one.say(one.frame(0x0200, terminal.location(sent[-1], 116.0, 36.5)))
            self.bench.hub.flush()
            self.most_pending = max(self.most_pending, self.bench.hub.appender.pending)
            await asyncio.sleep(TICK_S)

    async def _read(self, partition: int) -> None:
        while True:
            for _, data in await self._readers[partition].gather(0.02, 1 << 20):
                self.batches[partition].append(decode(data))
                now = time.monotonic()
                self.longest_s, self.heard = max(self.longest_s, now - self.heard), now

    def acknowledged(self) -> int:
        return sum(self.bench.hub.latency.counts)

    async def goes_on(self, seconds: float) -> None:
        """Returns when new reports are acknowledged and read."""
        before, read = self.acknowledged(), self.rows()
        await until(lambda: self.acknowledged() > before + TERMINALS and self.rows() > read + TERMINALS, seconds)

    def rows(self) -> int:
        return sum(len(batch.positions) for batches in self.batches for batch in batches)

    async def close(self) -> None:
        """Ends the load, and returns when everything is on disk and read."""
        self._tasks[0].cancel()
        await asyncio.wait_for(self.bench.hub.appender.close(), ELECTED_S)
        await until(lambda: len(self.stored()) >= sum(map(len, self.sent.values())), ELECTED_S)
        await end(*self._tasks)
        for one in self._readers:
            await one.close()

    def stored(self) -> set[tuple[int, int]]:
        return {
            (device, at)
            for batches in self.batches
            for batch in batches
            for device, at in zip(batch.positions.device.tolist(), batch.positions.time.tolist(), strict=True)
        }

    def check(self) -> None:
        """0 acknowledged lost; batches numbered without a gap; every terminal's reports in the order that it sent them."""
        stored = self.stored()
        lost = [
            (one.phone, reply.request)
            for one in self.callers
            for reply in one.replies
            if reply.request_message == 0x0200
            and reply.result == 0
            and (device_of(one.phone), self.sent[one][reply.request - 1]) not in stored
        ]
        assert lost == []
        assert sum(one.results(0x0200).count(0) for one in self.callers) == sum(map(len, self.sent.values()))
        for batches in self.batches:
            fresh = []
            for batch in batches:  # a number that was seen is a resend beyond the server's window: a reader drops it
                if not fresh or batch.number > fresh[-1].number:
                    fresh.append(batch)
            assert [batch.number for batch in fresh] == list(range(1, len(fresh) + 1))
            last: dict[int, int] = {}
            for batch in fresh:
                for device, at in zip(batch.positions.device.tolist(), batch.positions.time.tolist(), strict=True):
                    assert at > last.get(device, 0)
                    last[device] = at

    def tell(self, what: str, back_s: float) -> None:
        """For -s: the figure of docs/reliability.md."""
        sys.stdout.write(
            f"\n{what}: acknowledged and read again after {back_s:.2f} s; {self.most_pending} bytes held at most;"
            f" {self.acknowledged()} reports acknowledged, {len(self.stored())} read\n"
        )


@pytest.fixture
def server(tmp_path):
    one = NatsServer(tmp_path / "nats", load_secrets(tmp_path), 256 * 1024**2)
    one.start()
    yield one
    one.stop()


async def loaded(edge_bench, monkeypatch, url, replicas: int) -> tuple[Load, list]:
    monkeypatch.setattr(hub_module, "PAUSE_BYTES", BOUND)
    worker = await connect(url("worker"), "worker")
    log = Log(worker)
    stream = await asyncio.wait_for(log.create(PARTITIONS, 256 * 1024**2, replicas), ELECTED_S)
    edge = await connect(url("edge"), "edge")
    load = Load(edge_bench(PARTITIONS, Log(edge)), log, stream)
    await load.open()
    await load.goes_on(20)
    return load, [worker, edge]


async def test_the_server_is_away(edge_bench, monkeypatch, server):
    """Reading pauses at the buffer's bound and goes on by itself, readers too, within seconds of the server's return."""
    load, clients = await loaded(edge_bench, monkeypatch, server.url, 1)
    server.process.kill()
    server.process.wait()
    await until(lambda: load.bench.hub.paused, 20)
    acknowledged, pending = load.acknowledged(), load.bench.hub.appender.pending
    await asyncio.sleep(AWAY_S)
    assert load.acknowledged() == acknowledged
    assert load.bench.hub.appender.pending == pending, "and nothing is read meanwhile"
    server.start()
    begun = time.monotonic()
    await load.goes_on(20)
    back_s = time.monotonic() - begun
    await load.close()
    load.check()
    assert load.most_pending < 2 * BOUND
    load.tell(f"the server away for {AWAY_S:.0f} s", back_s)
    for client in clients:
        await client.close()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # nats-py forgets a socket that says nothing
@pytest.mark.parametrize("fault", [
    "kill",
    pytest.param("freeze", marks=pytest.mark.skipif("OUTAGE_S" not in os.environ, reason="run by make log-outage: 20 s more")),
])  # fmt: skip
async def test_the_leader_of_a_cluster_is_lost(edge_bench, monkeypatch, nats_cluster, fault):
    """Killed in the middle of a publish, or hanging with its connections open: another is elected, and all goes on."""
    load, clients = await loaded(edge_bench, monkeypatch, nats_cluster.url, 3)
    leader = (await clients[0].jetstream().stream_info("POS")).cluster.leader
    knows_one = await connect(nats_cluster.url("api", leader), "api")
    await until(lambda: load.bench.hub.appender.waiting, 5)
    getattr(nats_cluster, fault)(leader)
    begun = time.monotonic()
    await load.goes_on(ELECTED_S)
    back_s = time.monotonic() - begun
    await until(lambda: knows_one.is_connected and knows_one.stats["reconnects"] == 1, ELECTED_S)
    await asyncio.sleep(1)
    if fault == "kill":
        nats_cluster.run(leader)
    else:
        nats_cluster.thaw(leader)
    await asyncio.sleep(1)
    await load.goes_on(ELECTED_S)
    await load.close()
    load.check()
    assert load.most_pending < 2 * BOUND
    load.tell(f"the leader of three servers, {fault}", back_s)
    for client in [*clients, knows_one]:
        await client.close()
