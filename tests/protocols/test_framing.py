"""Framing: runs between flags, whatever the pieces; escapes; encoding."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.jt808 import framing
from tests.protocols import oracle
from tests.protocols.frames import blobs, editions, phone_bytes, streams

relaxed = settings(deadline=None, max_examples=50)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(places), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


def fed(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """(finished runs, the unfinished one) of a stream that comes in pieces; over-long runs as far as they are kept."""
    left, runs = b"", []
    for piece in pieces:
        whole, left = framing.split(left, piece)
        assert not whole or whole.endswith(b"\x7e")
        assert len(left) <= framing.MAX_WIRE + 1
        runs += [run[: framing.MAX_WIRE + 1] for run in whole.split(b"\x7e") if run]
    return runs, left


@given(streams, st.lists(st.integers(0, 400), max_size=6))
@relaxed
def test_any_split_gives_the_same_runs(stream, places):
    """Cut anywhere, a stream has the runs that it has as a whole, and leaves the same unfinished one."""
    pieces = cut(stream, [min(place, len(stream)) for place in places])
    assert fed(pieces) == fed([stream])
    assert fed([stream])[0] == oracle.runs(stream)


@given(streams)
@relaxed
def test_byte_by_byte(stream):
    """One byte at a time gives the same runs."""
    assert fed([bytes([byte]) for byte in stream]) == fed([stream])


@pytest.mark.parametrize("step", [1 << 20, 65536, 1000])
def test_a_megabyte_without_a_flag_is_remembered_in_two_kilobytes_and_ends_once(step):
    """Memory stays bounded however long the run; when its flag comes, it is one run, and what follows is read."""
    noise = bytes(range(0x7D)) * 8389
    pieces = [noise[i : i + step] for i in range(0, len(noise), step)]
    runs, left = fed([*pieces, b"\x7eabc\x7e"])
    assert runs == [noise[: framing.MAX_WIRE + 1], b"abc"]
    assert left == b""


@pytest.mark.parametrize(
    ("stream", "runs"),
    [
        (b"\x7eab\x7e\x7ecd\x7e", [b"ab", b"cd"]),
        (b"\x7eab\x7ecd\x7e", [b"ab", b"cd"]),
        (b"ab\x7e", [b"ab"]),
        (b"\x7e\x7e\x7e\x7e", []),
        (b"\x7eab\x7d\x7ecd\x7e", [b"ab\x7d", b"cd"]),
        (b"\x7eab", []),
        (b"", []),
    ],
)
def test_flags(stream, runs):
    """Doubled, shared and missing first flags fall out; 7d right before a flag does not eat it."""
    assert fed([stream])[0] == runs


@given(blobs)
@relaxed
def test_escape_round_trip(data):
    """Escaped bytes hold no flag, and unescape to what they were."""
    escaped = framing.escape(data)
    assert b"\x7e" not in escaped
    assert framing.unescape(escaped) == data


@given(blobs)
@relaxed
def test_unescape_is_the_oracle_s(data):
    """On anything, legal or not: an illegal pair keeps both bytes and the second may begin another."""
    assert framing.unescape(data) == oracle.unescape(data)


def test_the_standard_s_own_example():
    """4.4.2 gives 30 7e 08 7d 55 as the example of escaping."""
    assert framing.escape(bytes.fromhex("307e087d55")).hex() == "307d02087d0155"


@given(st.integers(0, 0xFFFF), blobs, st.data(), editions, st.integers(0, 0xFFFF))
@relaxed
def test_encoded_packets_read_back(message, body, data, edition, serial):
    """What is encoded is read by the oracle with the same header and body."""
    phone = data.draw(phone_bytes(edition))
    part = data.draw(st.sampled_from([None, (2, 1)]))
    packet = framing.encode(message, body, phone, edition, serial, part)
    (run,) = oracle.runs(packet)
    header = oracle.read(run, 0).header
    assert (header["message"], header["serial"], header["phone"], header["body"]) == (message, serial, phone, body)
    assert (header["v2019"], header["part"]) == (edition == "2019", part)


def test_longest_packet_fits_the_limit():
    """A sub-packaged 2019 packet of the longest body, every byte of it escaped, is no longer than MAX_WIRE."""
    packet = framing.encode(0x7E7E, b"\x7e" * 1023, b"\x7e" * 10, "2019", 0x7E7E, (0x7E7E, 0x7E7E))
    assert 2080 < len(packet) <= framing.MAX_WIRE


@pytest.mark.parametrize(("body", "phone", "edition"), [(b"x" * 1024, bytes(6), "2013"), (b"", bytes(10), "2013"),
                                                        (b"", bytes(6), "2019")])  # fmt: skip
def test_what_no_packet_can_hold_is_refused(body, phone, edition):
    """A body over ten bits of length, or a phone of another edition, is an error of the caller."""
    with pytest.raises(ValueError, match="fit"):
        framing.encode(2, body, phone, edition, 0)
