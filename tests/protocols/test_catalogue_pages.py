"""docs/jt808-leniencies.md says what the decoder does: each frame on it is decoded and compared with what stands beside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from protocols.jt808.describe import describe

PAGE = (Path(__file__).parents[2] / "docs/jt808-leniencies.md").read_text("utf-8")
ROW = re.compile(r"^\|([^|]+)\|([^|]+)\|([^|]+)\| `(7e[0-9a-f]+7e)` \| `(\{[^`]*\})` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE)


def within(expected, said) -> bool:
    """Whether `said` has everything that is expected, and lists of the same length."""
    if isinstance(expected, dict):
        return isinstance(said, dict) and all(name in said and within(expected[name], said[name]) for name in expected)
    if isinstance(expected, list):
        return len(expected) == len(said) and all(map(within, expected, said))
    return expected == said


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0].strip()}-{row[1].strip()}" for row in ROWS])
def test_a_leniency(row):
    """The frame says what the page says it does, and is no error."""
    said = describe(row[3])
    assert "error" not in said
    assert within(json.loads(row[4]), said), said


def test_every_row_is_read():
    """No row of the page escapes the test for a slip of its spelling."""
    assert len(ROWS) == PAGE.count("| `7e")
    assert len(ROWS) > 30
