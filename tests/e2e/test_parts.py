"""Sub-packaged messages, files, answers and platforms over TCP into a running gateway, and back from its API."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import pytest

from protocols.jt808 import framing, intake, terminal

if TYPE_CHECKING:
    from protocols.jt808.header import Packet
    from tests.plugins.terminals import Terminal

OPEN = {"enrolment": "open"}
pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("gateway", [OPEN], indirect=True, scope="module")]


def parts(one: Terminal, message: int, body: bytes, size: int = 900) -> list[bytes]:
    """The frames of a message in parts, with serial numbers of their own."""
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    first = one.serial + 1
    one.serial += len(pieces)
    return [
        framing.encode(message, piece, one.bcd, one.edition, first + i, (len(pieces), i + 1))
        for i, piece in enumerate(pieces)
    ]


def listen(one: Terminal, seconds: float, count: int) -> list[Packet]:
    """Up to ``count`` packets that the platform says within that time."""
    said, end = b"", time.monotonic() + seconds
    packets: list[Packet] = []
    while len(packets) < count and (left := end - time.monotonic()) > 0:
        one.socket.settimeout(left)
        try:
            said += one.socket.recv(65536)
        except TimeoutError:
            break
        read = intake.read([framing.split(b"", said)[0]], 0).packets
        packets = [read.packet(row) for row in range(len(read))]
    return packets


def items(gateway, path: str, count: int, **params: object) -> list[dict]:
    """What the API lists, when it has come to ``count``; the commit comes a moment after the acknowledgement."""
    end = time.monotonic() + 10
    while True:
        answer = gateway.ask("GET", path, params={"purpose": "test", **params})
        found = answer.json().get("items", [])  # 404: its registration is on its way, too
        if len(found) >= count:
            return found
        assert time.monotonic() < end, answer.text
        time.sleep(0.1)


@pytest.mark.parametrize("edition", ["2013", "2019"])
def test_a_picture(gateway, terminals, edition):
    """A 0x0801 of 60 parts, out of order, ends in the blob store, and is read back by its SHA-256."""
    one = terminals(gateway, f"1386000{edition}", edition)
    one.join()
    now = time.time_ns() // 1_000_000_000 * 1_000_000
    data = bytes((i * 31 + i // 251) % 256 for i in range(54_000))
    head = bytes.fromhex("0000002a00000102") + terminal.location(now, 115.985420, 36.453120)
    frames = parts(one, 0x0801, head + data)
    one.socket.sendall(b"".join([*frames[1::2], *frames[:1], *frames[2::2]]))
    said = listen(one, 15, len(frames))
    assert [packet.message for packet in said] == [0x8001] * (len(frames) - 1) + [0x8800]
    assert said[-1].body == bytes.fromhex("0000002a")
    sha256 = hashlib.sha256(data).hexdigest()
    (row,) = items(gateway, f"/api/v1/terminals/{one.phone}/media", 1)
    assert (row["media_id"], row["sha256"], row["size"], row["kind"]) == (42, sha256, len(data), "image")
    assert (row["longitude"], row["latitude"]) == (115.985420, 36.453120)
    assert (row["trigger"], row["channel"]) == ("timer", 2)
    answer = gateway.ask("GET", f"/api/v1/media/{sha256}", params={"purpose": "test"})
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/jpeg", data)


def test_a_batch_in_parts(gateway, terminals):
    """A 0x0704 of 300 reports in parts: all are stored, and the part that completes it is acknowledged only then."""
    one = terminals(gateway, "13860010001")
    one.join()
    now = time.time_ns() // 1_000_000_000 * 1_000_000
    reports = [terminal.location(now - i * 1_000_000, 116.0 + i / 1e6, 36.5) for i in range(300)]
    frames = parts(one, 0x0704, terminal.batch(reports, 1))
    one.socket.sendall(b"".join(frames[:3] + frames[4:]))
    said = listen(one, 10, len(frames) - 1)
    assert [packet.body[4] for packet in said] == [0] * (len(frames) - 1)
    assert one.report(117.0, 36.5, now + 1_000_000) == 0
    (row,) = items(gateway, f"/api/v1/terminals/{one.phone}/track", 1)
    assert row["longitude"] == 117.0, "nothing of the batch is there yet"
    one.socket.sendall(frames[3])
    (last,) = listen(one, 10, 1)
    assert (last.message, last.body[4]) == (0x8001, 0)
    rows = items(gateway, f"/api/v1/terminals/{one.phone}/track", 301, limit=1000)
    assert sorted(row["longitude"] for row in rows) == [*(round(116.0 + i / 1e6, 6) for i in range(300)), 117.0]


def test_an_answer_with_a_position(gateway, terminals):
    """0x0201 gets no reply; its position is in the track, as one that was asked for."""
    one = terminals(gateway, "13860010002")
    one.join()
    now = time.time_ns() // 1_000_000_000 * 1_000_000
    one.socket.sendall(one.frame(0x0201, b"\x00\x07" + terminal.location(now, 116.25, 36.5)))
    assert one.ask(0x0002).request_message == 0x0002
    (row,) = items(gateway, f"/api/v1/terminals/{one.phone}/track", 1)
    assert (row["longitude"], row["latitude"], row["source"]) == (116.25, 36.5, "query")


def test_two_terminals_on_one_connection(gateway, terminals):
    """As behind a forwarding platform: each registers, authenticates and reports, and has its own track."""
    one = terminals(gateway, "13860010003")
    other = terminals(gateway, "13860010004")
    other.close()
    one.join()
    other.socket = one.socket
    other.join()
    for i in range(5):
        assert one.report(116.1, 36.5 + i / 1000) == 0
        assert other.report(116.2, 36.5 + i / 1000) == 0
    for each, longitude in ((one, 116.1), (other, 116.2)):
        rows = items(gateway, f"/api/v1/terminals/{each.phone}/track", 5)
        assert {row["longitude"] for row in rows} == {longitude}
    assert one.ask(0x0003).result == 0
    assert other.report(116.2, 36.6) == 0
    assert one.report(116.1, 36.6) == 1
