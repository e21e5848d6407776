"""The conversation of a linger: what waits for the disk, who is heard for whom, and whom a stranger can end."""

from __future__ import annotations

import time

import numpy as np
import pytest

from columns.identity import device_of
from columns.reason import Reason
from gateway.edge import conversation as conversation_module
from gateway.edge.patience import AT_ONCE
from gateway.edge.records import MAX_TEXT
from gateway.edge.rejected import DEAD_PER_LINGER
from protocols.contract import Response
from protocols.jt808 import hearing, splitting, terminal
from protocols.jt808.hearing import Event, Heard
from protocols.jt808.session import MAX_REFUSALS

A, B, C = "13811111111", "13822222222", "13833333333"


def reports(n: int) -> bytes:
    """The body of a 0x0704 with n reports."""
    return terminal.batch([terminal.location(1_700_000_000_000_000 + i * 1_000_000, 116.0, 36.5) for i in range(n)])


async def test_a_batch_in_parts_is_acknowledged_when_it_is_stored(edge_bench):
    """Every part at once, save the one that completes it: that waits for the log, and so do repeats of any."""
    bench = edge_bench()
    one = await bench.known(A)
    parts = one.parts(0x0704, reports(60))
    bench.log.open.clear()
    one.say(*parts[:-1])
    bench.hub.flush()
    assert one.results(0x0704) == [0] * (len(parts) - 1)
    one.say(parts[-1])
    bench.hub.flush()
    one.say(parts[-1], parts[0])
    bench.hub.flush()
    assert len(one.results(0x0704)) == len(parts) - 1
    bench.log.open.set()
    await bench.settle()
    assert one.results(0x0704) == [0] * (len(parts) + 2)
    assert bench.log.devices == [device_of(A)] * 60


async def test_a_repeat_in_the_same_linger_waits_for_the_rows(edge_bench):
    """[last part, last part] of more rows than a batch holds: no acknowledgement before the batch that has them."""
    bench = edge_bench()
    one = await bench.known(A)
    parts = one.parts(0x0704, reports(4000), size=1000)
    one.say(*parts[:-1])
    await bench.settle()
    told = len(one.results(0x0704))
    append, stored = bench.log.append, []

    async def watched(partition, data, message_id):
        assert len(one.results(0x0704)) == told or stored, "acknowledged before the rows were there"
        number = await append(partition, data, message_id)
        if bench.log.devices.count(device_of(A)) == 4000:
            stored.append(number)
        return number

    bench.log.append = watched
    one.say(parts[-1], parts[-1])
    bench.hub.flush()
    await bench.settle()
    assert stored
    assert len(one.results(0x0704)) == told + 2


async def test_who_sends_the_last_part_and_leaves_is_stored(edge_bench):
    """[last part of a 0x0704, 0x0003] in one linger: stored and acknowledged, as a whole one would be."""
    bench = edge_bench()
    one = await bench.known(A)
    parts = one.parts(0x0704, reports(20))
    one.say(*parts, one.frame(0x0003))
    await bench.settle()
    assert bench.log.devices == [device_of(A)] * 20
    assert one.results(0x0704) == [0] * len(parts)
    assert bench.hub.counts["not_authenticated"] == 0


async def test_a_guest_that_sends_the_last_part_and_leaves_is_stored(edge_bench):
    """As above; its slot is gone before the log has the rows, so the last part is not acknowledged."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    parts = one.parts(0x0704, reports(20), phone=B)
    one.say(*parts, one.frame(0x0003, phone=B))
    await bench.settle()
    assert bench.log.devices == [device_of(B)] * 20
    assert one.results(0x0704) == [0] * (len(parts) - 1)
    assert bench.hub.counts["not_authenticated"] == 0


@pytest.mark.parametrize("message", [0x0100, 0x0102, 0x0003, 0x0104, 0x0705, 0x0201, 0x0900])
async def test_what_leaves_a_record_is_answered_after_it(edge_bench, message):
    """Nothing is said before the log has the record."""
    bench = edge_bench()
    one = await bench.known(A)
    one.transport.written = b""
    bodies = {0x0100: terminal.register("2013"), 0x0102: bench.registry.code(A, 1).encode(),
              0x0201: b"\x00\x01" + terminal.location(time.time_ns() // 1000, 116.0, 36.5)}  # fmt: skip
    bench.log.open.clear()
    bench.log.messages.clear()
    one.say(one.frame(message, bodies.get(message, b"anything")))
    bench.hub.flush()
    assert one.transport.written == b""
    bench.log.open.set()
    await bench.settle()
    assert len(bench.log.records) == 1
    assert len(one.heard) == (0 if message in {0x0104, 0x0201} else 1)
    assert len(bench.log.devices) == (1 if message == 0x0201 else 0)


async def test_guests_are_heard_after_the_first_has_left(edge_bench):
    """What a guest says and sends in parts is its own, and it can leave, whether the first is there or not."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    one.say(one.frame(0x0003, phone=A))
    one.say(one.frame(0x0705, b"can", B), *one.parts(0x0704, reports(30), phone=B))
    await bench.settle()
    assert one.results(0x0705) == [0]
    assert bench.log.devices == [device_of(B)] * 30
    one.say(one.frame(0x0003, phone=B))
    await bench.settle()
    one.say(one.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5), B))
    await bench.settle()
    assert one.results(0x0200) == [1]
    assert (bench.sessions.by_device, len(bench.sessions)) == ({}, 1)


async def test_a_guest_authenticates_again(edge_bench):
    """Also after the first has left: it keeps its seat, and leaving still ends it."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    one.say(one.frame(0x0003, phone=A), one.authenticate(B), one.authenticate(C))
    await bench.settle()
    assert set(bench.sessions.by_device) == {device_of(B), device_of(C)}
    one.say(one.frame(0x0003, phone=B))
    await bench.settle()
    assert set(bench.sessions.by_device) == {device_of(C)}


@pytest.mark.parametrize("first_stays", [True, False])
async def test_a_stranger_does_not_end_its_neighbours(edge_bench, first_stays):
    """Behind a forwarding platform somebody guesses, for ever: only it is refused; honest newcomers are still taken."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    if not first_stays:
        one.say(one.frame(0x0003, phone=A))
    for _ in range(AT_ONCE + 20):
        one.say(one.frame(0x0102, b"WRONG", C))
    await bench.settle()
    assert (one.transport.aborted, one.connection.dropped) == (0, False)
    assert len(one.results(0x0102)) <= AT_ONCE + 1, "and it is answered no more"
    assert bench.hub.counts["ended_refused"] >= AT_ONCE // MAX_REFUSALS
    one.say(one.authenticate("13844444444"))
    await bench.settle()
    expected = {device_of(B), device_of("13844444444")} | ({device_of(A)} if first_stays else set())
    assert set(bench.sessions.by_device) == expected


async def test_who_guesses_alone_is_closed(edge_bench):
    """At the tenth refusal of a connection, and beyond the budget of its identity at the first."""
    bench = edge_bench()
    for attempt in range(AT_ONCE // MAX_REFUSALS + 1):
        one = bench.caller(A)
        one.say(*[one.frame(0x0102, b"WRONG") for _ in range(MAX_REFUSALS + 5)])
        await bench.settle()
        assert one.transport.aborted == 1
        assert len(one.results(0x0102)) == (0 if attempt == AT_ONCE // MAX_REFUSALS else MAX_REFUSALS)
        one.lost()
    assert bench.hub.counts["bad_code"] == AT_ONCE + 1
    honest = await bench.known(A)
    assert honest.transport.aborted == 0, "the right code is heard at any time"


async def test_refused_registrations_are_recorded_as_long_as_there_is_patience(edge_bench):
    """Staff see each of the first thirty, and one more for each minute that it goes on; every one is counted."""
    bench = edge_bench()
    bench.registry.enrol = False
    for _ in range(AT_ONCE + 5):
        one = bench.caller(A)
        one.say(one.frame(0x0100, terminal.register("2013")))
        await bench.settle()
        one.lost()
    assert len(bench.log.records) == AT_ONCE
    assert bench.hub.counts["unknown_terminal"] == AT_ONCE + 5
    for identity, (spent, since) in list(bench.hub.patience._spent.items()):
        bench.hub.patience._spent[identity] = spent, since - 60_000_000
    for _ in range(3):
        one = bench.caller(A)
        one.say(one.frame(0x0100, terminal.register("2013")))
        await bench.settle()
    assert len(bench.log.records) == AT_ONCE + 1


async def test_platform_serials_are_a_terminals_own(edge_bench):
    """Answers to a guest, written by the columns or by the conversation, count on from each other."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    for phone in (A, B, B, A):
        one.say(one.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5), phone))
        await bench.settle()
        one.say(one.frame(0x0002, phone=phone))
        await bench.settle()
    for phone in (A, B):
        serials = [packet.serial for packet in one.heard if packet.identity == phone]
        assert serials == list(range(serials[0], serials[0] + 4))


async def test_a_long_reply_goes_out_in_parts_and_again(edge_bench, monkeypatch):
    """A reply beyond one packet is split, and 0x0005 brings the listed parts back unchanged, to whom they were sent."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    long = bytes(range(256)) * 10

    def say_much(_session, _packet, _directory, _now):
        return Event.NOTHING, Response(hearing.Outcome.STORED, ((0x8103, long),))

    monkeypatch.setitem(hearing.MESSAGES, 0x0F01, Heard(say_much))
    one.say(one.frame(0x0F01, phone=B), one.frame(0x0F01))
    await bench.settle()
    said = [packet for packet in one.heard if packet.identity == B]
    assert [packet.part for packet in said] == [(splitting.parts(long), i + 1) for i in range(len(said))]
    assert b"".join(packet.body for packet in said) == long
    one.transport.written = b""
    asked = said[0].serial.to_bytes(2, "big") + b"\x02\x00\x03\x00\x01"
    one.say(one.frame(0x0005, asked, B))
    await bench.settle()
    assert one.heard == [said[2], said[0]]
    one.transport.written = b""
    one.say(one.frame(0x0005, b"\xff\xff\x01\x00\x01", B), one.frame(0x0005, b"\xff", B))
    await bench.settle()
    assert one.results(0x0005) == [1, 2]


async def test_a_guests_seat_is_taken_in_the_same_linger(edge_bench):
    """B reports on one platform, moves to another, and C takes the slot: nobody hears what was meant for another."""
    bench = edge_bench()
    old, new = await bench.platform(A, B), await bench.platform("13899999999")
    bench.log.open.clear()
    old.say(old.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5), B))
    new.say(new.authenticate(B), new.authenticate(C))
    bench.hub.flush()
    bench.log.open.set()
    await bench.settle()
    assert bench.log.devices == [device_of(B)]
    assert new.results(0x0200) == []
    assert {packet.identity for packet in new.heard} == {B, C}


async def test_a_guests_last_words_do_not_go_to_a_later_connection(edge_bench):
    """B reports and leaves; the descriptor that its slot had is another's before the log answers."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    slot = bench.sessions.by_device[device_of(B)]
    bench.sessions.fd[[one.connection.slot, slot]] = 99
    one.say(one.frame(0x0200, terminal.location(time.time_ns() // 1000, 116.0, 36.5), B), one.frame(0x0003, phone=B))
    bench.hub.flush()
    assert bench.sessions.fd[slot] == -1


async def test_a_strangers_broken_report_is_no_evidence_against_its_neighbour(edge_bench):
    """Dead letters bear the device of who sent them, not of whose connection it was."""
    bench = edge_bench()
    one = await bench.platform(A, B)
    one.say(one.frame(0x0200, b"short", C), one.frame(0x0200, b"short", B), one.frame(0x0200, b"short", A))
    await bench.settle()
    letters = [device for batch in bench.log.batches for device in batch.dead_letters.device.tolist()]
    assert sorted(letters) == sorted([device_of(A), device_of(B)])
    assert bench.hub.counts["body"] == 3


@pytest.mark.parametrize("message", [0x0104, 0x0900, 0x0801, 0x0001])
async def test_letters_of_what_was_refused(edge_bench, message):
    """An encrypted packet of an authenticated terminal is counted, and kept whole as a dead letter."""
    bench = edge_bench()
    one = await bench.known(A)
    frame = bytearray(one.frame(message, b"secret"))
    frame[3] |= 0x04
    frame[-2] ^= 0x04
    one.say(bytes(frame))
    await bench.settle()
    letters = bench.log.batches[-1].dead_letters
    assert (letters.device.tolist(), letters.reason.tolist()) == ([device_of(A)], [Reason.ENCRYPTED])
    assert letters.data[0] == bytes(frame[1:-1])
    assert one.results(message) == [3]


async def test_texts_are_bounded_and_bodies_are_not(edge_bench):
    """What a terminal calls itself is cut; a message that is kept is kept whole."""
    bench = edge_bench()
    one = await bench.known(A)
    one.say(one.frame(0x0100, terminal.register("2013", plate="x" * 500)), one.frame(0x0900, bytes(1000)))
    await bench.settle()
    plate, body = bench.log.records[-2]["plate"], bench.log.records[-1]["body"]
    assert (len(plate), len(body)) == (MAX_TEXT, 2000)


async def test_the_mark_of_who_any_code_would_have_let_in(edge_bench):
    """Legacy trust: its rows are UNVERIFIED; with its own code they are not."""
    bench = edge_bench()
    bench.registry.replace(1, [[A, 1, "registered", "3-A", "legacy", None]])
    one = bench.caller(A)
    one.say(one.frame(0x0102, b"whatever"), one.report(2))
    await bench.settle()
    one.say(one.authenticate(), one.report(1))
    await bench.settle()
    one.say(one.report())
    await bench.settle()
    marks = np.concatenate([batch.positions.quality for batch in bench.log.batches])
    unverified = int(conversation_module.Quality.UNVERIFIED)
    assert (marks & unverified > 0).tolist() == [True, True, False]


async def test_letters_of_a_linger_are_bounded(edge_bench):
    """A terminal that says only what we don't know is answered and counted each time, and kept a hundred times."""
    bench = edge_bench()
    one = await bench.known(A)
    one.say(*[one.frame(0x0F01, b"x") for _ in range(DEAD_PER_LINGER + 50)])
    await bench.settle()
    assert one.results(0x0F01) == [3] * (DEAD_PER_LINGER + 50)
    assert bench.hub.counts["unsupported"] == DEAD_PER_LINGER + 50
    assert sum(len(batch.dead_letters) for batch in bench.log.batches) == DEAD_PER_LINGER
