"""Fingerprints: a function of a row's own bytes, which tells rows apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.fingerprint import fingerprints
from columns.ragged import Ragged


def of(rows: list[bytes]) -> list[int]:
    ragged = Ragged.of(rows)
    return fingerprints(ragged.blob, ragged.offsets[:-1], ragged.offsets[1:]).tolist()


@given(st.lists(st.binary(max_size=300), max_size=12))
@settings(max_examples=200, deadline=None)
def test_a_row_is_alone(rows):
    """The fingerprint does not depend on the rows beside it, whatever their lengths."""
    assert of(rows) == [of([row])[0] for row in rows]


def test_rows_differ():
    """Any one-byte change, a swap of words, an added zero byte and another length give another fingerprint."""
    base = bytes(range(40))
    rows = [base[:i] + bytes([base[i] ^ 1 << bit]) + base[i + 1 :] for i in range(40) for bit in range(8)]
    rows += [base, base[8:16] + base[:8] + base[16:], base + b"\0", base[:-1], b"", b"\0", bytes(8), bytes(9)]
    assert len(set(of(rows))) == len(rows)


def test_spread():
    """100,000 counters make 100,000 fingerprints, and every bit is set about half of the time."""
    rows = np.arange(100_000, dtype=">u8")
    blob = rows.view(np.uint8)
    starts = np.arange(0, len(blob), 8)
    found = fingerprints(blob, starts, starts + 8)
    assert len(np.unique(found)) == 100_000
    bits = (found[:, None] >> np.arange(64)) & 1
    assert (np.abs(bits.mean(axis=0) - 0.5) < 0.01).all()
