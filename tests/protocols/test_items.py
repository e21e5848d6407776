"""Additional items: the column walk and the scalar walk agree, and neither is led astray."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import NO_MILEAGE, NO_SATELLITES
from columns.ragged import Ragged
from protocols.jt808 import items, layout

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


def parse(data: bytes, status: int = 0) -> tuple[list[dict], bytes]:
    """(the items, what is left) of a report with this status."""
    said = layout.decode(layout.layout(status=items.BYTE, items=items.Items()), bytes([status]) + data).values
    return said["items"], bytes.fromhex(said.get("tail", ""))


def scanned(data: list[bytes]) -> list[tuple[int, int]]:
    mileage, satellites = items.scan(Ragged.of(data))
    assert (mileage.dtype, satellites.dtype) == ("int32", "int16")
    return list(zip(mileage.tolist(), satellites.tolist(), strict=True))


def expected(data: bytes) -> tuple[int, int]:
    """What the scalar walk finds of the two items that are columns."""
    mileage, satellites = NO_MILEAGE, NO_SATELLITES
    for each in parse(data)[0]:
        if each.get("name") == "mileage_km":
            number = int(each["hex"], 16)
            mileage = number if number < 1 << 31 else NO_MILEAGE
        if each.get("name") == "satellites":
            satellites = each["value"]
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
    found, tail = parse(data)
    values = [(each["id"], bytes.fromhex(each["hex"])) for each in found]
    again = b"".join(bytes([number, len(value)]) + value for number, value in values) + tail
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
        ("140400000041", "video_alarm", ["signal_lost", "alarm_recordings_full"]),
        ("140480000000", "video_alarm", ["bit_31"]),
        ("150480000001", "video_signal_lost", [1, 32]),
        ("160400000002", "video_signal_covered", [2]),
        ("17021801", "storage_fault", ["main_1", "main_12", "backup_1"]),
        ("1803000532", "abnormal_driving", {"behaviours": ["fatigue", "smoking"], "fatigue": 50}),
        ("18020002", "abnormal_driving", {"behaviours": ["telephone"]}),
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
    ((found,), tail) = parse(bytes.fromhex(data))
    assert (found["id"], found["hex"], found.get("name"), found.get("value")) == (
        int(data[:2], 16),
        data[4:],
        name,
        value,
    )
    assert tail == b""


PLACE = "3c" + "0021" + "022c3b00" + "06e9cc0c" + "250328093015" + "0401"
NUMBER = "54303030303031" + "250328093015" + "03" + "02" + "00"
SAID_PLACE = {
    "speed_kmh": 60,
    "altitude_m": 33,
    "latitude": -36.45312,
    "longitude": 115.98542,
    "time": "2025-03-28T09:30:15+08:00",
    "vehicle_status": 0x0401,
    "identification": {
        "terminal_id": "T000001",
        "time": "2025-03-28T09:30:15+08:00",
        "sequence": 3,
        "attachments": 2,
        "reserved": 0,
    },
}


@pytest.mark.parametrize(
    ("number", "data", "name", "value"),
    [
        (
            0x64,
            "00000007" + "01" + "02" + "01" + "50" + "0f" + "02" + "01" + "46" + PLACE + NUMBER,
            "driver_assistance",
            {"alarm_id": 7, "flag": 1, "type": 2, "level": 1, "front_speed_kmh": 80, "front_distance_tenth_s": 15,
             "departure": 2, "sign": 1, "sign_value": 70},
        ),
        (
            0x65,
            "00000008" + "02" + "01" + "02" + "0a" + "00000000" + PLACE + NUMBER,
            "driver_monitoring",
            {"alarm_id": 8, "flag": 2, "type": 1, "level": 2, "fatigue": 10, "reserved": "00000000"},
        ),
        (
            0x66,
            "00000009" + "00" + PLACE + NUMBER + "01" + "03" + "0004" + "00c8" + "0019" + "0050",
            "tyres",
            {"alarm_id": 9, "flag": 0,
             "tyres": [{"position": 3, "type": 4, "pressure_kpa": 200, "celsius": 25, "battery_percent": 80}]},
        ),
        (0x67, "0000000a" + "00" + "02" + PLACE + NUMBER, "blind_spot", {"alarm_id": 10, "flag": 0, "type": 2}),
        (
            0x70,
            "0000000b" + "01" + "03" + "0005" + "0010" + "0020" + PLACE + NUMBER,
            "harsh_driving",
            {"alarm_id": 11, "flag": 1, "type": 3, "time_threshold": 5, "threshold_1": 16, "threshold_2": 32},
        ),
    ],
)  # fmt: skip
def test_active_safety(number, data, name, value):
    """Every field where the tables have it; south by the report's status; one byte more and it stays raw."""
    raw = bytes.fromhex(data)
    ((found,), tail) = parse(bytes([number, len(raw)]) + raw, status=0b100)
    assert (found["name"], found["value"], found["hex"], tail) == (name, value | SAID_PLACE, data, b"")
    assert "name" not in parse(bytes([number, len(raw) + 1]) + raw + b"\x00")[0][0]


def test_tyres_whose_count_is_wrong():
    """The length says one tyre, the count two: raw."""
    raw = bytes.fromhex("00000009" + "00" + PLACE + NUMBER + "02" + "00" * 9)
    assert parse(bytes([0x66, len(raw)]) + raw)[0] == [{"id": 0x66, "hex": raw.hex()}]


@pytest.mark.parametrize(
    ("data", "ids", "tail"),
    [
        ("31010c0104000030", [0x31], "0104000030"),
        ("31010c01", [0x31], "01"),
        ("31010c00000104", [0x31], "0104"),
        ("31010c" + "00" * 50, [0x31], "00" * 50),
        ("000031010c", [0x31], ""),
        ("31010c0030011c", [0x31, 0x30], ""),
        ("", [], ""),
    ],
)
def test_padding_and_tails(data, ids, tail):
    """Zeros between items are padding; an item cut off, a lone byte and zeros at the end are the tail."""
    found, rest = parse(bytes.fromhex(data))
    assert ([each["id"] for each in found], rest.hex()) == (ids, tail)
