"""Plates: what 0x0100 calls a plate and the registry a registration number, made comparable."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# 环保登记号码 is written [环]3-FCB04871, 环3-FCB04871 or 3-FCB04871: the sign is painted with 环, tables often leave it out.
_SIGN = re.compile(r"^[\[【(]?环[\]】)]?(?=\d|X)")
_GAP = re.compile(r"\s+")
_REMEMBERED = 65_536  # the registry asks for the same numbers again and again


@lru_cache(_REMEMBERED)
def plate_key(text: str) -> str:
    """What two spellings of one number have in common; "" where there is none.

    Full-width forms are ASCII, letters capitals, no space, and no 环 before the stage: "环３-fcb 04871" -> "3-FCB04871".
    A key's key is itself.
    """
    return _SIGN.sub("", _GAP.sub("", unicodedata.normalize("NFKC", text)).upper())


def spellings(text: str) -> list[str]:
    """The registration numbers that a table may hold for this plate, to be looked up by an index."""
    key = plate_key(text)
    written = [key, f"环{key}", f"[环]{key}"] if key else []
    return [each for each in written if plate_key(each) == key]
