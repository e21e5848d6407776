"""Additional items: the column walk and the scalar walk agree, and neither is led astray."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import NO_MILEAGE, NO_SATELLITES
from columns.ragged import Ragged
from protocols.jt808 import items

relaxed = settings(deadline=None, max_examples=100)

octets = st.one_of(st.sampled_from([0x00, 0x01, 0x31, 0x04]), st.integers(0, 255))
item = st.tuples(st.sampled_from([0, 1, 2, 0x30, 0x31, 0xE1]), st.lists(octets, max_size=5).map(bytes)).map(
    lambda pair: bytes([pair[0], len(pair[1])]) + pair[1]
)
extras = st.one_of(
    st.lists(item, max_size=5).map(b"".join),
    st.lists(octets, max_size=20).map(bytes),
    st.just(b"\x31\x01\x07" + bytes(99)),
)


def scanned(data: list[bytes]) -> list[tuple[int, int]]:
    mileage, satellites = items.scan(Ragged.of(data))
    assert (mileage.dtype, satellites.dtype) == ("int32", "int16")
    return list(zip(mileage.tolist(), satellites.tolist(), strict=True))


def expected(data: bytes) -> tuple[int, int]:
    """What `parse` finds of the two items that are columns."""
    mileage, satellites = NO_MILEAGE, NO_SATELLITES
    for each in items.parse(data)[0]:
        if each.id == items.MILEAGE and len(each.data) == 4:
            number = int.from_bytes(each.data, "big")
            mileage = number if number < 1 << 31 else NO_MILEAGE
        if each.id == items.SATELLITES and len(each.data) == 1:
            satellites = each.data[0]
    return mileage, satellites


@given(st.lists(extras, max_size=12))
@relaxed
def test_the_columns_find_what_the_scalar_walk_finds(data):
    """Row by row, whatever the other rows hold."""
    assert scanned(data) == [expected(each) for each in data]


@given(extras)
@relaxed
def test_nothing_is_lost(data):
    """Items, padding between them and the tail are the whole input."""
    found, tail = items.parse(data)
    again = b"".join(bytes([each.id, len(each.data)]) + each.data for each in found) + tail
    assert len(again) <= len(data)
    assert again.replace(b"\x00", b"") == data.replace(b"\x00", b"")


def test_rows_that_are_a_slice():
    """`scan` reads a Ragged that does not begin at its blob's start."""
    whole = Ragged.of([b"\x31\x01\x01", b"\x31\x01\x02", b"", b"\x01\x04\x00\x00\x30\x39"])
    part = Ragged(whole.blob, whole.offsets[1:])
    mileage, satellites = items.scan(part)
    assert (satellites.tolist(), mileage.tolist()) == ([2, -1, -1], [-1, -1, 12345])


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        ("010400003039", "mileage_km", 1234.5),
        ("02020064", "fuel_l", 10.0),
        ("0302007b", "recorder_speed_kmh", 12.3),
        ("04020007", "alarm_event_id", 7),
        ("051e" + "11" * 30, "tyre_pressure", "11" * 30),
        ("0602801e", "compartment_celsius", -30),
        ("0602001e", "compartment_celsius", 30),
        ("110100", "overspeed", {"area_type": 0}),
        ("11050300000009", "overspeed", {"area_type": 3, "area_id": 9}),
        ("1206030000000901", "area", {"area_type": 3, "area_id": 9, "direction": 1}),
        ("130700000009003c01", "segment_time", {"segment_id": 9, "seconds": 60, "result": 1}),
        ("140400000001", "video_alarm", "00000001"),
        ("250400000001", "vehicle_signals", 1),
        ("2a020001", "io_status", 1),
        ("2b0400020001", "analogue", {"ad0": 1, "ad1": 2}),
        ("30011c", "signal_strength", 28),
        ("31010c", "satellites", 12),
        ("0201ff", None, None),
        ("1100", None, None),
        ("e10101", None, None),
    ],
)
def test_items_of_the_standard(data, name, value):
    """Known by id and length together; any other length or id stays raw."""
    ((found,), tail) = items.parse(bytes.fromhex(data))
    assert (found.id, found.data.hex(), found.name, found.value) == (int(data[:2], 16), data[4:], name, value)
    assert tail == b""


@pytest.mark.parametrize(
    ("data", "ids", "tail"),
    [
        ("31010c0104000030", [0x31], "0104000030"),
        ("31010c01", [0x31], "01"),
        ("31010c" + "00" * 50, [0x31], "00" * 50),
        ("000031010c", [0x31], ""),
        ("31010c0030011c", [0x31, 0x30], ""),
        ("", [], ""),
    ],
)
def test_padding_and_tails(data, ids, tail):
    """Zeros between items are padding; an item cut off, a lone byte and zeros at the end are the tail."""
    found, rest = items.parse(bytes.fromhex(data))
    assert ([each.id for each in found], rest.hex()) == (ids, tail)
