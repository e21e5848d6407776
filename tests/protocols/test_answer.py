"""The position in an answer (0x0201): which of the two layouts it has is found out, whatever the report says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from columns.positions import Quality, Source
from protocols.jt808 import intake, terminal
from protocols.jt808.header import Packet
from tests.protocols.frames import EDITIONS, NOW

DAY_US = 24 * 3600 * 1_000_000
MILEAGE = {1: b"\x00\x00\x30\x39"}
ITEMS = st.dictionaries(st.integers(1, 255), st.binary(max_size=8), max_size=4)
PLACES = st.tuples(st.integers(73_000_000, 136_000_000), st.integers(3_000_000, 54_000_000))  # in China, 1e-6 degrees


def answer(edition: str, body: bytes) -> Packet:
    v2019 = edition == "2019"
    return Packet(0x0201, 5, len(body), v2019, bytes(10 if v2019 else 6), "0", None, body)


@given(
    st.sampled_from(EDITIONS), st.booleans(), st.integers(0, 4000 * DAY_US), st.integers(-60, 60), PLACES,
    st.integers(0, 359), st.integers(0, 65535), ITEMS,
)  # fmt: skip
@example("2011", False, 0, 0, (115_985_420, 36_453_120), 0, 7, MILEAGE)
@example("2011", False, 50_085_000_000, 0, (115_985_420, 36_453_120), 0, 7, MILEAGE)  # 28 11:25:00, 01 04 behind it
@example("2013", True, 0, 0, (115_985_420, 36_453_120), 5, 7, MILEAGE)  # the course is a month, and the year a day
def test_the_layout_is_found(edition, numbered, later, behind, place, course, request, items):
    """With the request's serial number and without it: the report as it was sent, at any time of a decade."""
    received = NOW + later
    lon, lat = place[0] / 1e6, place[1] / 1e6
    report = terminal.location(received - behind * 1_000_000, lon, lat, course=course, items=items)
    body = request.to_bytes(2, "big") + report if numbered else report
    rows = intake.read_answer(answer(edition, body), received).positions
    assert (rows.lon[0], rows.lat[0], rows.course[0]) == (lon, lat, course)
    assert rows.time[0] == (received - behind * 1_000_000) // 1_000_000 * 1_000_000
    assert rows.source[0] == Source.QUERY
    assert bytes(rows.extras[0]) == report[28:]


@pytest.mark.parametrize("numbered", [True, False])
def test_a_clock_that_was_reset(numbered):
    """2000-01-05 is no time of a terminal; what stands two bytes further on is none either, and no place on earth."""
    report = terminal.location(947_034_735_000_000, 115.985420, 36.453120, items=MILEAGE)
    rows = intake.read_answer(answer("2011", b"\x00\x07" * numbered + report), NOW).positions
    assert (rows.lon[0], rows.quality[0]) == (115.985420, Quality.BAD_TIME)


def test_a_place_that_is_none():
    """Is stored as such, with the time at which it was taken."""
    report = terminal.location(NOW, 115.985420, 36.453120)
    nowhere = report[:8] + b"\xff" * 8 + report[16:]
    rows = intake.read_answer(answer("2013", b"\x00\x07" + nowhere), NOW).positions
    assert (rows.time[0], rows.quality[0]) == (NOW, np.uint16(Quality.OUT_OF_RANGE))
