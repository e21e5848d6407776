"""Fields and layouts one by one: values, padding, and refusals that name the field and where it stands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.jt808.bcd import time_bcd
from protocols.jt808.body import BodyError
from protocols.jt808.fields import (
    BYTE,
    DWORD,
    OCTETS,
    TEXT,
    WORD,
    Bcd,
    Degrees,
    MessageId,
    Metres,
    Octets,
    Tenths,
    Text,
    Time,
    Uint,
)
from protocols.jt808.layout import Choice, Counted, Layout, Maybe, Prefixed, Repeated, When, bit, decode, encode, layout


def one(field, **before) -> Layout:
    return Layout({**before, "x": field})


@pytest.mark.parametrize(
    ("field", "body", "value"),
    [
        (BYTE, "ff", 255),
        (WORD, "0102", 258),
        (DWORD, "ffffffff", 4294967295),
        (Metres(), "0021", 33),
        (Metres(), "fff4", -12),
        (Tenths(2), "007b", 12.3),
        (MessageId(), "0200", "0x0200"),
        (Octets(3), "00ff10", "00ff10"),
        (OCTETS, "", ""),
        (Bcd(2), "0093", "0093"),
        (Bcd(2), "00f3", "00f3"),
        (Time(), "250328093015", "2025-03-28T09:30:15+08:00"),
        (Time(hours=0), "250328093015", "2025-03-28T09:30:15+00:00"),
        (Time(), "240229235959", "2024-02-29T23:59:59+08:00"),
        (Time(), "230229235959", "230229235959"),
        (Time(), "000000083000", "000000083000"),
        (Time(), "2503280930f5", "2503280930f5"),
        (Text(4), "41420000", "AB"),
        (Text(4, pad=b" "), "41422020", "AB"),
        (Text(4, before=True), "00004142", "AB"),
        (Text(4, before=True), "00000000", ""),
        (TEXT, "bbb7b1a3", "环保"),
        (TEXT, "8139ef30", "㐁"),  # GB 18030 alone has it, in four bytes
        (Prefixed(BYTE, TEXT), "02" + "4142", "AB"),
        (Prefixed(WORD, layout(a=BYTE)), "0003" + "01beef", {"a": 1, "tail": "beef"}),
        (Counted(DWORD, BYTE), "00000002" + "0102", [1, 2]),
        (Counted(BYTE, layout(a=BYTE)), "00", []),
        (Repeated(WORD), "00010002", [1, 2]),
    ],
)
def test_values(field, body, value):
    """Read from its bytes, and written back to them."""
    assert decode(one(field), bytes.fromhex(body)).values == {"x": value}
    assert encode(one(field), {"x": value}).hex() == body


@pytest.mark.parametrize(
    ("field", "body", "value"),
    [
        (Text(4), "00414200", "AB"),
        (Text(4), "20204142", "AB"),
        (Text(6), "414200434400", "AB"),
        (TEXT, "41074200", "A\ufffdB"),
        (TEXT, "41ff", "A\ufffd"),
        (Text(4, short=True), "4142", "AB"),
    ],
)
def test_texts_as_terminals_pad_them(field, body, value):
    """Zeros or spaces on either end, what a zero ends, control characters, bytes that are no GBK, a body that ends."""
    assert decode(one(field), bytes.fromhex(body)).values == {"x": value}


@given(st.integers(946684800, 4102415999), st.sampled_from([0, 8]))
def test_times_are_those_of_the_columns(second, hours):
    """The same six bytes that `bcd` makes of a moment."""
    data = time_bcd(second * 1_000_000, offset=hours * 3600)
    said = decode(one(Time(hours)), data).values["x"]
    assert len(said) == 25
    assert np.datetime64(said[:19], "s").astype(np.int64) - hours * 3600 == second
    assert encode(one(Time(hours)), {"x": said}) == data


def test_a_time_in_another_zone():
    """Any offset is understood, and turned into the field's own."""
    assert encode(one(Time()), {"x": "2025-03-28T01:30:15Z"}).hex() == "250328093015"
    assert encode(one(Time()), {"x": "1999-12-31T16:00:00+00:00"}).hex() == "000101000000"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        (Time(), "991332000000"),
        (Uint(1, most=9), "0a"),
        (Text(2), "0141"),
        (TEXT, "410042"),
        (TEXT, "ff"),
        (Counted(BYTE, WORD, loosely=True), "020001"),
    ],
)
def test_doubts(field, body):
    """What reads and does not look like what it should be."""
    assert decode(one(field), bytes.fromhex(body)).doubts


@pytest.mark.parametrize(
    ("field", "body"), [(Time(), "000000000000"), (Uint(1, most=9), "09"), (Text(4), "41202000"), (TEXT, "")]
)
def test_no_doubts(field, body):
    """A clock that is not set, padding of either kind."""
    assert decode(one(field), bytes.fromhex(body)).clean


SIGNED = layout(flags=BYTE, x=Degrees("flags", 2))
AHEAD = layout(x=Degrees("flags", 3, ahead=5), width=BYTE, flags=BYTE)


@pytest.mark.parametrize(
    ("form", "body", "value"),
    [
        (SIGNED, "00" + "022c3b00", 36.45312),
        (SIGNED, "04" + "022c3b00", -36.45312),
        (AHEAD, "022c3b00" + "00" + "00", 36.45312),
        (AHEAD, "022c3b00" + "00" + "08", -36.45312),
    ],
)
def test_signs_stand_in_flags(form, body, value):
    """Before the coordinate or behind it."""
    said = decode(form, bytes.fromhex(body)).values
    assert said["x"] == value
    assert encode(form, said).hex() == body
    with pytest.raises(BodyError, match=r"x at byte \d: its sign contradicts bit . of flags"):
        encode(form, {**said, "x": -value})


SOMETIMES = layout(flags=BYTE, a=When(WORD, bit("flags", 0)), b=Maybe(BYTE), c=Maybe(BYTE))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("00", {"flags": 0}),
        ("010007", {"flags": 1, "a": 7}),
        ("0007", {"flags": 0, "b": 7}),
        ("00070809", {"flags": 0, "b": 7, "c": 8, "tail": "09"}),
    ],
)
def test_fields_that_are_not_always_there(body, said):
    """By an earlier bit, or by the body's end."""
    assert decode(SOMETIMES, bytes.fromhex(body)).values == said
    assert encode(SOMETIMES, said).hex() == body


SHAPES = layout(kind=BYTE, shape=Choice("kind", {1: layout(r=WORD)}))


@pytest.mark.parametrize(
    ("form", "body", "field", "offset"),
    [
        (one(WORD), "01", "x", 0),
        (layout(a=BYTE, b=WORD), "0102", "b", 1),
        (layout(a=BYTE, b=layout(c=WORD)), "0102", "c", 1),
        (one(Prefixed(BYTE, TEXT)), "0541", "x", 1),
        (one(Prefixed(BYTE, BYTE)), "020102", "x", 2),
        (one(Counted(BYTE, WORD)), "020001", "x", 3),
        (one(Counted(DWORD, WORD)), "ffffffff", "x", 4),
        (one(Text(2, filled=True)), "0000", "x", 2),
        (AHEAD, "022c3b0000", "x", 0),
        (SHAPES, "02", "shape", 1),
    ],
)
def test_bodies_that_do_not_read(form, body, field, offset):
    """The error names the innermost field and its offset, in English and Chinese."""
    with pytest.raises(BodyError, match=r".+ at byte \d+: .+ \| .+第 \d+ 字节") as raised:
        decode(form, bytes.fromhex(body))
    assert (raised.value.field, raised.value.offset) == (field, offset)


@pytest.mark.parametrize(
    ("form", "said", "reason"),
    [
        (one(BYTE), {"x": 256}, "x at byte 0: not an integer from 0 to 255"),
        (one(BYTE), {"x": True}, "not an integer"),
        (one(BYTE), {"x": 1.0}, "not an integer"),
        (one(BYTE), {}, "x at byte 0: missing"),
        (one(BYTE), {"x": 1, "y": 2}, "y at byte 1: does not belong here"),
        (one(BYTE), [], "not an object"),
        (one(BYTE), {"x": 1, "tail": "zz"}, "tail at byte 1"),
        (layout(a=DWORD, b=Prefixed(BYTE, layout(c=BYTE))), {"a": 1, "b": {"c": -1}}, "c at byte 5"),
        (one(Tenths(1)), {"x": float("nan")}, "not a number"),
        (one(Tenths(1)), {"x": 25.6}, "not an integer"),
        (one(MessageId()), {"x": "0200"}, "not a message id"),
        (one(Octets(2)), {"x": "00"}, "4 digits"),
        (one(OCTETS), {"x": "A"}, "hexadecimal"),
        (one(Time()), {"x": "2025-03-28T09:30:15"}, "without its offset"),
        (one(Time()), {"x": "yesterday"}, "ISO 8601"),
        (one(Time()), {"x": "2100-01-01T00:00:00+08:00"}, "2099"),
        (one(Time()), {"x": "0001-01-01T00:00:00+14:00"}, "2099"),
        (one(Time()), {"x": None}, "not a time"),
        (one(Text(2)), {"x": "ABC"}, "x at byte 0: does not fit 2 bytes"),
        (one(Text(3)), {"x": "环保"}, "does not fit"),
        (one(TEXT), {"x": "a\x00"}, "control character"),
        (one(TEXT), {"x": "\ud800"}, "lack"),
        (one(TEXT), {"x": 1}, "not a text"),
        (one(Text(filled=True)), {"x": ""}, "empty"),
        (one(Prefixed(BYTE, TEXT)), {"x": "a" * 256}, "too long"),
        (one(Counted(BYTE, BYTE)), {"x": [0] * 256}, "too many"),
        (one(Counted(BYTE, BYTE)), {"x": 1}, "not a list"),
        (SOMETIMES, {"flags": 0, "a": 7}, "a at byte 1: does not belong here"),
        (SOMETIMES, {"flags": 1}, "a at byte 1: missing"),
        (SOMETIMES, {"flags": 0, "c": 7}, "c at byte 1: does not belong here"),
        (SHAPES, {"kind": 2, "shape": {}}, "no layout for kind 2"),
    ],
)
def test_values_that_make_no_body(form, said, reason):
    """Wrong types, out of range, missing, unknown, too long: named, with the offset where it would stand."""
    with pytest.raises(BodyError, match=reason):
        encode(form, said)


def test_a_list_whose_last_item_does_not_read():
    """A repeated item that is cut off is left over."""
    assert decode(one(Repeated(WORD)), bytes.fromhex("000102")).values == {"x": [1], "tail": "02"}
