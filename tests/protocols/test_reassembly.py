"""Reassembly: any order, repetition and mixture of parts gives the same messages, and nothing grows without bound."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.reason import Reason
from protocols.jt808 import framing, intake
from protocols.jt808.missing import MEDIA, MEDIA_ANSWER, MISSING, missing_parts
from protocols.jt808.phone import phone_bcd
from protocols.jt808.reassembly import MESSAGE_BYTES, SECOND, Came, Limits, Reassembly, first_serial
from protocols.jt808.splitting import split
from tests.protocols.frames import NOW, blobs, resealed

PHONE = "13812345678"


def part(total, index, body=b"x", *, first=7, message=MEDIA, edition="2013", phone=PHONE):
    """The packet of one part, as the intake reads it off the wire."""
    serial = first + index - 1 & 0xFFFF
    frame = framing.encode(message, body, phone_bcd(phone, edition), edition, serial, (total, index))
    return intake.read([frame], NOW).packets.packet(0)


def parts_of(bodies, **more):
    return [part(len(bodies), index, body, **more) for index, body in enumerate(bodies, 1)]


class Oracle:
    """The rule without bounds, clock or shortcuts: parts by message; a contradiction begins the message anew."""

    def __init__(self):
        self.parts = {}
        self.whole = []
        self.conflicts = 0

    def take(self, packet):
        total, index = packet.part
        if not 1 <= index <= total:
            return
        key = (packet.identity, packet.message, packet.v2019, (packet.serial - index + 1) % 65536)
        held_total, held = self.parts.get(key, (total, {}))
        if held_total != total or held.get(index, packet.body) != packet.body:
            self.conflicts += len(held) < held_total
            held = {}
        if index in held:
            return
        self.parts[key] = total, {**held, index: packet.body}
        if len(held) + 1 == total:
            self.whole.append((key, b"".join(body for _, body in sorted(self.parts[key][1].items()))))


def wholes(packets, reassembly):
    found, counts = [], Counter()
    for packet in packets:
        taken = reassembly.take(packet, NOW)
        counts.update(taken.lost)
        if taken.whole is not None:
            whole = taken.whole
            found.append(((whole.identity, whole.message, whole.v2019, whole.serial), whole.body))
    return found, counts


@st.composite
def messages(draw):
    """Messages with different keys, many of them with the same id and total, and serials that come round."""
    heads = draw(st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 65533, 65535]), st.sampled_from([MEDIA, 0x0900]),
                  st.sampled_from(["2013", "2019"]), st.sampled_from([PHONE, "1"])),
        min_size=1, max_size=5, unique=True,
    ))  # fmt: skip
    total = draw(st.integers(1, 4))
    return [
        parts_of(draw(st.lists(blobs, min_size=total, max_size=total)), first=first, message=message, edition=edition,
                 phone=phone)
        for first, message, edition, phone in heads
    ]  # fmt: skip


@given(messages(), st.data())
@settings(deadline=None)
def test_any_order_repetition_and_mixture_gives_the_same_messages(sent, data):
    """Every message comes out once and whole, however its parts are shuffled among others' and repeated, also later."""
    everything = [packet for message in sent for packet in message]
    again = data.draw(st.lists(st.sampled_from(everything), max_size=6))
    order = data.draw(st.permutations(everything + again))
    found, lost = wholes(order, Reassembly())
    assert sorted(found) == sorted(
        ((m[0].identity, m[0].message, m[0].v2019, m[0].serial), b"".join(packet.body for packet in m)) for m in sent
    )
    assert not lost


hostile = st.builds(
    part, st.integers(0, 3), st.integers(0, 4), st.sampled_from([b"", b"a", b"b"]),
    first=st.integers(0, 2), message=st.sampled_from([MEDIA, 0x0900]),
)  # fmt: skip


@given(st.lists(hostile, max_size=40))
@settings(deadline=None)
def test_anything_gives_what_the_oracle_gives(stream):
    """Totals that change, numbers that cannot be, contradictions, completions over and over: the slow rule agrees."""
    oracle = Oracle()
    for packet in stream:
        oracle.take(packet)
    found, lost = wholes(stream, Reassembly(Limits(messages=100, finished=100)))
    assert found == oracle.whole
    assert lost.total() == lost[Reason.PART_CONFLICT] == oracle.conflicts


SMALL = Limits(nbytes=12_000, parts=20, messages=3, finished=2, age_us=100 * SECOND)
flood = st.builds(
    part, st.integers(1, 25), st.integers(1, 25), st.integers(0, 1023).map(bytes), first=st.integers(0, 6)
)


@given(st.lists(st.tuples(flood, st.integers(0, 30)), max_size=60))
@settings(deadline=None)
def test_the_bounds_hold_whatever_comes(stream):
    """Bytes and messages stay within the limits after every part, and every part and message is accounted for."""
    one, now, begun, ended = Reassembly(SMALL), NOW, 0, 0
    for packet, seconds in stream:
        now += seconds * SECOND
        given_up = one.due(now).lost
        before = len(one)
        taken = one.take(packet, now)
        assert 0 <= one.nbytes <= SMALL.nbytes
        assert len(one) <= SMALL.messages
        ended += len(given_up) + len(taken.lost) + (taken.came is Came.WHOLE)
        grown = len(one) - before + len(taken.lost) + (taken.came is Came.WHOLE)
        assert grown in {0, 1}
        begun += grown
    assert begun == ended + len(one)
    assert len(one.clear()) == begun - ended
    assert (one.nbytes, len(one)) == (0, 0)


def test_what_is_held_is_what_is_said_to_be_held():
    """Parts without a body cost memory too: nbytes is no less than what Python takes."""
    limits = Limits(nbytes=2_000_000, messages=50)
    packets = [part(8192, index, first=first * 8192, body=b"") for first in range(2) for index in range(1, 4000)]
    tracemalloc.start()
    one = Reassembly(limits)
    for packet in packets:
        one.take(replace(packet, body=bytes(bytearray(b"ab"))), NOW)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 500_000 < taken <= one.nbytes <= limits.nbytes


@pytest.mark.parametrize(
    ("packet", "reason"),
    [(part(0, 1), Reason.PART), (part(0, 0), Reason.PART), (part(3, 0), Reason.PART), (part(3, 4), Reason.PART),
     (part(8193, 1), Reason.PART_LIMIT)],
)  # fmt: skip
def test_numbers_that_cannot_be(packet, reason):
    """Total 0, index 0 or beyond the total, and more parts than are gathered: refused, and nothing is held."""
    one = Reassembly()
    taken = one.take(packet, NOW)
    assert (taken.came, taken.reason, one.nbytes) == (Came.REFUSED, reason, 0)


def test_encrypted_parts_are_refused():
    """We hold no key, and joined cipher text would be no message."""
    phone = phone_bcd(PHONE, "2013")
    frame = resealed(framing.encode(MEDIA, b"x", phone, "2013", 7, (2, 1)), b2=0x24)
    taken = Reassembly().take(intake.read([frame], NOW).packets.packet(0), NOW)
    assert (taken.came, taken.reason) == (Came.REFUSED, Reason.ENCRYPTED)


def test_a_message_of_one_part_is_whole_at_once():
    """Total 1 is legal; the whole is a packet without parts, with the first serial and its body's own length."""
    taken = Reassembly().take(part(1, 1, b"abc"), NOW)
    assert taken.came is Came.WHOLE
    assert (taken.whole.part, taken.whole.serial, taken.whole.body, taken.whole.properties) == (None, 7, b"abc", 0)
    assert first_serial(taken.whole) == 7


def test_a_contradiction_begins_the_message_anew():
    """A terminal that restarted sends another picture with the old one's numbers: the two are never mixed."""
    for later in (part(3, 1, b"new"), part(4, 1, b"old1")):
        one = Reassembly()
        for packet in (part(3, 1, b"old1"), part(3, 2, b"old2")):
            assert one.take(packet, NOW).came is Came.KEPT
        taken = one.take(later, NOW)
        assert (taken.came, taken.lost) == (Came.KEPT, (Reason.PART_CONFLICT,))
        rest = [one.take(part(later.part[0], index, b"-"), NOW) for index in range(2, later.part[0] + 1)]
        assert rest[-1].whole.body == later.body + b"-" * (later.part[0] - 1)


def test_a_message_that_was_whole_is_not_begun_again():
    """A late repetition is told from a new message; what could not be stored is gathered again."""
    one, sent = Reassembly(), parts_of([b"a", b"b"])
    whole = [one.take(packet, NOW) for packet in sent][-1].whole
    assert [one.take(packet, NOW).came for packet in sent] == [Came.FINISHED] * 2
    one.forget(whole)
    assert one.nbytes == 0
    assert [one.take(packet, NOW).came for packet in sent] == [Came.KEPT, Came.WHOLE]
    assert one.take(part(2, 2, b"c"), NOW).came is Came.KEPT
    one.due(NOW + 31 * 60 * SECOND)
    assert one.nbytes == 0


def test_one_larger_than_the_room_is_refused_for_good():
    """Its further parts begin nothing, so the terminal is not asked for what was dropped; others are gathered."""
    one = Reassembly(Limits(nbytes=10_000))
    came = [one.take(part(50, index, bytes(1000)), NOW) for index in range(1, 51)]
    assert {taken.reason for taken in came if taken.came is Came.REFUSED} == {Reason.PART_LIMIT}
    assert sum(len(taken.lost) for taken in came) == 1
    assert one.due(NOW + 20 * SECOND).asks == ()
    assert one.take(part(1, 1, first=99), NOW).came is Came.WHOLE


def test_the_quietest_message_makes_room():
    """One message too many pushes out the one that was silent longest, and says so."""
    one = Reassembly(Limits(messages=2))
    for first, at in ((0, 0), (10, 1), (0, 2)):
        one.take(part(3, 1 if at < 2 else 2, first=first), NOW + at)
    assert one.take(part(3, 1, first=20), NOW + 3).lost == (Reason.INCOMPLETE,)
    assert one.take(part(3, 3, first=0), NOW + 4).came is Came.WHOLE


def test_missing_parts_are_asked_for_and_given_up():
    """After each silence the missing numbers; after three in vain the message is dropped and counted; a part resets."""
    one = Reassembly()
    one.take(part(4, 2), NOW)
    assert one.due(NOW + 9 * SECOND) == one.due(NOW)
    (ask,) = one.due(NOW + 10 * SECOND).asks
    assert (ask.message, ask.body, ask.edition, ask.phone.hex()) == (
        MISSING, bytes.fromhex("0007 03 0001 0003 0004"), "2013", "013812345678",
    )  # fmt: skip
    assert one.due(NOW + 19 * SECOND).asks == ()
    assert len(one.due(NOW + 20 * SECOND).asks) == 1
    one.take(part(4, 1), NOW + 25 * SECOND)
    asked = [one.due(NOW + (25 + 10 * i) * SECOND) for i in range(1, 5)]
    assert [len(due.asks) for due in asked] == [1, 1, 1, 0]
    assert asked[0].asks[0].body.hex() == "00070200030004"
    assert asked[3].lost == (Reason.INCOMPLETE,)
    assert one.nbytes == 0


def test_the_editions_ask_differently():
    """2019 counts in a WORD; 2011 knows no 0x8003, only the list behind a picture's id, once that has come."""
    for edition, legacy, index, asked in (
        ("2019", None, 1, [(MISSING, "000700010002")]),
        ("2019", "2011", 1, [(MISSING, "000700010002")]),
        ("2013", "2011", 1, [(MEDIA_ANSWER, "00000063010002")]),
        ("2013", "2011", 2, []),
        ("2013", "2013", 2, [(MISSING, "0007010001")]),
    ):
        one = Reassembly()
        one.take(part(2, index, b"\0\0\0\x63pic", edition=edition), NOW)
        due = one.due(NOW + 10 * SECOND, legacy)
        assert [(ask.message, ask.body) for ask in due.asks] == [(m, bytes.fromhex(body)) for m, body in asked]
    one = Reassembly()
    one.take(part(2, 1, message=0x0900), NOW)
    assert [len(one.due(NOW + i * 10 * SECOND, "2011").lost) for i in range(1, 5)] == [0, 0, 0, 1]


@pytest.mark.parametrize(("edition", "count"), [("2013", 255), ("2019", 509)])
def test_a_request_fits_one_packet(edition, count):
    """Only as many numbers as its count field and a body of 1,023 bytes can hold."""
    body = missing_parts(65535, range(1, 5000), edition)
    head = 4 if edition == "2019" else 3
    assert int.from_bytes(body[2:head], "big") == count == (len(body) - head) // 2
    assert len(body) <= framing.MAX_BODY


def test_age_ends_a_message_that_keeps_talking():
    """Half an hour after its first part a message is given up, whether `due` sees it or its next part does."""
    for ask_first in (True, False):
        one, lost = Reassembly(), ()
        for minute in range(0, 31, 5):
            one.take(part(100, 1 + minute), NOW + minute * 60 * SECOND)
        late = NOW + 1801 * SECOND
        if ask_first:
            lost = one.due(late).lost
        lost += one.take(part(100, 90), late).lost
        assert lost == (Reason.INCOMPLETE,)
        assert len(one) == 1


@given(st.binary(max_size=5000), st.sampled_from(["2013", "2019"]), st.integers(0, 65535))
@settings(deadline=None)
def test_what_is_split_is_joined(body, edition, serial):
    """Parts that we frame ourselves, read by the intake, come together again; the last part may come first."""
    frames = split(0x8108, body, phone_bcd(PHONE, edition), edition, serial)
    packets = [intake.read([frame], NOW).packets.packet(0) for frame in reversed(frames)]
    if len(frames) == 1:
        assert (packets[0].part, packets[0].body) == (None, body)
        return
    found, _ = wholes(packets, Reassembly())
    assert found == [((PHONE, 0x8108, edition == "2019", serial), body)]


def test_a_finished_message_leaves_its_checksums_alone():
    """A hundred parts, backwards: joined by number, not by arrival or as text."""
    one, bodies = Reassembly(), [i.to_bytes(2, "big") * 500 for i in range(100)]
    ((_, body),), _ = wholes(parts_of(bodies)[::-1], one)
    assert body == b"".join(bodies)
    assert one.nbytes == MESSAGE_BYTES + 400


def test_serials_that_are_not_consecutive():
    """Where asked for, parts that come in order are one message whatever their serials; never two at a time."""
    drifting = [replace(packet, serial=packet.serial + 5 * i) for i, packet in enumerate(parts_of([b"a", b"b", b"c"]))]
    assert wholes(drifting, Reassembly())[0] == []
    one = Reassembly(consecutive=False)
    came = [one.take(packet, NOW).came for packet in (*drifting[:2], *drifting[:2], drifting[2], *drifting)]
    assert came == [Came.KEPT] * 2 + [Came.REPEATED] * 2 + [Came.WHOLE] + [Came.FINISHED] * 3
    two = Reassembly(consecutive=False)
    for first in (100, 200):
        two.take(part(3, 1, first=first), NOW)
    assert two.take(part(3, 2, first=300), NOW).came is Came.KEPT
    assert len(two) == 3


@given(messages(), st.data())
@settings(deadline=None)
def test_in_order_the_leniency_mixes_nothing(sent, data):
    """Messages whose parts come in order, interleaved: each comes out whole with and without it."""
    queues, order = [list(message) for message in sent], []
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        order.append(queue.pop(0))
    strict, lenient = (wholes(order, Reassembly(consecutive=consecutive)) for consecutive in (True, False))
    assert strict == lenient
    assert len(strict[0]) == len(sent)
