"""Plates and registration numbers: what is the same number, however it was typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columns.plate import plate_key, spellings

WRITTEN = st.text(alphabet="环X0123456789-ABCabc３－ 　[]()【】鲁\t", max_size=14)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("3-FCB04871", "3-FCB04871"),
        ("环3-FCB04871", "3-FCB04871"),
        ("[环]3-fcb 04871", "3-FCB04871"),
        ("【环】３－ＦＣＢ０４８７１", "3-FCB04871"),
        ("环X-00000001", "X-00000001"),
        ("鲁P12345", "鲁P12345"),
        ("环卫1", "环卫1"),
        ("  ", ""),
    ],
)
def test_spellings_of_one_number(text, key):
    """环 before the stage, brackets, full width, small letters and space make no difference; another word does."""
    assert plate_key(text) == key


@given(WRITTEN)
def test_a_keys_key_is_itself(text):
    """So a key may be compared with whatever was keyed already."""
    assert plate_key(plate_key(text)) == plate_key(text)


@given(WRITTEN)
def test_every_spelling_has_the_key(text):
    """What is looked up is the same number; nothing is looked up for nothing."""
    assert all(plate_key(each) == plate_key(text) for each in spellings(text))
    assert bool(spellings(text)) == bool(plate_key(text))
