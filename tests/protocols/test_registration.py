"""Bodies of 0x0100 and 0x0102: three editions told apart by shape."""

from __future__ import annotations

import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.jt808 import terminal
from protocols.jt808.catalogue import CATALOGUE
from protocols.jt808.layout import decode
from protocols.jt808.registration import BodyError, authentication, registration
from tests.protocols.frames import EDITIONS, editions

words = st.text("ABCDEFGHJK0123456789-", min_size=1)
plates = st.one_of(st.just(""), st.text("环鲁京川3-FCB04871", max_size=8))


@given(editions, words.map(lambda w: w[:5]), words.map(lambda w: w[:8]), words.map(lambda w: w[:7]),
       st.integers(0, 9), plates)  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_what_a_terminal_registers_is_read(edition, maker, model, terminal_id, colour, plate):
    """Every edition's body gives back its fields, and the edition is recognised, however long the plate."""
    body = terminal.register(edition, maker, model, terminal_id, colour, plate, 37, 1502)
    got = registration(body, v2019=edition == "2019")
    assert got.edition == edition
    assert (got.maker, got.model, got.terminal_id) == (maker, model, terminal_id)
    assert (got.plate_colour, got.plate, got.province, got.city) == (colour, plate, 37, 1502)


def test_a_2011_body_as_long_as_one_of_2013():
    """`环3-FCB04871` is 12 bytes of GBK, and 25 + 12 = 37: told from 2013 by what stands in its fields."""
    body = terminal.register("2011", colour=2, plate="环3-FCB04871")
    assert len(body) == 37
    got = registration(body, v2019=False)
    assert (got.edition, got.plate, got.plate_colour) == ("2011", "环3-FCB04871", 2)


def test_a_2011_plate_that_ends_in_zero_bytes():
    """A C string's end makes it 37 bytes and its last byte a possible colour; the model field gives it away."""
    body = terminal.register("2011", colour=1, plate="鲁P123456") + b"\x00" * 5
    assert len(body) >= 37
    assert registration(body, v2019=False).plate == "鲁P123456"


def test_a_2019_body_without_a_zero_under_a_legacy_header():
    """Padded with the digit 0, its texts would do for 2013; the digit that stands where the colour would be gives it away."""
    body = terminal.register("2019", "1234".zfill(11), "T1".zfill(30), "7".zfill(30), 2, "鲁P12345")
    got = registration(body, v2019=False)
    assert (got.edition, got.maker, got.plate_colour, got.plate) == ("2019", "00000001234", 2, "鲁P12345")


@pytest.mark.parametrize(("colour", "doubts"), [(0, 0), (9, 0), (10, 1), (0x41, 1)])
def test_a_colour_that_is_none(colour, doubts):
    """Beyond 9 it is read, and speaks against the layout."""
    (form,) = CATALOGUE[0x0100].layouts("2013")
    got = decode(form, terminal.register("2013", colour=colour, plate="鲁P12345"))
    assert (got.values["plate_colour"], got.doubts) == (colour, doubts)


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_zero_inside_a_field_ends_it(edition):
    """What follows the zero is rubbish that was never cleared; other control characters become U+FFFD."""
    sane = terminal.register(edition, "AB!CD", "M !x", "T#(Z)", 2, "!鲁A!!B! ")
    body = sane.translate(bytes.maketrans(b"!#()", b"\x00\x01\x1f\x7f"))
    got = registration(body, v2019=edition == "2019")
    assert "\x00" not in got.maker + got.model + got.terminal_id + got.plate
    if edition != "2011":  # it looks like neither, and is read as one of 2013
        assert (got.maker, got.model, got.terminal_id, got.plate) == ("AB", "M", "T\ufffd\ufffdZ\ufffd", "鲁A")


@given(st.binary(max_size=120), st.booleans())
@settings(deadline=None, max_examples=200)
def test_no_field_holds_a_control_character(body, v2019):
    """Nor does any other body bring one in, so that every registration can be stored."""
    with suppress(BodyError):
        got = registration(body, v2019=v2019)
        said = got.maker + got.model + got.terminal_id + got.plate
        assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in said)


@pytest.mark.parametrize(("edition", "length"), [("2011", 25), ("2013", 37), ("2019", 76)])
def test_shorter_than_its_fixed_part(edition, length):
    """Without a plate it reads; without its plate colour it is no registration, or one of an older edition."""
    body = terminal.register(edition)
    assert len(body) == length
    registration(body, v2019=edition == "2019")
    if edition == "2013":
        assert registration(body[:-1], v2019=False).edition == "2011"
    else:
        with pytest.raises(BodyError):
            registration(body[:-1], v2019=edition == "2019")


@given(st.binary(max_size=90), st.booleans())
@settings(deadline=None, max_examples=100)
def test_any_body_reads_or_is_a_body_error(body, v2019):
    """No other exception."""
    for read in (registration, authentication):
        with suppress(BodyError):
            read(body, v2019=v2019)


@pytest.mark.parametrize("edition", EDITIONS)
def test_authentication(edition):
    """The code in every edition; IMEI and version in that of 2019."""
    body = terminal.authenticate(edition, "AUTH0001", "860000000000001", "V1.0.0")
    got = authentication(body, v2019=edition == "2019")
    assert got.code == "AUTH0001"
    assert (got.imei, got.version) == (("860000000000001", "V1.0.0") if edition == "2019" else ("", ""))


def test_a_2019_authentication_without_its_tail():
    """Terminals leave out the version, or the IMEI too; the code alone is enough."""
    body = terminal.authenticate("2019", "AUTH0001", "860000000000001", "V1.0.0")
    assert authentication(body[:24], v2019=True).imei == "860000000000001"
    assert authentication(body[:9], v2019=True).code == "AUTH0001"


@pytest.mark.parametrize(("body", "v2019"), [(b"", False), (b"", True), (b"\x00", True), (b"\x05abcd", True)])
def test_no_code(body, v2019):
    """An empty body, and a code that is longer than its packet."""
    with pytest.raises(BodyError):
        authentication(body, v2019=v2019)
