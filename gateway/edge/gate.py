"""The gate: who may connect at all, and the listening socket of those that are polled.

Refused politely is accepted and closed: a terminal that hangs in a full backlog waits for minutes, one that is closed comes
again. The log says so once a second at most, with the number.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from typing import TYPE_CHECKING

import structlog

from gateway.edge.connection import Connection
from gateway.logs import Seldom

if TYPE_CHECKING:
    from gateway.edge.hub import Hub
    from gateway.edge.poller import Poller

BACKLOG = 4096
MOST_FILES = 1024 * 1024  # ten times a province on one edge; containers may allow 10^9, and a row is kept for each
FILES_SHARE = 0.9  # the rest is for the log, files and accepting in order to refuse
SEND_BUFFER = 64 * 1024  # unread acknowledgements of over 3,000 reports; the kernel doubles it
CONNECTS_PER_S = 500.0  # of one address, for ever
CONNECTS_AT_ONCE = 20_000.0  # of one address: a city's terminals come back together, and may share a balancer's address
MOST_ADDRESSES = 100_000
MOST_ACCEPTS = 256  # in one turn of the loop, so that a storm of connects does not hold the acknowledgements up
FULL_S = 0.1
TELL_S = 1.0
_REFUSALS = {
    "files": "connections refused: the limit of open files is near; raise it (ulimit -n) or add an edge"
    " | 连接数接近文件句柄上限，拒绝新连接：请提高 ulimit -n 或增加接入进程",
    "paused": "connections refused: the log takes no batches | 日志不接收数据，暂不接受新连接",
    "address": "connections refused: this address connects too often | 该地址连接过于频繁，暂不接受",
}
log = structlog.get_logger()


def raise_file_limit() -> int:
    """The number of files that this process may have open, raised to what it may be, but not above MOST_FILES."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


class Gate:
    """Admits or refuses; ``files`` is the limit of open files, of which connections get FILES_SHARE."""

    def __init__(self, hub: Hub) -> None:
        self.files = raise_file_limit()
        self.most = int(self.files * FILES_SHARE)
        self._hub = hub
        self._addresses: dict[str, tuple[float, float]] = {}
        self._tell = Seldom(TELL_S)

    def admits(self, address: str, now: float) -> bool:
        """``now``: monotonic seconds. A refusal is counted, and said."""
        if self._hub.sessions.connected >= self.most:
            return self._refuse("files")
        if self._hub.paused:
            return self._refuse("paused")
        left, since = self._addresses.get(address, (CONNECTS_AT_ONCE, now))
        left = min(CONNECTS_AT_ONCE, left + (now - since) * CONNECTS_PER_S)
        if left < 1:
            return self._refuse("address", address=address)
        if len(self._addresses) >= MOST_ADDRESSES:
            self._forget(now)
        self._addresses[address] = left - 1, now
        return True

    def _forget(self, now: float) -> None:
        """Drops the addresses whose budget is whole again, and if those are too few, all."""
        whole = CONNECTS_AT_ONCE / CONNECTS_PER_S
        self._addresses = {address: spent for address, spent in self._addresses.items() if now - spent[1] < whole}
        if len(self._addresses) >= MOST_ADDRESSES:
            self._addresses.clear()

    def _refuse(self, why: str, **more: str) -> bool:
        self._hub.counts[f"refused_{why}"] += 1
        self._tell(log.warning, _REFUSALS[why], limit=self.most, **more)
        return False

    def protocol(self) -> asyncio.Protocol:
        """For a server of asyncio's (TLS)."""
        return _Guarded(self)

    def connection(self) -> Connection:
        return Connection(self._hub)


class _Guarded(asyncio.Protocol):
    """Asks the gate when it knows the address, then steps aside."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = transport.get_extra_info("peername") or ("",)
        if not self._gate.admits(address[0], time.monotonic()):
            transport.close()
            return
        connection = self._gate.connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)


def listening(host: str, port: int) -> list[socket.socket]:
    """One bound, non-blocking socket for each address that the name stands for, which several edges may share.

    What they are set to, their connections inherit. Raises OSError where an address can't be had.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.setblocking(False)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class Listener:
    """Accepts for the poller, on one of the sockets of `listening`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate, poller: Poller, sock: socket.socket) -> None:
        self.socket = sock
        self._loop = loop
        self._gate = gate
        self._poller = poller
        sock.listen(BACKLOG)
        self._open()

    def _open(self) -> None:
        if self.socket.fileno() >= 0:
            self._loop.add_reader(self.socket.fileno(), self._accept)

    def _accept(self) -> None:
        now = time.monotonic()
        for _ in range(MOST_ACCEPTS):
            try:
                sock, address = self.socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:  # it was gone before we looked
                continue
            except OSError as error:  # no file left, or no memory: the backlog waits
                log.warning("accept failed | 接受连接失败", error=repr(error))
                self._loop.remove_reader(self.socket.fileno())
                self._loop.call_later(FULL_S, self._open)
                return
            if not self._gate.admits(address[0], now):
                sock.close()
                continue
            fd = sock.detach()
            os.set_blocking(fd, False)
            self._poller.add(fd)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()
