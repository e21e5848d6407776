"""Several terminals on one connection, as behind a forwarding platform: each is itself, and none ends another."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from columns.identity import device_of
from gateway.edge import connection as connection_module
from gateway.edge.deadlines import SILENT_S, STRANGER_S, close_overdue
from gateway.edge.guests import Guests
from protocols.jt808 import terminal

A, B, C = "13811111111", "13822222222", "13833333333"


def report(caller, phone: str, seconds: int = 0) -> bytes:
    body = terminal.location(time.time_ns() // 1000 - seconds * 1_000_000, 116.0, 36.5)
    return caller.frame(0x0200, body, phone)


@pytest.mark.parametrize("partitions", [1, 2])
async def test_each_report_is_its_own_terminals(edge_bench, partitions):
    """Three terminals in turn, in one linger: stored under their own numbers, acknowledged each with its own phone."""
    bench = edge_bench(partitions)
    one = await bench.platform(A, B, C)
    one.say(*[report(one, phone, i) for i, phone in enumerate((A, B, C, B, A, C))])
    await bench.settle()
    assert sorted(bench.log.devices) == sorted(map(device_of, (A, B, C, A, B, C)))
    assert one.results(0x0200) == [0] * 6
    for phone in (A, B, C):
        assert one.transport.written.count(terminal.phone_bcd(phone, "2013")) == 2
    assert bench.sessions.connected == 1


async def test_a_terminal_that_did_not_authenticate_is_not_heard(edge_bench):
    """That its neighbour is known is no proof of who it is; and its heartbeats end nobody's session."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    one.say(report(one, C), one.frame(0x0002, phone=C), report(one, A), report(one, B))
    await bench.settle()
    assert sorted(bench.log.devices) == sorted(map(device_of, (A, B)))
    assert sorted(one.results(0x0200)) == [0, 0, 1]


async def test_one_leaves_and_the_others_stay(edge_bench):
    """0x0003 of a guest, then of the first; what each said in the same linger is still heard."""
    bench = edge_bench()
    one = await bench.platform(A, B, C)
    one.say(report(one, B), one.frame(0x0003, phone=B), report(one, A))
    await bench.settle()
    one.say(one.frame(0x0003, phone=A), report(one, C, 1))
    await bench.settle()
    one.say(report(one, A, 9), report(one, B, 9), report(one, C, 2))
    await bench.settle()
    assert sorted(bench.log.devices) == sorted(map(device_of, (A, B, C, C)))
    assert one.results(0x0003) == [0, 0]
    assert list(bench.sessions.by_device) == [device_of(C)]
    assert one.transport.aborted == 0


async def test_one_that_comes_elsewhere_ends_only_its_own_session(edge_bench):
    """The newest connection wins the terminal, not the connection of all its neighbours; of the first one as well."""
    bench = edge_bench()
    one = await bench.platform(A, B, C)
    for phone in (B, A):
        await bench.known(phone)
        one.say(report(one, phone, 5))
    one.say(report(one, C))
    await bench.settle()
    assert one.transport.aborted == 0
    assert one.results(0x0200) == [1, 1, 0]
    assert bench.hub.counts["ended_replaced"] == 2
    await bench.known(C)
    assert bench.hub.counts["ended_replaced"] == 3


async def test_all_slots_are_free_when_it_hangs_up(edge_bench):
    """Of hundreds of guests, too; and their next tenants inherit nothing."""
    bench = edge_bench()
    phones = [f"139{i:08}" for i in range(300)]
    one = await bench.platform(*phones)
    assert (bench.sessions.connected, len(bench.sessions)) == (1, 300)
    one.say(*[report(one, phone) for phone in phones])
    one.lost()
    await bench.settle()
    assert sorted(bench.log.devices) == sorted(map(device_of, phones))
    assert (len(bench.sessions), bench.sessions.by_device, len(bench.sessions.guests)) == (0, {}, 0)
    other = bench.caller(phones[7])
    other.say(report(other, phones[7]))
    await bench.settle()
    assert other.results(0x0200) == [1]


async def test_silence_ends_one_of_them(edge_bench):
    """A guest that was silent too long is ended alone, and so is the first; a platform without a first is no stranger."""
    bench = edge_bench()
    one = await bench.platform(A, B, C)
    slots = [bench.sessions.by_device[device_of(phone)] for phone in (A, B, C)]
    now = float(bench.sessions.heard[slots].max())
    bench.sessions.heard[slots] = now - SILENT_S - 1, now - SILENT_S - 1, now
    close_overdue(bench.hub, now)
    assert list(bench.sessions.by_device) == [device_of(C)]
    bench.sessions.since[one.connection.slot] = now - STRANGER_S - 1
    close_overdue(bench.hub, now)
    assert one.transport.aborted == 0


async def test_a_connection_has_a_number_of_seats(edge_bench, monkeypatch):
    """Beyond it a terminal is not taken, and counted; those that are seated may authenticate again."""
    monkeypatch.setattr(connection_module, "MOST_TERMINALS", 2)
    bench = edge_bench()
    one = await bench.platform(A, B, C)
    one.say(one.authenticate("13844444444"), one.authenticate(B))
    await bench.settle()
    assert len(bench.sessions.by_device) == 3
    assert bench.hub.counts["not_authenticated"] == 1


KEYS = st.tuples(st.integers(0, 5), st.integers(0, 65535), st.integers(0, 2**64 - 1) | st.integers(0, 3))


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=40), st.lists(KEYS, max_size=10))
def test_finding_equals_a_dictionary(changes, others):
    """After any additions and removals the columns find what a dictionary finds."""
    guests, known = Guests(), {}
    for add, key in changes:
        if add and key not in known:
            known[key] = 100 + len(known) + len(changes)
            while known[key] in [slot for other, slot in known.items() if other != key]:
                known[key] += 1
            guests.add(*key, known[key])
        elif not add and key in known:
            guests.remove(known.pop(key))
        asked = [*known, *others, key]
        columns = zip(*asked, strict=True)
        hosts, hi, lo = (np.array(c, d) for c, d in zip(columns, ("<i8", "<u2", "<u8"), strict=True))
        assert guests.find(hosts, hi, lo).tolist() == [known.get(one, -1) for one in asked]
