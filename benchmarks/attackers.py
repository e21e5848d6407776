"""Connections that mean no good, as many as are asked for, in a process of their own: `python -m benchmarks.attackers PORT COUNT`.

A quarter of each: SILENT never says anything; TRICKLING says a good packet, an octet a second; UNREADING sends 20 reports a
second, each of which is answered (refused, for nobody knows it), and never reads; ENDLESS sends a kilobyte a second and never closes a frame. Who is closed comes again a second later. They come
from an address of their own. It counts what became of them, and judges nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import signal
import socket
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from protocols.jt808 import framing, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "127.0.0.66"  # the budget of connects is counted by address
KINDS = ("silent", "trickling", "unreading", "endless")
TURNS = 20  # in a second: a twentieth of them acts in each
SMALL = 4096  # what an unreading one's kernel takes for it
PIECE = b"\x55" * 1024


class Attacker:
    def __init__(self, kind: str, number: int, address: tuple[str, int]) -> None:
        self.kind = kind
        self._address = address
        bcd = terminal.phone_bcd(f"136{number:08}", "2013")
        self._packet = framing.encode(0x0002, b"", bcd, "2013", 1)
        self._asks = framing.encode(0x0200, terminal.location(1_700_000_000_000_000, 116.0, 36.5), bcd, "2013", 1) * 20
        self._at = 0
        self._socket: socket.socket | None = None
        self._again = 0.0

    def act(self, now: float) -> str | None:
        """One turn; what became of the connection, where something did."""
        if self._socket is None:
            return self._dial() if now >= self._again else None
        try:
            if self.kind == "trickling":
                self._socket.send(self._packet[self._at : self._at + 1])
                self._at = (self._at + 1) % (len(self._packet) - 1)  # the last octet, which would end it, is never sent
            elif self.kind == "unreading":
                with contextlib.suppress(BlockingIOError):
                    self._socket.send(self._asks)
            elif self.kind == "endless":
                with contextlib.suppress(BlockingIOError):
                    self._socket.send(PIECE)
            if self.kind != "unreading" and not self._socket.recv(4096):
                raise ConnectionResetError
        except BlockingIOError:
            return None
        except OSError:
            self.close()
            self._again = now + 1.0
            return "closed"
        return None

    def _dial(self) -> str | None:
        one = socket.socket()
        try:
            if self.kind == "unreading":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            one.bind((ADDRESS, 0))
            one.settimeout(2)
            one.connect(self._address)
            one.setblocking(False)
        except OSError:
            one.close()
            return "refused"
        self._socket, self._at = one, 0
        if self.kind == "endless":
            one.send(b"\x7e")
        return "connected"

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def run(attackers: list[Attacker]) -> Iterator[Counter[str]]:
    """All of them act once a second; yields after each turn what has happened so far."""
    counts: Counter[str] = Counter()
    turn, next_at = 0, time.monotonic()
    while True:
        now = time.monotonic()
        for one in attackers[turn % TURNS :: TURNS]:
            became = one.act(now)
            if became is not None:
                counts[f"{one.kind}_{became}"] += 1
        turn += 1
        next_at += 1 / TURNS
        time.sleep(max(0.0, next_at - time.monotonic()))
        yield counts


def make(port: int, count: int) -> list[Attacker]:
    return [Attacker(KINDS[i % len(KINDS)], i, ("127.0.0.1", port)) for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    attackers = make(given.port, given.count)
    counts = next(counted for counted in run(attackers) if stopping)
    for one in attackers:
        one.close()
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    main()
