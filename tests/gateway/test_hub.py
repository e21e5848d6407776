"""The hub: whose report a report is, what becomes of those who hang up, and what stops when the log does."""

from __future__ import annotations

import asyncio
import socket
import time

import numpy as np
import pytest
import uvloop

from columns.identity import device_of, partition_of
from gateway.edge import hub as hub_module
from gateway.edge.connection import Connection
from protocols.jt808 import terminal
from tests.plugins.edge import until

LARGEST = 272 * 1024  # 256 KiB, a packet, and the header
A, B = "13811111111", "13822222222"


async def test_reports_around_a_change_of_identity(edge_bench):
    """[A's report, 0x0102 of B, B's report] in one linger: each is its own terminal's, in its own partition."""
    bench = edge_bench(partitions=2)
    for first, second in ((A, B), (A, "13822222221"), (B, A)):
        one = await bench.known(first)
        bench.log.messages.clear()
        report_of_second = one.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5), second)
        one.say(one.report(1), one.authenticate(second), report_of_second)
        await bench.settle()
        found = [(p, d) for (p, _, _), b in zip(bench.log.messages, bench.log.batches, strict=True)
                 for d in b.positions.device.tolist()]  # fmt: skip
        assert sorted(found) == sorted((partition_of(phone, 2), device_of(phone)) for phone in (first, second))
        assert one.results(0x0200) == [0, 0]
        one.lost()


async def test_a_first_and_a_last_report(edge_bench):
    """0x0102 and a report, a report and 0x0003: both are heard; a report after 0x0003 is not."""
    bench = edge_bench()
    one = bench.caller(A)
    one.say(one.authenticate(), one.report(3))
    await bench.settle()
    one.say(one.report(2), one.frame(0x0003))
    await bench.settle()
    one.say(one.report(1))
    await bench.settle()
    assert bench.log.devices == [device_of(A)] * 2
    assert one.results(0x0200) == [0, 0, 1]


async def test_a_strangers_reports_are_refused_beside_others(edge_bench):
    """Only the rows of who is known are stored, also where a batch has several rows."""
    bench = edge_bench(partitions=2)
    one, stranger = await bench.known(A), bench.caller(B)
    reports = [terminal.location(time.time_ns() // 1000 - i * 1_000_000, 116.0, 36.5) for i in range(3)]
    stranger.say(stranger.frame(0x0704, terminal.batch(reports)))
    one.say(one.frame(0x0704, terminal.batch(reports)), one.report(9))
    stranger.say(stranger.report())
    await bench.settle()
    assert bench.log.devices == [device_of(A)] * 4
    assert stranger.results(0x0704) == stranger.results(0x0200) == [1]
    assert bench.hub.counts["not_authenticated"] == 2


@pytest.mark.parametrize("partitions", [1, 2])
async def test_a_large_linger_is_cut_by_bytes(edge_bench, partitions):
    """Half a megabyte of 0x0704 holds 17,000 rows: no batch is much above 256 KiB, all are stored and acknowledged."""
    bench = edge_bench(partitions)
    callers = [await bench.known(f"138{i:08}") for i in range(4)]
    bench.log.messages.clear()
    body = terminal.batch([terminal.location(1_700_000_000_000_000 + i * 1_000_000, 116.0, 36.5) for i in range(34)])
    sent = 0
    while bench.hub._size + 5000 < hub_module.FLUSH_BYTES:
        for one in callers:
            one.say(one.frame(0x0704, body))
            sent += 1
    assert sent * 34 > 15_000
    bench.hub.flush()
    assert bench.hub.appender.pending > sent * 34 * 70
    await bench.settle()
    assert max(len(data) for _, data, _ in bench.log.messages) < LARGEST
    assert np.unique(bench.log.devices, return_counts=True)[1].tolist() == [sent // 4 * 34] * 4
    for one in callers:
        assert one.results(0x0704) == [0] * (sent // 4)
    assert bench.hub.appender.pending == 0


async def test_a_linger_of_registrations_is_cut_by_bytes(edge_bench):
    """Thousands of records with the longest plates are bounded, in text and in sum."""
    bench = edge_bench()
    callers = [bench.caller(f"139{i:08}") for i in range(500)]
    for one in callers:
        one.say(one.frame(0x0100, terminal.register("2013", plate="京" * 480)))
    bench.hub.flush()
    await bench.settle()
    for batch in bench.log.batches:
        assert all(len(record["plate"]) == 64 for record in batch.sessions)
    assert sum(len(batch.sessions) for batch in bench.log.batches) == 500
    assert max(len(data) for _, data, _ in bench.log.messages) < LARGEST


async def test_who_reports_and_hangs_up_is_stored(edge_bench):
    """A connection that closes within the linger: its reports are stored, and not counted as a stranger's."""
    bench = edge_bench()
    one, other = await bench.known(A), await bench.known(B)
    one.say(one.report())
    one.lost()
    other.say(other.report())
    other.lost()
    await bench.settle()
    assert bench.log.devices == [device_of(A), device_of(B)]
    assert bench.hub.counts["not_authenticated"] == 0
    assert one.connection.slot == other.connection.slot == -1
    assert not bench.sessions.by_device


async def test_garbage_closes_a_connection_once(edge_bench):
    """However many rejects one linger brings, it is one connection that was closed."""
    bench = edge_bench()
    one = bench.caller(A)
    one.say(b"\x7e\x01\x02\x7e" * 500)
    await bench.settle()
    assert bench.hub.counts["closed_garbage"] == one.transport.aborted == 1
    assert bench.hub.counts["noise"] == 500


async def test_a_replaced_connection_does_not_win_back(edge_bench):
    """What a replaced connection says in the same linger after that is not heard."""
    bench = edge_bench()
    old, new = await bench.known(A), bench.caller(A)
    new.say(new.authenticate())
    old.say(old.authenticate())
    await bench.settle()
    assert (old.transport.aborted, new.transport.aborted) == (1, 0)
    assert bench.sessions.by_device == {device_of(A): new.connection.slot}


async def test_pausing_and_resuming(edge_bench, monkeypatch):
    """Beyond the bound everything stops being read, hooks hear of it, and the deadlines' clocks stand still."""
    monkeypatch.setattr(hub_module, "PAUSE_BYTES", 1000)
    bench = edge_bench()
    one = await bench.known(A)
    heard: list[bool] = []
    bench.hub.paused_hooks.append(heard.append)
    bench.log.open.clear()
    one.say(*[one.report(i) for i in range(20)])
    bench.hub.flush()
    assert bench.hub.paused
    assert not one.transport.reading
    slot = one.connection.slot
    bench.sessions.heard[slot] = bench.sessions.since[slot] = 0
    bench.log.open.set()
    await bench.settle()
    assert heard == [True, False]
    assert 0 < bench.hub.paused_s < 60
    assert one.transport.reading
    assert bench.sessions.heard[slot] > 0
    assert bench.sessions.since[slot] > 0


async def test_how_long_acknowledgements_took(edge_bench):
    """Each report is in the histogram once, with the time that the log took; a batch is in the appender's."""
    bench = edge_bench()
    one = await bench.known(A)
    before = sum(bench.hub.appender.latency.counts)
    bench.log.open.clear()
    one.say(*[one.report(i) for i in range(7)])
    bench.hub.flush()
    assert bench.hub.appender.queued_rows == 7
    await asyncio.sleep(0.3)
    bench.log.open.set()
    await bench.settle()
    told = bench.hub.latency.to_json()
    slow = [le for le, n in zip([*told["le"], float("inf")], told["counts"], strict=True) if n]
    assert sum(told["counts"]) == 7
    assert min(slow) > 0.3
    assert told["sum"] > 7 * 0.3
    assert sum(bench.hub.appender.latency.counts) == before + 1


def on_uvloop(make_bench, scene) -> None:
    """Runs scene(bench, connect) on a loop of the edge's kind; ``connect()`` opens a socket to the bench's hub."""

    async def run() -> None:
        bench = make_bench()
        server = await asyncio.get_running_loop().create_server(lambda: Connection(bench.hub), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients: list[socket.socket] = []

        def connect() -> socket.socket:
            clients.append(socket.create_connection(address))
            clients[-1].setblocking(False)
            return clients[-1]

        try:
            await scene(bench, connect)
        finally:
            for connection in filter(None, bench.sessions.connections):
                connection.transport.abort()
            for one in clients:
                one.close()
            server.close()
            await asyncio.sleep(0.05)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_a_new_connection_is_not_read_while_reading_is_paused(edge_bench):
    """On uvloop, which begins to read after connection_made whatever was said before: not a byte is taken."""

    async def scene(bench, connect) -> None:
        taken: list[bytes] = []
        bench.hub.add = lambda _, data: taken.append(data)
        bench.hub.paused = True
        for _ in range(20):
            connect().send(b"\x7e\x01\x7e" * 100)
        await until(lambda: bench.hub.counts["closed_paused"] == 20 and len(bench.sessions) == 0)
        assert taken == []
        bench.hub.paused = False
        connect().send(b"\x7e\x7e")
        await until(lambda: taken)

    on_uvloop(edge_bench, scene)


def test_a_report_and_a_hang_up_over_a_socket(edge_bench):
    """The same as above on a real uvloop socket: data and end of file arrive together."""

    async def scene(bench, connect) -> None:
        one, client = bench.caller(A), connect()
        client.send(one.authenticate() + one.report())
        client.close()
        await until(lambda: bench.log.devices)
        assert bench.log.devices == [device_of(A)]
        one.lost()

    on_uvloop(edge_bench, scene)
