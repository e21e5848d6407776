"""A hub behind a listening, polled socket, on a loop of the edge's kind."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from columns.identity import device_of
from gateway.edge.gate import Gate, Listener, listening
from gateway.edge.poller import Poller
from tests.plugins.edge import Caller, until


class Place:
    """A hub behind a listening, polled socket; ``terminal`` makes frames, ``dial`` opens sockets."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.hub = bench.hub
        self.hub.linger_s = 0.005
        loop = asyncio.get_running_loop()
        self.gate = Gate(self.hub)
        self.poller = Poller(loop, self.hub, self.gate.files)
        (sock,) = listening("127.0.0.1", 0)
        self.address = sock.getsockname()
        self.listener = Listener(loop, self.gate, self.poller, sock)
        self.clients: list[socket.socket] = []
        self._words = {}

    def dial(self) -> socket.socket:
        client = socket.create_connection(self.address)
        client.setblocking(False)
        self.clients.append(client)
        return client

    def words(self, phone: str) -> Caller:
        """Frames of this terminal, from a caller that itself says nothing."""
        if phone not in self._words:
            one = self._words[phone] = Caller(self.hub, phone)
            one.lost()
        return self._words[phone]

    async def known(self, phone: str) -> socket.socket:
        client = self.dial()
        client.send(self.words(phone).authenticate())
        await until(lambda: device_of(phone) in self.hub.sessions.by_device)
        await self.heard(client)
        return client

    async def heard(self, client: socket.socket, size: int = 1) -> bytes:
        data = b""
        async with asyncio.timeout(5):
            while len(data) < size:
                data += await asyncio.get_running_loop().sock_recv(client, 65536)
        return data

    async def ended(self, client: socket.socket) -> None:
        """Returns when the other side has closed."""
        async with asyncio.timeout(5):
            try:
                while await asyncio.get_running_loop().sock_recv(client, 65536):
                    pass
            except ConnectionResetError:
                return

    def close(self) -> None:
        self.listener.close()
        self.poller.stop()
        for client in self.clients:
            client.close()


@pytest.fixture
def polled(edge_bench):
    """Runs scene(place) on uvloop."""

    def run(scene) -> None:
        async def act() -> None:
            place = Place(edge_bench())
            try:
                await scene(place)
            finally:
                place.close()
                await asyncio.sleep(0.02)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(act())

    return run
