"""A platform of a few lines for simulator tests: answers every packet, and can be told to misbehave."""

from __future__ import annotations

import asyncio
from typing import Self

from protocols.jt808.framing import encode, unescape
from protocols.jt808.replies import GENERAL, general


def read(packet: bytes) -> tuple[int, int, bytes, bytes, str]:
    """(message, serial, phone, body, edition as far as the header says it) of one framed packet."""
    run = unescape(packet.strip(b"\x7e"))
    modern = bool(run[2] & 0x40)
    at = 15 if modern else 10
    phone = run[5:15] if modern else run[4:10]
    return int.from_bytes(run[:2], "big"), int.from_bytes(run[at : at + 2], "big"), phone, run[at + 2 : -1], (
        "2019" if modern else "2013"
    )  # fmt: skip


def answer(packet: bytes, result: int = 0, code: bytes = b"C0DE") -> bytes:
    message, serial, phone, _, edition = read(packet)
    if message == 0x0100:
        return encode(
            0x8100, serial.to_bytes(2, "big") + bytes([result]) + (b"" if result else code), phone, edition, 0
        )
    return encode(GENERAL, general(serial, message, result), phone, edition, 0)


def packets(data: bytes) -> list[bytes]:
    return [b"\x7e" + run + b"\x7e" for run in data.split(b"\x7e") if run]


class Platform:
    """An asyncio server on a free port; `heard` holds (message, body) of everything that came."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.silent = False
        self.refuse: set[int] = set()
        """Message ids that are answered with failure."""
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self.server.close()
        self.cut()

    def cut(self) -> None:
        """Closes every connection."""
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        left = b""
        while data := await reader.read(65536):
            left += data
            whole, _, left = left.rpartition(b"\x7e")
            for packet in packets(whole):
                message, _, _, body, _ = read(packet)
                self.heard.append((message, body))
                if not self.silent:
                    writer.write(answer(packet, int(message in self.refuse)))
        writer.close()
