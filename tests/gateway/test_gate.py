"""The gate: how many files, whom it admits, and what it listens on."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest

from gateway.edge import gate as gate_module
from gateway.edge.gate import CONNECTS_AT_ONCE, CONNECTS_PER_S, FILES_SHARE, MOST_FILES, Gate, listening
from gateway.edge.poller import Poller


@pytest.mark.parametrize("hard", [4096, MOST_FILES, 1_073_741_816, resource.RLIM_INFINITY])
def test_the_file_limit_is_raised_within_reason(monkeypatch, hard):
    """A container may allow 10^9 files; for each of ours a row is kept."""
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    most = gate_module.raise_file_limit()
    assert most == (4096 if hard == 4096 else MOST_FILES)
    assert asked == [(most, hard)]


@pytest.fixture
def gate(edge_bench, monkeypatch):
    """Makes a Gate; inside a test that runs in a loop."""
    monkeypatch.setattr(gate_module, "raise_file_limit", lambda: 100)
    return lambda: Gate(edge_bench().hub)


async def test_a_share_of_the_files_is_for_connections(gate):
    """At the limit all are refused; guests take no file."""
    one = gate()
    assert one.most == int(100 * FILES_SHARE)
    for _ in range(one.most):
        one._hub.opened(one.connection())
    assert not one.admits("10.0.0.1", 0.0)
    one._hub.closed(one._hub.sessions.connections[5])
    assert one.admits("10.0.0.1", 0.0)
    first = one._hub.sessions.connections[0]
    for phone in range(50):
        one._hub.sessions.guest(first, 0, phone, 0.0)
    assert one.admits("10.0.0.1", 0.0)
    assert one._hub.counts["refused_files"] == 1


async def test_an_addresss_budget_grows_again_and_not_beyond(gate):
    """A city that comes back together is admitted, an endless flood at its rate."""
    one = gate()
    assert sum(one.admits("a", 0.0) for _ in range(int(CONNECTS_AT_ONCE) + 500)) == CONNECTS_AT_ONCE
    assert sum(one.admits("a", 2.0) for _ in range(5000)) == 2 * CONNECTS_PER_S
    assert sum(one.admits("a", 10_000.0) for _ in range(int(CONNECTS_AT_ONCE) + 500)) == CONNECTS_AT_ONCE
    assert one.admits("b", 10_000.0)


async def test_addresses_without_end_are_forgotten(gate, monkeypatch):
    """Memory is bounded; who has spent its budget a moment ago is not forgiven by a hundred others."""
    monkeypatch.setattr(gate_module, "MOST_ADDRESSES", 50)
    one = gate()
    for n in range(1000):
        one.admits(str(n), n * 10.0)
        assert len(one._addresses) <= 50
    now = 20_000.0
    while one.admits("flood", now):
        pass
    for n in range(49):
        one.admits(f"x{n}", now + 1e-6)
    assert not one.admits("flood", now + 1e-6)


async def test_what_is_listened_on(gate):
    """One port may be shared by several edges; an address that can't be had leaves no socket open."""
    (first,) = listening("127.0.0.1", 0)
    first.listen()
    (second,) = listening("127.0.0.1", first.getsockname()[1])
    assert not first.getblocking()
    for one in (first, second):
        one.close()
    with pytest.raises(OSError, match="address"):
        listening("203.0.113.1", 0)
    with pytest.raises(socket.gaierror):
        listening("no.such.host.invalid", 0)


async def test_asyncios_transports_ask_the_gate_too(gate):
    """TLS comes in through a server of asyncio's: admitted or closed, and while paused closed."""
    one = gate()
    server = await asyncio.get_running_loop().create_server(one.protocol, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    _, writer = await asyncio.open_connection(host, port)
    await asyncio.sleep(0.05)
    assert one._hub.sessions.connected == 1
    one._hub.paused = True
    reader, refused = await asyncio.open_connection(host, port)
    assert await asyncio.wait_for(reader.read(), 2) == b""
    assert (one._hub.sessions.connected, one._hub.counts["refused_paused"]) == (1, 1)
    for each in (writer, refused):
        each.close()
    server.close()
    await asyncio.sleep(0.05)
    assert len(one._hub.sessions) == 0


async def test_a_connection_that_the_poller_is_given_in_a_pause(gate):
    """It is closed, its descriptor too, and no slot is left."""
    one = gate()
    poller = Poller(asyncio.get_running_loop(), one._hub, 1000)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    one._hub.paused = True
    poller.add(ours.detach())
    await asyncio.sleep(0.01)
    assert theirs.recv(1) == b""
    assert len(one._hub.sessions) == 0
    theirs.close()
    poller.stop()
