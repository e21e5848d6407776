"""The poller, with real sockets on a loop of the edge's kind: what is cut, closed, paused and refused."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from columns.identity import device_of
from gateway.edge import gate as gate_module
from gateway.edge.deadlines import BYTES_PER_S, HALF_S, SWEEP_S, close_overdue
from gateway.edge.poller import READ
from protocols.jt808 import terminal
from tests.plugins.edge import until

A, B = "13811111111", "13822222222"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_reports_are_stored_and_acknowledged(polled):
    """However the stream is split: whole, byte by byte, two packets and a half."""

    async def scene(place) -> None:
        client, words = await place.known(A), place.words(A)
        client.send(words.report(1))
        assert len(await place.heard(client)) >= 20
        for octet in words.report(2):
            client.send(bytes([octet]))
            await asyncio.sleep(0.0005)
        await place.heard(client)
        three = words.report(3) + words.report(4) + words.report(5)
        client.send(three[:150])
        await place.heard(client)
        client.send(three[150:])
        await until(lambda: len(place.bench.log.devices) == 5)
        assert place.bench.log.devices == [device_of(A)] * 5

    polled(scene)


def test_a_report_and_a_hang_up(polled):
    """Data and end of file arrive together: what was said is stored, and the slot is free again."""

    async def scene(place) -> None:
        client, words = place.dial(), place.words(A)
        client.send(words.authenticate() + words.report())
        client.close()
        await until(lambda: place.bench.log.devices)
        await until(lambda: len(place.hub.sessions) == 0)
        assert place.bench.log.devices == [device_of(A)]

    polled(scene)


def test_descriptors_are_used_again_and_nothing_is_mixed_up(polled):
    """Hundreds of terminals come and go in turn; each gets its own answer, and no descriptor or slot is left."""

    async def scene(place) -> None:
        before = open_files()
        for i in range(300):
            phone = f"139{i:08}"
            client = await place.known(phone)
            client.send(place.words(phone).report(i))
            await place.heard(client)
            place.clients.remove(client)
            client.close()
        await until(lambda: len(place.hub.sessions) == 0)
        assert place.bench.log.devices == [device_of(f"139{i:08}") for i in range(300)]
        assert open_files() <= before + 2

    polled(scene)


def test_a_descriptor_that_is_used_again_hears_nothing_of_a_guest(polled):
    """A guest reports, leaves, and its platform hangs up; who gets that descriptor next is not answered for it."""

    async def scene(place) -> None:
        words, client = place.words(A), await place.known(A)
        client.send(words.authenticate(B))
        await until(lambda: device_of(B) in place.hub.sessions.by_device)
        await place.heard(client)
        place.bench.log.open.clear()
        client.send(
            words.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5), B)
            + words.frame(0x0003, phone=B)
        )
        await until(lambda: device_of(B) not in place.hub.sessions.by_device)
        place.clients.remove(client)
        client.close()
        await until(lambda: len(place.hub.sessions) == 0)
        other = place.dial()  # gets the connection's slot again, not the guest's, whose generation would tell
        await until(lambda: place.hub.sessions.connected == 1)
        place.bench.log.open.set()
        await until(lambda: place.hub.appender.pending == 0)
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        assert place.bench.log.devices == [device_of(B)]

    polled(scene)


def test_one_who_does_not_read_is_closed(polled):
    """Its acknowledgements fill the kernel's buffers, never ours; an honest neighbour is served all the while."""

    async def scene(place) -> None:
        deaf, words = await place.known(A), place.words(A)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        honest = await place.known(B)
        frames = b"".join(words.frame(0x0002) for _ in range(200))
        loop = asyncio.get_running_loop()
        place.hub.budget.spend = lambda *_: None  # this is not about how much it says
        async with asyncio.timeout(30):
            while not place.hub.counts["closed_slow_reader"]:
                try:
                    await loop.sock_sendall(deaf, frames)
                except OSError:
                    break
        assert place.hub.counts["closed_slow_reader"] == 1
        honest.send(place.words(B).report())
        await place.heard(honest)

    polled(scene)


def test_half_a_packet_has_a_deadline(polled):
    """A byte now and then earns no time; who finishes in time is left alone."""

    async def scene(place) -> None:
        slow, honest = await place.known(A), await place.known(B)
        half = place.hub.sessions.half
        slow.send(place.words(A).report()[:20])
        honest.send(place.words(B).report()[:20])
        await until(lambda: (half > 0).sum() == 2)
        begun = half.max()
        slow.send(b"\x01")
        honest.send(b"\x7e")
        await until(lambda: (half > 0).sum() == 1)
        close_overdue(place.hub, begun + HALF_S - 1)
        assert place.hub.counts["closed_half_frame"] == 0
        close_overdue(place.hub, begun + HALF_S + 1)
        assert place.hub.counts["closed_half_frame"] == 1
        await place.ended(slow)

    polled(scene)


def test_a_pause_leaves_bytes_in_the_kernel(polled):
    """Nothing is read while the log takes nothing, new connections are refused, and afterwards all goes on."""

    async def scene(place) -> None:
        client, words = await place.known(A), place.words(A)
        place.hub._pause()
        client.send(words.report())
        await place.ended(place.dial())
        await asyncio.sleep(0.05)
        assert place.hub.counts["refused_paused"] == 1
        assert place.bench.log.devices == []
        place.hub._resume()
        await place.heard(client)
        assert place.bench.log.devices == [device_of(A)]

    polled(scene)


def test_who_sends_too_much_waits_for_the_next_sweep(polled):
    """It is not read, it loses nothing, and its neighbour does not wait."""

    async def scene(place) -> None:
        loud, quiet = await place.known(A), await place.known(B)
        slot = place.hub.sessions.by_device[device_of(A)]
        place.hub.sessions.taken[slot] = BYTES_PER_S * SWEEP_S
        loud.send(place.words(A).report())
        await place.heard(loud)
        loud.send(place.words(A).report())
        quiet.send(place.words(B).report())
        await place.heard(quiet)
        assert place.bench.log.devices == [device_of(A), device_of(B)]
        place.hub.budget.renew()
        await place.heard(loud)
        assert place.bench.log.devices == [device_of(A), device_of(B), device_of(A)]
        assert place.hub.counts["throttled"] == 1

    polled(scene)


def test_a_flood_of_heartbeats_from_a_stranger(polled):
    """What is taken one by one costs more than its bytes: a stranger is read no more after some 160 packets of a sweep, a known
    terminal may say a few thousand; both go on at the next."""

    async def scene(place) -> None:
        stranger, known = place.dial(), await place.known(A)
        words = place.words(B)
        stranger.send(b"".join(words.frame(0x0002) for _ in range(200)))
        await until(lambda: place.hub.counts["throttled"] == 1)
        sessions = place.hub.sessions
        slot = next(slot for slot in range(2) if not sessions.authenticated[slot])
        before = sessions.taken[slot]
        stranger.send(words.frame(0x0002))
        known.send(b"".join(place.words(A).frame(0x0002) for _ in range(300)))
        await place.heard(known, 300 * 20)
        assert sessions.taken[slot] == before
        assert place.hub.counts["throttled"] == 1
        place.hub.budget.renew()
        await until(lambda: 0 < sessions.taken[slot] < before)

    polled(scene)


def test_one_poll_takes_a_bounded_number_of_bytes(polled):
    """A terminal that sends a megabyte at once is read READ bytes at a time, and whole in the end."""

    async def scene(place) -> None:
        client, words = await place.known(A), place.words(A)
        sizes: list[int] = []
        take = place.hub.take

        def watched(hosts, chunks) -> None:
            sizes.extend(map(len, chunks))
            take(hosts, chunks)

        place.hub.take = watched
        sent = b"".join(words.report(i) for i in range(20_000))
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(client, sent))
        answered = 0
        async with asyncio.timeout(20):
            while answered < 20_000:
                answered += (await place.heard(client)).count(b"\x80\x01\x00\x05")
        await sending
        assert sum(sizes) == len(sent)
        assert max(sizes) < READ + 4096

    polled(scene)


def test_connections_beyond_the_limit_are_closed_politely(polled, monkeypatch):
    """At FILES_SHARE of the open files; a flood is one line of the log a second."""
    monkeypatch.setattr(gate_module, "raise_file_limit", lambda: 1000)
    said: list[dict] = []
    monkeypatch.setattr(gate_module.log, "warning", lambda _, **more: said.append(more))

    async def scene(place) -> None:
        place.gate.most = 5
        for i in range(5):
            await place.known(f"1390000000{i}")
        for _ in range(50):
            await place.ended(place.dial())
        assert place.hub.counts["refused_files"] == 50
        assert place.hub.sessions.connected == 5
        assert len(said) <= 2

    polled(scene)


def test_an_addresss_budget(polled):
    """An address that connects too often is refused until its budget has grown again; another is not."""

    async def scene(place) -> None:
        gate, now = place.gate, time.monotonic()
        admitted = sum(gate.admits("10.0.0.1", now) for _ in range(25_000))
        assert admitted == gate_module.CONNECTS_AT_ONCE
        assert gate.admits("10.0.0.2", now)
        assert sum(gate.admits("10.0.0.1", now + 1) for _ in range(1000)) == gate_module.CONNECTS_PER_S

    polled(scene)
