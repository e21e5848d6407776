"""An edge's hub without sockets and without a log server: transports that remember, a log that does as it is told."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from columns.batch import decode
from gateway.edge.connection import Connection
from gateway.edge.hub import Hub
from gateway.edge.registry import Registry
from gateway.edge.sessions import Sessions
from protocols.jt808 import framing, terminal
from protocols.jt808.intake import read
from storage.blobs import open_store

if TYPE_CHECKING:
    from protocols.jt808.header import Packet

KEY = b"k" * 32


class FakeLog:
    """Takes batches while ``open`` is set. ``errors``: raised by the next appends, one each."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.errors: list[Exception] = []
        self.messages: list[tuple[int, bytes, str]] = []

    async def append(self, partition: int, data: bytes, message_id: str) -> int:
        await self.open.wait()
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.messages.append((partition, data, message_id))
        return len(self.messages)

    @property
    def batches(self):
        return [decode(data) for _, data, _ in self.messages]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for batch in self.batches for record in batch.sessions]

    @property
    def devices(self) -> list[int]:
        return [device for batch in self.batches for device in batch.positions.device.tolist()]


class FakeTransport:
    def __init__(self) -> None:
        self.written = b""
        self.aborted = 0
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted += 1

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Caller:
    """A connection and the terminal that speaks over it."""

    def __init__(self, hub: Hub, phone: str) -> None:
        self.phone = phone
        self.bcd = terminal.phone_bcd(phone, "2013")
        self.serial = 0
        self.transport = FakeTransport()
        self.connection = Connection(hub)
        self.connection.connection_made(self.transport)

    def frame(self, message: int, body: bytes = b"", phone: str | None = None) -> bytes:
        self.serial += 1
        bcd = terminal.phone_bcd(phone, "2013") if phone else self.bcd
        return framing.encode(message, body, bcd, "2013", self.serial & 0xFFFF)

    def parts(self, message: int, body: bytes, size: int = 400, phone: str | None = None) -> list[bytes]:
        """The frames of a message in parts, with serial numbers of their own."""
        bcd = terminal.phone_bcd(phone, "2013") if phone else self.bcd
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        first = self.serial + 1
        self.serial += len(pieces)
        return [
            framing.encode(message, piece, bcd, "2013", first + i & 0xFFFF, (len(pieces), i + 1))
            for i, piece in enumerate(pieces)
        ]

    def authenticate(self, phone: str | None = None) -> bytes:
        code = self.connection.hub.registry.code(phone or self.phone, 1)
        return self.frame(0x0102, terminal.authenticate("2013", code), phone)

    def report(self, seconds: int = 0) -> bytes:
        return self.frame(0x0200, terminal.location(time.time_ns() // 1000 - seconds * 1_000_000, 116.0, 36.5))

    def say(self, *frames: bytes) -> None:
        self.connection.data_received(b"".join(frames))

    def lost(self) -> None:
        self.connection.connection_lost(None)

    @property
    def heard(self) -> list[Packet]:
        """Everything that the platform said, as packets."""
        packets = read([self.transport.written], 0).packets
        return [packets.packet(row) for row in range(len(packets))]

    @property
    def replies(self) -> list[terminal.Reply]:
        return [reply for run in self.transport.written.split(b"\x7e") if run and (reply := terminal.read_reply(run))]

    def results(self, message: int) -> list[int]:
        """The results of 0x8001 that answer this message."""
        return [reply.result for reply in self.replies if reply.request_message == message]


class Bench:
    """A hub with one partition (or more), a log (a fake one where none is given), and what it told its surroundings."""

    def __init__(self, directory, partitions: int = 1, log=None) -> None:
        self.log = FakeLog() if log is None else log
        self.sessions = Sessions()
        self.registry = Registry(directory / "registry.json", KEY, enrol=True)
        self.published: list[tuple[str, bytes]] = []
        self.ended: list[asyncio.Task] = []
        self.jobs: set[asyncio.Task] = set()
        self.hub = Hub(
            self.log, self.registry, self.sessions, partitions, 3600.0, self._publish, self.ended.append,
            open_store(str(directory / "blobs")), lambda job: self.jobs.add(asyncio.ensure_future(job)),
        )  # fmt: skip

    def _publish(self, subject: str, data: bytes) -> None:
        self.published.append((subject, data))

    def caller(self, phone: str) -> Caller:
        return Caller(self.hub, phone)

    async def platform(self, *phones: str) -> Caller:
        """One connection over which these terminals have authenticated; what was said so far is forgotten."""
        one = self.caller(phones[0])
        for phone in phones:
            one.say(one.authenticate(phone))
        await self.settle()
        one.transport.written = b""
        self.log.messages.clear()
        return one

    async def settle(self) -> None:
        """Ends the linger, and waits until the log has everything."""
        self.hub.flush()
        await asyncio.wait_for(self.hub.appender.close(), 10)

    async def known(self, phone: str) -> Caller:
        one = self.caller(phone)
        one.say(one.authenticate())
        await self.settle()
        assert self.sessions.authenticated[one.connection.slot]
        return one


async def until(condition, seconds: float = 5) -> None:
    """Returns when the condition holds; TimeoutError when it does not come to that."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  a test looks from outside
            await asyncio.sleep(0.005)


@pytest.fixture
def edge_bench(tmp_path):
    """Makes a Bench; inside a test that runs in a loop."""
    return lambda partitions=1, log=None: Bench(tmp_path, partitions, log)
