"""A terminal over a plain blocking socket, for tests that talk to a running gateway."""

from __future__ import annotations

import socket
import time

import pytest

from protocols.jt808 import framing, terminal


class Terminal:
    """Registers, authenticates, reports, and reads what it is answered. Every request waits for its reply."""

    def __init__(self, port: int, phone: str, edition: str = "2013") -> None:
        self.phone, self.edition, self.port = phone, edition, port
        self.bcd = terminal.phone_bcd(phone, edition)
        self.serial = 0
        self.code = ""
        self.left = b""
        self.replies: list[terminal.Reply] = []
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def close(self) -> None:
        self.socket.close()

    def frame(self, message: int, body: bytes = b"") -> bytes:
        self.serial += 1
        return framing.encode(message, body, self.bcd, self.edition, self.serial)

    def read(self, seconds: float = 10) -> terminal.Reply | None:
        """The next reply, or None when the time is over; raises ConnectionError when the gateway has hung up."""
        end = time.monotonic() + seconds
        while not self.replies:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise ConnectionError("closed by the gateway")
            whole, self.left = framing.split(self.left, data)
            self.replies += [reply for run in whole.split(b"\x7e") if run and (reply := terminal.read_reply(run))]
        return self.replies.pop(0)

    def ask(self, message: int, body: bytes = b"") -> terminal.Reply:
        self.socket.sendall(self.frame(message, body))
        reply = self.read()
        assert reply is not None, f"no answer to {message:#06x}"
        return reply

    def register(self) -> int:
        reply = self.ask(0x0100, terminal.register(self.edition))
        self.code = reply.code
        return reply.result

    def authenticate(self) -> int:
        return self.ask(0x0102, terminal.authenticate(self.edition, self.code)).result

    def join(self) -> None:
        assert self.register() == 0
        assert self.authenticate() == 0

    def report(self, lon: float, lat: float, at_us: int | None = None, **kwargs: object) -> int:
        at_us = time.time_ns() // 1000 if at_us is None else at_us
        return self.ask(0x0200, terminal.location(at_us, lon, lat, **kwargs)).result


@pytest.fixture
def terminals():
    """Makes terminals that are closed at the end: terminals(gateway, phone, edition)."""
    made: list[Terminal] = []

    def make(gateway, phone: str, edition: str = "2013") -> Terminal:
        made.append(Terminal(gateway.jt808_port, phone, edition))
        return made[-1]

    yield make
    for one in made:
        one.close()
