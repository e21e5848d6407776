"""Every message in every edition: what is encoded is decoded, nothing upsets a decoder, and a frame of each family read
by hand says what it should.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.jt808 import catalogue, layout
from protocols.jt808.body import BodyError
from protocols.jt808.catalogue import CATALOGUE
from tests.protocols.frames import EDITIONS
from tests.protocols.values import values

relaxed = settings(deadline=None, max_examples=12)
FORMS = [
    pytest.param(message.id, edition, form, id=f"{message.id:04x}-{edition}-{number}")
    for message in CATALOGUE.values()
    for edition in EDITIONS
    for number, form in enumerate(message.layouts(edition))
]
ONCE = list({id(param.values[2]): param for param in FORMS}.values())
"""Each layout once, however many editions share it."""
IDS = sorted(CATALOGUE)


@pytest.mark.parametrize(("message", "edition", "form"), FORMS)
@given(data=st.data())
@relaxed
def test_round_trip(message, edition, form, data):
    """Values -> body -> the same values and no tail -> the same body; values are JSON."""
    said = data.draw(values(form, {}))
    body = layout.encode(form, said)
    again = layout.decode(form, body).values
    assert again == said
    assert layout.encode(form, again) == body
    assert json.loads(json.dumps(again)) == again


@pytest.mark.parametrize(("message", "edition", "form"), FORMS)
@given(data=st.data())
@relaxed
def test_the_catalogue_reads_what_it_writes(message, edition, form, data):
    """Under the right header it always reads, whatever layout it takes the body for, and can be written again."""
    said = data.draw(values(form, {}))
    body = catalogue.encode(message, said, edition)
    if len(CATALOGUE[message].layouts(edition)) == 1:
        assert catalogue.decode(message, body, edition) == said
    for v2019 in (False, True):
        try:
            found = catalogue.read(message, body, v2019=v2019)
        except BodyError:
            assert v2019 != (edition == "2019")
            continue
        assert catalogue.read(message, catalogue.encode(message, found.values, found.edition), v2019=v2019)


@pytest.mark.parametrize(("message", "edition", "form"), ONCE)
@given(data=st.data(), tail=st.binary(max_size=4), cut=st.integers(0, 60))
@relaxed
def test_damaged_bodies(message, edition, form, data, tail, cut):
    """A body cut short or with bytes behind it reads or is a BodyError; what was read is written and read the same."""
    body = layout.encode(form, data.draw(values(form, {})))
    for damaged in (body[: max(0, len(body) - cut)], body + tail, tail + body):
        assert_stable(form, damaged)


@pytest.mark.parametrize(("message", "edition", "form"), ONCE)
@given(body=st.binary(max_size=90))
@relaxed
def test_any_bytes(message, edition, form, body):
    """No other exception than BodyError, and whatever reads is stable."""
    assert_stable(form, body)


def assert_stable(form, body):
    try:
        said = layout.decode(form, body).values
    except BodyError as error:
        assert " | " in str(error)  # noqa: PT017 (either outcome is fine)
        return
    try:
        again = layout.encode(form, said)
    except BodyError:
        assert "\ufffd" in str(said)  # what was no text is longer as the sign that says so
        return
    assert layout.decode(form, again).values == said


@given(message=st.sampled_from(IDS) | st.integers(0, 0xFFFF), body=st.binary(max_size=120), v2019=st.booleans())
@settings(deadline=None, max_examples=500)
def test_any_message(message, body, v2019):
    """Any id, known or not: values or a BodyError."""
    try:
        assert isinstance(catalogue.read(message, body, v2019=v2019).values, dict)
    except BodyError:
        assert message in CATALOGUE


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(("message", "edition", "form"), ONCE)
@given(data=st.data(), wrong=junk)
@relaxed
def test_wrong_values(message, edition, form, data, wrong):
    """A value of the wrong type, a missing or an unknown one: BodyError, or a body; never anything else."""
    said = data.draw(values(form, {}))
    names = [*said, "no_such_field"]
    name = data.draw(st.sampled_from(names))
    for changed in ({**said, name: wrong}, {key: said[key] for key in said if key != name}, wrong):
        try:
            assert isinstance(layout.encode(form, changed), bytes)
        except BodyError as error:
            assert " | " in str(error)  # noqa: PT017
