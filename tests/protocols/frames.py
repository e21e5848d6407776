"""Strategies: packets as terminals send them, packets as they should not, and streams of both."""

from __future__ import annotations

from hypothesis import strategies as st

from protocols.jt808 import framing, terminal

NOW = 1_743_125_415_000_000  # 2025-03-28 09:30:15 +08:00
EDITIONS = ("2011", "2013", "2019")

# Bytes that matter to the framing come up far more often than one time in 256.
octets = st.one_of(st.sampled_from([0x7D, 0x7E, 0x01, 0x02, 0x00]), st.integers(0, 255))
blobs = st.lists(octets, max_size=60).map(bytes)
editions = st.sampled_from(EDITIONS)
phones = st.one_of(st.integers(0, 10**12 - 1).map(str), st.sampled_from(["013812345678", "7d7e", "0"]))


def phone_bytes(edition: str) -> st.SearchStrategy[bytes]:
    width = 10 if edition == "2019" else 6
    return st.lists(octets, min_size=width, max_size=width).map(bytes)


@st.composite
def locations(draw) -> bytes:
    """Bodies of 0x0200: plausible ones, and 28 bytes of anything with anything behind."""
    if draw(st.booleans()):
        return draw(st.binary(min_size=28, max_size=28)) + draw(blobs)
    time = NOW + draw(st.integers(-(10**14), 10**14))
    lon, lat = draw(st.floats(-180, 180)), draw(st.floats(-90, 90))
    body = terminal.location(
        time, lon, lat,
        speed_kmh=draw(st.integers(0, 2000)) / 10,
        course=draw(st.integers(0, 359)),
        status=draw(st.sampled_from([3, 0, 2, 0x23])),
        alarm=draw(st.integers(0, 2**32 - 1)),
        altitude=draw(st.integers(-400, 9000)),
    )  # fmt: skip
    if draw(st.booleans()):
        body = body[:22] + draw(st.lists(octets, min_size=6, max_size=6).map(bytes))
    return body + draw(blobs)


@st.composite
def batches(draw) -> bytes:
    """Bodies of 0x0704, some with items that are too short, too long or cut off."""
    items = draw(st.lists(st.one_of(locations(), blobs), max_size=5))
    body = terminal.batch(items, draw(st.integers(0, 2)))
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 3)) == 0 else body


@st.composite
def packets(draw) -> bytes:
    """One framed packet of any edition and lane; its body reads or not."""
    edition = draw(editions)
    kind = draw(st.integers(0, 4))
    message, body = {
        0: lambda: (0x0200, draw(locations())),
        1: lambda: (0x0200, draw(locations())),
        2: lambda: (0x0704, draw(batches())),
        3: lambda: (0x0200, draw(blobs)),
        4: lambda: (draw(st.sampled_from([0x0002, 0x0100, 0x0102, 0x0704, 0x7D7E])), draw(blobs)),
    }[kind]()
    part = draw(st.sampled_from([None, None, None, (3, 1)]))
    return framing.encode(message, body, draw(phone_bytes(edition)), edition, draw(st.integers(0, 65535)), part)


@st.composite
def mangled(draw) -> bytes:
    """A packet with one byte changed, left out or put in."""
    packet = bytearray(draw(packets()))
    at = draw(st.integers(0, len(packet) - 1))
    change = draw(st.integers(0, 2))
    if change == 0:
        packet[at] = draw(octets)
    elif change == 1:
        del packet[at]
    else:
        packet.insert(at, draw(octets))
    return bytes(packet)


pieces = st.one_of(packets(), packets(), mangled(), blobs)
streams = st.lists(pieces, max_size=8).map(b"".join)


def resealed(packet: bytes, **changes: int) -> bytes:
    """The framed packet with some header bytes replaced (b2=0x14 sets the byte at offset 2) and a right checksum."""
    data = bytearray(framing.unescape(packet[1:-1])[:-1])
    for name, value in changes.items():
        data[int(name[1:])] = value
    return b"\x7e" + framing.escape(bytes(data) + bytes([framing.checksum(bytes(data))])) + b"\x7e"
