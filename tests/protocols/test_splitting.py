"""Splitting: consecutive serials, parts that fit, and parts again where a terminal asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.jt808.phone import phone_bcd
from protocols.jt808.registration import BodyError
from protocols.jt808.splitting import Sent, parts, split
from tests.protocols import oracle
from tests.protocols.frames import NOW

PHONE = phone_bcd("13812345678", "2019")


def frames_of(size, serial=10):
    return split(0x8103, bytes(size), PHONE, "2019", serial)


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1023, 1), (1024, 2), (2046, 2), (2047, 3)])
def test_bodies_are_cut_where_a_packet_ends(size, count):
    """1,023 bytes a packet; each part has the total, its number and the next serial, wrapping after 65535."""
    frames = frames_of(size, 65535)
    assert len(frames) == parts(bytes(size)) == count
    headers = [oracle.read(frame.strip(b"\x7e"), NOW).header for frame in frames]
    assert [header["serial"] for header in headers] == [(65535 + i) % 65536 for i in range(count)]
    assert [header["part"] for header in headers] == (
        [None] if count == 1 else [(count, i) for i in range(1, count + 1)]
    )
    assert sum(len(header["body"]) for header in headers) == size


def test_a_body_longer_than_any_message_is_the_caller_s_mistake():
    """The total is a WORD."""
    with pytest.raises(ValueError, match="does not fit 65535 packets"):
        split(0x8108, bytes(65535 * 1023 + 1), PHONE, "2019", 0)


def test_listed_parts_are_sent_again_unchanged():
    """In the order asked for, each once, whatever else is listed; the count is a BYTE before 2019."""
    sent, frames = Sent(), frames_of(5000)
    sent.remember(10, frames)
    assert sent.resend(bytes.fromhex("000a 0005 0003 0001 0003 0000 0006"), "2019") == [frames[2], frames[0]]
    assert sent.resend(bytes.fromhex("000a 01 0002"), "2013") == [frames[1]]
    assert sent.resend(bytes.fromhex("000a 0000"), "2019") == []
    assert sent.resend(bytes.fromhex("000b 0001 0001"), "2019") == []


@pytest.mark.parametrize(("body", "edition"), [("", "2019"), ("000a00", "2019"), ("000a0001", "2019"),
                                               ("000a00020001", "2019"), ("000a", "2013"), ("000a01", "2013")])  # fmt: skip
def test_a_request_cut_short_is_an_error(body, edition):
    """Fewer numbers than the count says: answered as malformed, nothing is sent."""
    with pytest.raises(BodyError, match="0x0005"):
        Sent().resend(bytes.fromhex(body), edition)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6000)), max_size=20))
def test_memory_is_bounded_and_the_newest_are_kept(history):
    """Never more bytes than allowed; the last message that fits is always there."""
    sent = Sent(most=8000)
    for serial, size in history:
        frames = frames_of(size, serial)
        sent.remember(serial, frames)
        assert 0 <= sent.nbytes <= 8000
        fits = sum(map(len, frames)) <= 8000
        assert sent.resend(serial.to_bytes(2, "big") + bytes.fromhex("00010001"), "2019") == (
            frames[:1] if fits else []
        )
