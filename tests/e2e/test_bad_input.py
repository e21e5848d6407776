"""Bad input: each kind has its counted reason and its reply, honest terminals are left alone, memory stays bounded."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from protocols.jt808 import framing, terminal

pytestmark = pytest.mark.e2e
OPEN = {"enrolment": "open"}


def counted(gateway, reason: str) -> float:
    text = gateway.ask("GET", "/metrics").text
    lines = [line for line in text.splitlines() if not line.startswith("#") and f'"{reason}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def wait_counted(gateway, reason: str, least: float, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while (found := counted(gateway, reason)) < least:
        assert time.monotonic() < end, f"{reason}: {found} counted, not {least}"
        time.sleep(0.2)


def resident_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")
def test_one_bad_frame_never_closes_an_honest_terminal(gateway, terminals):
    """Garbage, half frames, a wrong checksum, a wrong length, a short body: counted, answered or not, and on it goes."""
    one = terminals(gateway, "13811110000")
    one.join()
    good = one.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5))
    wrong = bytearray(one.frame(0x0002))
    wrong[5] ^= 0x01
    short = bytearray(framing.unescape(good[1:-1]))
    short[3] -= 1  # declares one byte less than it has
    short[-1] ^= 0x01
    short[-1] = 0
    short[-1] = framing.checksum(bytes(short[:-1]))
    one.socket.sendall(b"\x00\x01garbage" + b"\x7e")
    one.socket.sendall(bytes(wrong))
    one.socket.sendall(b"\x7e" + framing.escape(bytes(short)) + b"\x7e")
    one.socket.sendall(good[:20])  # half a frame, then a whole one
    assert one.read(0.5) is None
    one.socket.sendall(b"\x7e" + good)
    reply = one.read()
    assert reply is not None
    assert reply.result == 0

    assert one.ask(0x0200, b"\x00" * 27).result == 2, "a body shorter than its kind is a bad message"
    assert one.ask(0x0F77, b"?").result == 3, "an unknown message id is unsupported"
    assert one.report(116.0, 36.5) == 0
    for reason, least in (("checksum", 1), ("length", 1), ("noise", 1), ("body", 1), ("unsupported", 1)):
        wait_counted(gateway, reason, least)


@pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")
def test_a_megabyte_frame_is_bounded(gateway, terminals):
    """Twenty connections that send frames of 1 MB cost little memory, one count each, and nobody else anything."""
    honest = terminals(gateway, "13811110001")
    honest.join()
    edge = gateway.pids("edge")[0]
    before = resident_kb(edge)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", gateway.jt808_port)) as hostile:
            hostile.sendall(b"\x7e" + os.urandom(1 << 20).replace(b"\x7e", b"\x00") + b"\x7e")
            time.sleep(0.02)
    assert honest.report(116.0, 36.5) == 0
    wait_counted(gateway, "oversize", 20)
    assert resident_kb(edge) - before < 20_000


def test_strangers(gateway, terminals):
    """Strict enrolment: an unknown terminal is refused with result 4, counted, and shown to staff; telemetry is not heard."""
    one = terminals(gateway, "13899990000")
    assert one.register() == 4
    assert one.ask(0x0102, b"GUESS").result == 1
    assert one.report(116.0, 36.5) == 1, "not stored, and says so"
    wait_counted(gateway, "unknown_terminal", 1)
    wait_counted(gateway, "not_authenticated", 1)
    end = time.monotonic() + 10
    while not any(item["phone"] == "13899990000" for item in
                  gateway.get("/api/v1/terminals", state="refused")["items"]):  # fmt: skip
        assert time.monotonic() < end, "the refused terminal is not in the list"
        time.sleep(0.2)


@pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")
def test_a_terminal_that_never_reads(gateway, terminals):
    """Acknowledgements that nobody takes are bounded: the connection is closed, others go on."""
    honest = terminals(gateway, "13811110002")
    honest.join()
    deaf = terminals(gateway, "13811110003")
    deaf.join()
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    frames = b"".join(deaf.frame(0x0002) for _ in range(2000))
    deaf.socket.settimeout(2)
    try:
        for _ in range(200):
            deaf.socket.sendall(frames)
    except (OSError, TimeoutError):
        pass
    assert honest.report(116.0, 36.5) == 0
