"""Assemblies: parts of all sessions together are bounded, asked after, and forgotten with their connections."""

from __future__ import annotations

import time

from gateway.edge import assemblies as assemblies_module
from protocols.jt808.reassembly import Limits

A, B = "13811111111", "13822222222"
BODY = bytes(2000)
SILENCE = Limits().silence_us


def held(hub) -> int:
    return sum(bytes_held for _, bytes_held in hub.assemblies._held.values())


def later(us: int) -> int:
    return time.time_ns() // 1000 + us


async def test_missing_parts_are_asked_for_and_given_up(edge_bench):
    """0x8003 with the first serial number and the missing parts, three times, then the message is counted as lost."""
    bench = edge_bench()
    one = await bench.known(A)
    parts = one.parts(0x0801, BODY)
    first = one.serial - len(parts) + 1
    one.say(parts[0], parts[3])
    await bench.settle()
    assert bench.hub.assemblies.nbytes == held(bench.hub) > 0
    one.transport.written = b""
    bench.hub.assemblies.sweep(later(SILENCE - 1_000_000))
    assert one.heard == []
    for n in range(1, 4):
        bench.hub.assemblies.sweep(later(n * SILENCE + 1))
    asked = first.to_bytes(2, "big") + b"\x03\x00\x02\x00\x03\x00\x05"
    assert [(packet.message, packet.body, packet.identity) for packet in one.heard] == [(0x8003, asked, A)] * 3
    serials = [packet.serial for packet in one.heard]
    assert serials == list(range(serials[0], serials[0] + 3))
    bench.hub.assemblies.sweep(later(4 * SILENCE + 1))
    assert bench.hub.counts["incomplete"] == 1
    assert bench.hub.assemblies.nbytes == 0


async def test_parts_that_come_when_asked_for_make_the_message(edge_bench):
    """The whole is handed on, and nothing is asked for any more."""
    bench = edge_bench()
    one = await bench.known(A)
    parts = one.parts(0x0900, BODY)
    one.say(parts[0], parts[3])
    await bench.settle()
    bench.hub.assemblies.sweep(later(SILENCE))
    one.say(parts[1], parts[2], parts[4])
    await bench.settle()
    assert bench.log.records[-1]["body"] == BODY.hex()
    one.transport.written = b""
    bench.hub.assemblies.sweep(later(2 * SILENCE))
    assert one.heard == []


async def test_what_a_closed_connection_left_is_forgotten(edge_bench):
    """Its parts, half or finished, return their bytes at the next sweep, and the half ones are counted."""
    bench = edge_bench()
    one, other = await bench.known(A), await bench.known(B)
    for each in (one, other):
        each.say(*each.parts(0x0900, BODY), each.parts(0x0900, BODY)[0])
    await bench.settle()
    one.lost()
    bench.hub.drop(other.connection, "idle")
    bench.hub.assemblies.sweep(later(0))
    assert (bench.hub.assemblies.nbytes, bench.hub.counts["incomplete"]) == (0, 2)
    assert not bench.hub.assemblies._held


async def test_who_speaks_elsewhere_is_not_asked_here(edge_bench):
    """A guest that moved to another connection, or left, takes what it had sent in parts along."""
    bench = edge_bench()
    one = await bench.known(A)
    one.say(one.authenticate(B))
    await bench.settle()
    one.say(one.parts(0x0801, BODY)[0], one.parts(0x0801, BODY, phone=B)[0])
    await bench.settle()
    await bench.known(B)
    one.say(one.frame(0x0003))
    await bench.settle()
    one.transport.written = b""
    bench.hub.assemblies.sweep(later(SILENCE))
    assert one.heard == []
    assert (bench.hub.assemblies.nbytes, bench.hub.counts["incomplete"]) == (0, 2)


async def test_hostile_parts_of_many_connections(edge_bench, monkeypatch):
    """Whatever they send, all together hold no more than the bound; who holds most gives up, the others finish."""
    monkeypatch.setattr(assemblies_module, "MOST_BYTES", 200_000)
    bench = edge_bench()
    honest = await bench.known(A)
    parts = honest.parts(0x0900, BODY)
    honest.say(*parts[:2])
    hostile = [await bench.known(f"139{i:08}") for i in range(40)]
    for n in range(12):
        for one in hostile:
            one.serial += 5000
            one.say(one.parts(0x0801, bytes(40_000), size=1000)[n])
        bench.hub.flush()
        assert bench.hub.assemblies.nbytes == held(bench.hub) <= 200_000
    await bench.settle()
    honest.say(*parts[2:])
    await bench.settle()
    assert bench.log.records[-1]["body"] == BODY.hex()
    assert bench.hub.counts["incomplete"] > 0
    for one in hostile:
        one.lost()
    honest.lost()
    bench.hub.assemblies.sweep(later(0))
    assert bench.hub.assemblies.nbytes == 0
