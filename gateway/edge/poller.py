"""Poller: all plain TCP sockets of an edge, read together once a linger instead of one by one as they wake us.

asyncio wakes the loop for every arrival and keeps a transport for every socket. At 5,000 reports/s a report costs more in
wake-ups than in work, so the sockets stand in an epoll of their own, whose one descriptor the loop watches: the first
arrival begins a linger, at whose end everything that is ready is read in one go. What was measured, and what the loop's own
transports cost instead, is in docs/benchmarks.md. A connection is a number here; per report there is one read, one write,
and no object of ours. TLS and MQTT, which need more than a descriptor, come in through `Connection`.

Bounds: READ bytes of a socket at each poll; no unsent bytes at all, since acknowledgements that the kernel's buffer
(SEND_BUFFER) does not take are those of a terminal that does not read.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

import numpy as np

from gateway.edge.connection import Connection
from protocols.jt808.framing import FLAG, split

if TYPE_CHECKING:
    import asyncio

    from numpy.typing import NDArray

    from gateway.edge.hub import Hub

READ = 16 * 1024  # a linger of a terminal that clears its memory at 800 KB/s; the rest waits for the next poll
MOST_EVENTS = 8192  # of one poll: the others come first in the next
_READABLE = select.EPOLLIN | select.EPOLLRDHUP


class PolledSocket:
    """The transport of one polled socket, as far as a Connection and the hub use one."""

    __slots__ = ("_fd", "_poller")

    def __init__(self, poller: Poller, fd: int) -> None:
        self._poller = poller
        self._fd = fd

    def write(self, data: bytes) -> None:
        if self._fd >= 0:
            self._poller.write(self._fd, data)

    def abort(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._poller.close(fd)

    def pause_reading(self) -> None:
        if self._fd >= 0:
            self._poller.watch(self._fd, reading=False)

    def resume_reading(self) -> None:
        if self._fd >= 0:
            self._poller.watch(self._fd, reading=True)


class Poller:
    """``most``: the highest number of open files, which bounds the descriptors' numbers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hub: Hub, most: int) -> None:
        self._loop = loop
        self._hub = hub
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._slot: NDArray[np.int64] = np.full(most, -1, np.int64)
        self._left: dict[int, bytes] = {}
        self._paused = False
        self._timer: asyncio.Handle | None = None
        hub.paused_hooks.append(self._pause)
        self._wait()

    def add(self, fd: int) -> None:
        """Takes a connected, non-blocking socket over; closing it is from now on done here."""
        connection = Connection(self._hub)
        self._connections[fd] = connection
        connection.connection_made(PolledSocket(self, fd))
        slot = connection.slot
        if slot < 0 or connection.dropped:
            return
        self._slot[fd] = slot
        self._hub.sessions.fd[slot] = fd
        self._epoll.register(fd, _READABLE)

    # ---- reading ------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until something arrives: an idle edge is not woken at all."""
        self._timer = None
        self._loop.add_reader(self._epoll.fileno(), self._arrived)

    def _arrived(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._timer = self._loop.call_later(self._hub.linger_s, self.poll)

    def poll(self) -> None:
        """Reads every socket that has something, hands it all over, and comes again a linger later."""
        if self._paused:
            return
        events = self._epoll.poll(0, MOST_EVENTS)
        if not events:
            self._wait()
            return
        self._timer = self._loop.call_later(self._hub.linger_s, self.poll)
        fds: list[int] = []
        chunks: list[bytes] = []
        lost: list[int] = []
        read, left = os.read, self._left
        for fd, _ in events:
            try:
                data = read(fd, READ)
            except BlockingIOError:
                continue
            except OSError:
                lost.append(fd)
                continue
            if not data:
                lost.append(fd)
                continue
            if data[-1] != FLAG or fd in left:
                data = self._whole(fd, data)
                if not data:
                    continue
            fds.append(fd)
            chunks.append(data)
        if chunks:
            self._hub.take(self._slot[fds], chunks)
        for fd in lost:
            if fd in self._connections:
                self.close(fd)

    def _whole(self, fd: int, data: bytes) -> bytes:
        """The whole runs so far; the unfinished one waits, and its deadline begins."""
        runs, rest = split(self._left.pop(fd, b""), data)
        half = self._hub.sessions.half
        slot = self._slot[fd]
        if rest:
            self._left[fd] = rest
            if runs or not half[slot]:
                half[slot] = time.monotonic()
        else:
            half[slot] = 0
        return runs

    # ---- writing ------------------------------------------------------------------------------------------------

    def write(self, fd: int, data: bytes) -> None:
        try:
            whole = os.write(fd, data) == len(data)
        except BlockingIOError:
            whole = False
        except OSError:
            return  # the reading side hears of it
        if not whole:
            self._hub.drop(self._connections[fd], "slow_reader")

    # ---- life ---------------------------------------------------------------------------------------------------

    def watch(self, fd: int, *, reading: bool) -> None:
        self._epoll.modify(fd, _READABLE if reading else 0)

    def close(self, fd: int) -> None:
        connection = self._connections.pop(fd)
        self._left.pop(fd, None)
        if self._slot[fd] >= 0:
            self._hub.sessions.unplug(int(self._slot[fd]))
            self._slot[fd] = -1
            self._epoll.unregister(fd)
        os.close(fd)
        self._loop.call_soon(connection.connection_lost, None)  # never inside the linger that ended it

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        if not paused:
            if self._timer is not None:
                self._timer.cancel()
            self._loop.remove_reader(self._epoll.fileno())
            self._timer = self._loop.call_soon(self.poll)

    def stop(self) -> None:
        """Reads no more."""
        self._pause(True)
        self._loop.remove_reader(self._epoll.fileno())
        if self._timer is not None:
            self._timer.cancel()
