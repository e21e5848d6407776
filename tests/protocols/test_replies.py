"""Acknowledgements: the columns' bytes are those of the scalar oracle and of framing.encode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.outcome import Outcome
from protocols.jt808 import framing, intake, replies, terminal
from tests.protocols import oracle
from tests.protocols.frames import NOW, octets, packets

RESULT = {0: 0, 1: 1, 2: 2, 3: 3, 4: 1}


@given(st.lists(packets(), min_size=1, max_size=10), st.data())
@settings(deadline=None, max_examples=50)
def test_acknowledgements_are_the_oracle_s(frames, data):
    """Any rows in any order, mixed editions, phones and serials full of flags: the oracle's bytes, row by row."""
    read = intake.read(frames, NOW).packets
    rows = np.array(data.draw(st.lists(st.integers(0, len(read) - 1), max_size=12)), np.intp)
    results = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows))), np.uint8)
    words = st.tuples(octets, octets).map(lambda pair: pair[0] << 8 | pair[1])
    serials = np.array(data.draw(st.lists(words, min_size=len(rows), max_size=len(rows))), np.uint16)
    got = replies.acknowledge(read, rows, results, serials)
    headers = [oracle.read(frame[1:-1], NOW).header for frame in frames]
    expected = [
        oracle.acknowledgement(headers[row], RESULT[result], serial)
        for row, result, serial in zip(rows.tolist(), results.tolist(), serials.tolist(), strict=True)
    ]
    assert [got[i] for i in range(len(got))] == expected


@pytest.mark.parametrize("edition", ["2013", "2019"])
def test_both_lanes_say_the_same_bytes(edition):
    """A column acknowledgement is what the session's reply becomes when it is framed."""
    phone = terminal.phone_bcd("13812345678", edition)
    packet = intake.read([framing.encode(0x0200, terminal.location(NOW, 1, 1), phone, edition, 0x7E7D)], NOW).packets
    column = replies.acknowledge(packet, np.array([0]), np.array([Outcome.STORED], np.uint8), np.array([7], np.uint16))
    body = replies.general(0x7E7D, 0x0200, 0)
    assert column[0] == framing.encode(replies.GENERAL, body, phone, edition, 7)


def test_no_rows():
    """Nothing to say is no bytes."""
    read = intake.read([framing.encode(0x0002, b"", bytes(6), "2013", 0)], NOW).packets
    got = replies.acknowledge(read, np.empty(0, np.intp), np.empty(0, np.uint8), np.empty(0, np.uint16))
    assert (len(got), len(got.blob)) == (0, 0)


def test_a_stranger_is_never_told_that_an_alarm_was_handled():
    """Outcome.NOT_AUTHENTICATED is 4, and 4 means something else in 0x8001: it goes out as 1, failed."""
    read = intake.read([framing.encode(0x0200, terminal.location(NOW, 1, 1), bytes(6), "2013", 0)], NOW).packets
    outcome = np.array([Outcome.NOT_AUTHENTICATED], np.uint8)
    said = terminal.read_reply(replies.acknowledge(read, np.array([0]), outcome, np.array([1], np.uint16))[0][1:-1])
    assert said is not None
    assert said.result == 1
