"""A hub under thousands of random actions: nobody hears what is another's, nothing is said too early, nothing leaks."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from columns.identity import device_of
from gateway.edge import deadlines
from protocols.jt808 import framing, terminal
from protocols.jt808.hearing import MESSAGES

if TYPE_CHECKING:
    from tests.plugins.edge import Bench, Caller

PHONES = [f"1390000000{i}" for i in range(8)]
START = 1_700_000_000_000_000
STEPS = 1500


class Town:
    """Connections that come and go, over which terminals speak in turn; what was asked and answered on each."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.random = random.Random(seed)  # noqa: S311
        self.callers: list[Caller] = []
        self.gone: list[Caller] = []
        self.asked: dict[Caller, set[tuple[str, int, int]]] = defaultdict(set)
        self.parts: dict[tuple[Caller, str], list[bytes]] = {}
        self.sent: dict[tuple[Caller, str, int], list[int]] = {}
        self.seconds = 0
        self.acknowledged = 0

    # ---- actions ------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        one = self.bench.caller("0")
        if self.random.random() < 0.3:  # a polled socket or a topic, which are lost at the end of the loop's turn
            one.transport.abort = lambda: asyncio.get_running_loop().call_soon(self.hang_up, one, "")
        self.callers.append(one)

    def ask(self, one: Caller, phone: str, message: int, body: bytes) -> None:
        frame = one.frame(message, body, phone)
        self.asked[one].add((phone, message, one.serial))
        if message in {0x0200, 0x0704}:
            count = 1 if message == 0x0200 else 3
            self.sent[one, phone, one.serial] = list(range(self.seconds - count, self.seconds))
        self.say(one, frame)

    def say(self, one: Caller, frame: bytes) -> None:
        if not one.connection.dropped and one.connection.slot >= 0:
            one.say(frame)

    def location(self) -> bytes:
        self.seconds += 1
        return terminal.location(START + (self.seconds - 1) * 1_000_000, 116.0, 36.5)

    def authenticate(self, one: Caller, phone: str) -> None:
        self.ask(one, phone, 0x0102, self.bench.registry.code(phone, 1).encode())

    def guess(self, one: Caller, phone: str) -> None:
        self.ask(one, phone, 0x0102, b"WRONG")

    def register(self, one: Caller, phone: str) -> None:
        self.ask(one, phone, 0x0100, terminal.register(self.random.choice(["2011", "2013"])))

    def report(self, one: Caller, phone: str) -> None:
        self.ask(one, phone, 0x0200, self.location())

    def batch(self, one: Caller, phone: str) -> None:
        self.ask(one, phone, 0x0704, terminal.batch([self.location() for _ in range(3)]))

    def anything(self, one: Caller, phone: str) -> None:
        message = self.random.choice([0x0002, 0x0004, 0x0104, 0x0705, 0x0201, 0x0005, 0x0F0F, 0x0200, 0x0801])
        self.ask(one, phone, message, self.random.randbytes(self.random.randrange(28)))

    def part(self, one: Caller, phone: str) -> None:
        """The next part of what this terminal has begun here, sometimes twice or left out."""
        waiting = self.parts.get((one, phone))
        if not waiting:
            message = self.random.choice([0x0704, 0x0801, 0x0900])
            rows = 8
            body = terminal.batch([self.location() for _ in range(rows)]) if message == 0x0704 else bytes(400)
            first = one.serial + 1
            waiting = self.parts[one, phone] = one.parts(message, body, 60, phone)
            for i in range(len(waiting)):
                self.asked[one].add((phone, message, first + i))
            return
        frame = waiting.pop(0)
        if self.random.random() < 0.95:
            self.say(one, frame)
        if self.random.random() < 0.1:
            self.say(one, frame)

    def leave(self, one: Caller, phone: str) -> None:
        self.ask(one, phone, 0x0003, b"")

    def garbage(self, one: Caller, _phone: str) -> None:
        self.say(one, b"\x7e\x01\x02\x7e" * self.random.choice([1, 1, 150]))

    def hang_up(self, one: Caller, _phone: str) -> None:
        if one not in self.callers:
            return
        self.callers.remove(one)
        self.gone.append(one)
        one.lost()

    async def step(self) -> None:
        for one in [one for one in self.callers if one.connection.dropped]:
            if self.random.random() < 0.5:  # a socket is lost some time after it is aborted
                self.hang_up(one, "")
        chance = self.random.random()
        if chance < 0.05 or not self.callers:
            self.connect()
        elif chance < 0.08:
            self.hang_up(self.random.choice(self.callers), "")
        elif chance < 0.20:
            self.bench.hub.flush()
            self.check()
        elif chance < 0.24:
            (self.bench.log.open.clear if self.random.random() < 0.5 else self.bench.log.open.set)()
            await asyncio.sleep(0)
        elif chance < 0.26:
            self.bench.hub.assemblies.sweep(time.time_ns() // 1000 + self.random.randrange(20_000_000))
        elif chance < 0.27:
            deadlines.close_overdue(self.bench.hub, time.monotonic() + self.random.choice([0, 61, 601]))
        else:
            act = self.random.choices(
                [self.authenticate, self.guess, self.register, self.report, self.batch, self.anything, self.part,
                 self.leave, self.garbage],
                [12, 2, 3, 15, 5, 5, 30, 3, 1],
            )[0]  # fmt: skip
            speaking = [(one, phone) for one in self.callers for phone in PHONES if self.speaks(one, phone)]
            if speaking and self.random.random() < 0.6:
                act(*self.random.choice(speaking))
            else:
                act(self.random.choice(self.callers), self.random.choice(PHONES))

    def speaks(self, one: Caller, phone: str) -> bool:
        slot = self.bench.sessions.by_device.get(device_of(phone))
        return slot is not None and self.bench.sessions.connections[slot] is one.connection

    # ---- what must hold -----------------------------------------------------------------------------------------

    def check(self) -> None:
        sessions = self.bench.sessions
        for device, slot in sessions.by_device.items():
            assert sessions.authenticated[slot]
            assert sessions.device[slot] == device
            assert sessions.connections[slot] is not None
        for slot in sessions.authenticated.nonzero()[0].tolist():
            connection = sessions.connections[slot]
            assert connection is not None
            assert connection.dropped or sessions.by_device[int(sessions.device[slot])] == slot
        free = sessions._free
        assert len(set(free)) == len(free)
        assert all(slot >= 0 and sessions.connections[slot] is None for slot in free)
        guests = [
            slot for one in self.callers for _, slot in one.connection.guests.values() if one.connection.slot >= 0
        ]
        assert sorted(guests) == sorted(sessions.guests._keys)
        here = [one for one in self.callers if one.connection.slot >= 0]
        assert sessions.connected == len(here)
        told, appender = self.bench.hub.telemetry, self.bench.hub.appender
        assert told.taken == told.refused + appender.appended_rows + appender.queued_rows
        assemblies = self.bench.hub.assemblies
        assert assemblies.nbytes == sum(held for _, held in assemblies._held.values())

    def check_replies(self) -> None:
        """Each is to who asked, on the connection where it asked, and success stands for what the log has."""
        stored = {
            (device, at)
            for batch in self.bench.log.batches
            for device, at in zip(batch.positions.device.tolist(), batch.positions.time.tolist(), strict=True)
        }
        for one in (*self.callers, *self.gone):
            for packet in one.heard:
                if packet.message != 0x8001:
                    assert packet.identity in {phone for phone, _, _ in self.asked[one]}
                    continue
                serial, message = int.from_bytes(packet.body[:2], "big"), int.from_bytes(packet.body[2:4], "big")
                assert (packet.identity, message, serial) in self.asked[one]
                if packet.body[4] == 0:
                    seconds = self.sent.get((one, packet.identity, serial), [])
                    self.acknowledged += len(seconds)
                    for second in seconds:
                        assert (device_of(packet.identity), START + second * 1_000_000) in stored


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_leaks_and_nobody_hears_anothers(edge_bench, seed):
    """Thousands of actions over connections that terminals share and take from each other."""
    bench = edge_bench(1 + seed % 2)
    town = Town(bench, seed)
    for n in range(STEPS):
        await town.step()
        if n % 100 == 0:
            town.check_replies()
    bench.log.open.set()
    await bench.settle()
    await asyncio.gather(*bench.jobs)
    await bench.settle()
    town.check()
    town.check_replies()
    assert bench.hub.telemetry.taken > bench.hub.appender.appended_rows > 100
    assert bench.hub.appender.queued_rows == bench.hub.appender.waiting == 0
    assert town.acknowledged > 20
    assert bench.hub.counts["ended_replaced"] + bench.hub.counts["closed_replaced"] > 3
    assert bench.hub.counts["uploads"] > 0
    for one in list(town.callers):
        town.hang_up(one, "")
    await bench.settle()
    bench.hub.assemblies.sweep(time.time_ns() // 1000)
    town.check()
    town.check_replies()
    sessions, hub = bench.sessions, bench.hub
    assert (len(sessions), len(sessions.guests), sessions.by_device, sessions.authenticated.any()) == (0, 0, {}, False)
    assert (hub.appender.pending, hub.assemblies.nbytes, hub.uploads._waiting) == (0, 0, 0)
    assert not hub.assemblies._held
    assert not hub.uploads._storing
    assert not hub.rejects._garbage
    assert not [one.exception() for one in bench.ended if one.exception()]


@pytest.mark.parametrize("edition", ["2011", "2013", "2019"])
async def test_random_bodies_never_raise(edge_bench, edition):
    """Any bytes as any message that is handled, whole, in parts, encrypted or with part numbers that cannot be."""
    bench = edge_bench()
    one, dice = await bench.known("13811111111"), random.Random(edition)  # noqa: S311
    bcd = terminal.phone_bcd(one.phone, edition)
    messages = [0x0200, 0x0704, *MESSAGES]
    for n in range(3000):
        message = dice.choice(messages)
        if message in {0x0003, 0x0102}:  # the one ends the session, the other does when it is refused ten times
            continue
        part = dice.choice([None, None, (dice.randrange(4), dice.randrange(5)), (1, 1)])
        frame = bytearray(framing.encode(message, dice.randbytes(dice.randrange(120)), bcd, edition, n, part))
        if dice.random() < 0.05:
            frame[3] ^= 0x04
            frame[-2] ^= 0x04
        one.say(bytes(frame))
        if n % 50 == 0:
            await bench.settle()
    await bench.settle()
    assert (one.transport.aborted, one.connection.dropped) == (0, False)
    one.say(one.report())
    await bench.settle()
    assert one.replies[-1].result == 0
    assert bench.hub.counts["body"] > 100
