"""A bad network on purpose: a TCP proxy between a gateway and its stores that delays, throttles, hangs, resets and cuts.

chaos_link   makes proxies: chaos_link(upstream), upstream a (host, port) or the path of a Unix socket
own_nats     a nats-server as an operator's own: no roles, fsync on every message; its (host, port)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.nats_server import binary

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

PIECE = 16 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


class Link:
    """One listening address, and every connection through it. Faults hold for all of them until heal()."""

    def __init__(self, upstream: tuple[str, int] | str) -> None:
        self.upstream = upstream
        self.port = 0
        self.delay_s = 0.0
        self.bytes_per_s = 0
        self.passed = 0
        """Bytes that went through, either way."""
        self.taken = 0
        """Connections that were taken."""
        self._hangs = self._refuses = False
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    # ---- faults ----

    def slow(self, delay_s: float = 0.3) -> None:
        """Every piece arrives so much later."""
        self.delay_s = delay_s

    def narrow(self, bytes_per_s: int = 24 * 1024) -> None:
        self.bytes_per_s = bytes_per_s

    def hang(self) -> None:
        """Connections stay, and new ones are taken, but nothing moves, not even an end."""
        self._hangs = True

    def reset(self) -> None:
        """Every connection ends at once, by RST on both sides; the next ones pass."""
        self._do(self._end(by_reset=True))

    def half_close(self) -> None:
        """Both sides are told that the other one says nothing more; what they say still passes."""
        self._do(self._shut())

    def cut(self) -> None:
        """Every connection ends, and no new one is taken."""
        self._refuses = True
        self._do(self._end(by_reset=False))

    def heal(self) -> None:
        self.delay_s, self.bytes_per_s, self._hangs, self._refuses = 0.0, 0, False, False

    def close(self) -> None:
        self.heal()
        self._refuses = True
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ---- on the loop of the link's own thread ----

    def _do(self, work: Coroutine[None, None, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            if isinstance(self.upstream, str):
                other_reader, other = await asyncio.open_unix_connection(self.upstream)
            else:
                other_reader, other = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, other)
        self._pairs.add(pair)
        self.taken += 1
        await asyncio.gather(self._pump(reader, other), self._pump(other_reader, writer), return_exceptions=True)
        self._pairs.discard(pair)
        for one in pair:
            one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(PIECE):
                await asyncio.sleep(self.delay_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                while self._hangs:  # noqa: ASYNC110  set from another thread
                    await asyncio.sleep(0.02)
                writer.write(data)
                self.passed += len(data)
                await writer.drain()
        finally:
            while self._hangs:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            with contextlib.suppress(OSError, RuntimeError):
                if writer.can_write_eof():
                    writer.write_eof()

    async def _end(self, *, by_reset: bool) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                sock = writer.get_extra_info("socket")
                if by_reset and sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

    async def _stop(self) -> None:
        self._server.close()
        await asyncio.sleep(0)
        await self._end(by_reset=False)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([*others, asyncio.ensure_future(asyncio.sleep(0.05))], timeout=5)

    async def _shut(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                with contextlib.suppress(OSError, RuntimeError):
                    writer.write_eof()


@pytest.fixture
def chaos_link():
    made: list[Link] = []

    def make(upstream: tuple[str, int] | str) -> Link:
        made.append(Link(upstream))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def own_nats(tmp_path: Path):
    directory = tmp_path / "nats"
    ports = directory / "ports"
    ports.mkdir(parents=True)
    store = {"store_dir": str(directory / "store"), "sync_interval": "always", "max_file_store": 32 * 1024**3}
    config = {"listen": "127.0.0.1:-1", "ports_file_dir": str(ports), "jetstream": store}
    (directory / "nats.conf").write_text(json.dumps(config))
    with (directory / "log").open("w") as log:
        server = subprocess.Popen([binary(), "-c", directory / "nats.conf"], stdout=log, stderr=log)
    end = time.monotonic() + 20
    while not (found := [*ports.glob("*.ports")]) or not found[0].read_text().strip():
        assert time.monotonic() < end, (directory / "log").read_text()
        time.sleep(0.02)
    address = json.loads(found[0].read_text())["nats"][0]
    yield "127.0.0.1", int(address.rsplit(":", 1)[1])
    server.terminate()
    server.wait(20)
