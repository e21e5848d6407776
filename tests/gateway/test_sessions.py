"""Sessions: who speaks for a device, through logins, logouts and slots that are used again."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.edge.deadlines import HALF_S, SILENT_S, STRANGER_S, close_overdue
from gateway.edge.sessions import Sessions


@pytest.fixture
def sessions():
    return Sessions()


def opened(sessions, now=0.0):
    return sessions.open(object(), now)


def test_a_slots_next_tenant_keeps_its_own_device(sessions):
    """111 logs out and closes, 222 takes its slot, 111 logs in elsewhere: 222 stays."""
    first = opened(sessions)
    sessions.authenticate(first, 111, 0, 0, 111, v2019=False)
    sessions.release(first)
    sessions.close(first)
    second = opened(sessions)
    assert second == first
    assert sessions.device[second] == 0
    assert sessions.authenticate(second, 222, 0, 0, 222, v2019=False) is None
    third = opened(sessions)
    assert sessions.authenticate(third, 111, 0, 0, 111, v2019=False) is None, "nobody is closed"
    assert sessions.by_device == {222: second, 111: third}


def test_another_identity_on_one_connection_gives_the_first_up(sessions):
    """Who authenticates as somebody else no longer speaks for whom it was."""
    one, other = opened(sessions), opened(sessions)
    sessions.authenticate(one, 111, 0, 0, 111, v2019=False)
    sessions.authenticate(one, 222, 0, 0, 222, v2019=False)
    assert sessions.by_device == {222: one}
    assert sessions.authenticate(other, 111, 0, 0, 111, v2019=False) is None


def test_the_newest_wins_and_the_oldest_leaves_quietly(sessions):
    """The replaced slot is named, and its end does not take the device from the new one."""
    one, other = opened(sessions), opened(sessions)
    assert sessions.authenticate(one, 111, 0, 0, 111, v2019=False) is None
    assert sessions.authenticate(one, 111, 0, 0, 111, v2019=False) is None, "the same again replaces nobody"
    assert sessions.authenticate(other, 111, 0, 0, 111, v2019=False) == one
    sessions.close(one)
    assert sessions.by_device == {111: other}
    sessions.close(other)
    assert sessions.by_device == {}


def test_every_authenticated_slot_is_found_or_was_replaced(sessions):
    """Under random actions by_device never names a slot that does not speak for that device."""
    random = np.random.default_rng(1)
    live: list[int] = []
    for _ in range(3000):
        action = random.integers(4)
        if action == 0 or not live:
            live.append(opened(sessions))
            continue
        slot = live[random.integers(len(live))]
        if action == 1:
            sessions.authenticate(slot, int(random.integers(1, 20)), 0, 0, 0, v2019=False)
        elif action == 2:
            sessions.release(slot)
        else:
            live.remove(slot)
            sessions.close(slot)
        for device, holder in sessions.by_device.items():
            assert sessions.authenticated[holder]
            assert sessions.device[holder] == device


async def test_a_stranger_earns_no_time_by_talking(edge_bench):
    """A heartbeat every 50 s holds no socket of who never authenticates; an authenticated terminal's does."""
    bench = edge_bench()
    stranger, honest = bench.caller("111"), await bench.known("222")
    begin = bench.sessions.since[stranger.connection.slot]
    for passed in (50, 100):
        stranger.say(stranger.frame(0x0002))
        honest.say(honest.frame(0x0002))
        await bench.settle()
        bench.sessions.heard[:2] = begin + passed
        close_overdue(bench.hub, begin + passed + 1)
    assert stranger.transport.aborted == 1
    assert bench.hub.counts["closed_idle"] == 1
    close_overdue(bench.hub, begin + 100 + SILENT_S - 1)
    assert honest.transport.aborted == 0
    close_overdue(bench.hub, begin + 100 + SILENT_S + 1)
    assert honest.transport.aborted == 1


async def test_who_leaves_has_a_strangers_time_from_then_on(edge_bench):
    """0x0003 after days: it may register again within STRANGER_S."""
    bench = edge_bench()
    one = await bench.known("111")
    slot = one.connection.slot
    bench.sessions.since[slot] -= 100_000
    one.say(one.frame(0x0003))
    await bench.settle()
    assert not bench.sessions.authenticated[slot]
    now = bench.sessions.heard[slot]
    close_overdue(bench.hub, now + STRANGER_S - 1)
    assert one.transport.aborted == 0
    close_overdue(bench.hub, now + STRANGER_S + 1)
    assert one.transport.aborted == 1


async def test_half_a_packet_over_asyncios_transports_has_a_deadline(edge_bench):
    """As over a polled socket: it begins with a packet, a byte more earns no time, and the packet's end ends it."""
    bench = edge_bench()
    slow, honest = await bench.known("111"), await bench.known("222")
    half = bench.sessions.half
    for one in (slow, honest):
        one.say(one.frame(0x0002)[:9])
    begun = half[[slow.connection.slot, honest.connection.slot]].copy()
    assert (begun > 0).all()
    slow.say(b"\x01")
    honest.say(b"\x00\x7e")
    assert half[slow.connection.slot] == begun[0]
    assert half[honest.connection.slot] == 0
    close_overdue(bench.hub, begun[0] + HALF_S - 1)
    assert slow.transport.aborted == 0
    close_overdue(bench.hub, begun[0] + HALF_S + 1)
    assert (slow.transport.aborted, honest.transport.aborted) == (1, 0)
    assert bench.hub.counts["closed_half_frame"] == 1
