"""Alarms of other kinds than an entry, digests and corrections on the page, in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.seed import NUMBER, ZONE

if TYPE_CHECKING:
    from tests.console.conftest import Visit
    from tests.console.seed import City

pytestmark = pytest.mark.browser


def test_a_power_cut_is_a_row_and_is_handled(plain_window: Visit, city: City) -> None:
    """It says what it is about, where, and since when, and goes its way like an entry."""
    page = plain_window.page
    plain_window.enter_and_listen(city.link())
    alarm = city.signal(detail={"bits": [8], "inside": True, "fixed": True, "verdict": "violation"})
    row = page.wait_for_selector(f".row.fresh[data-alarm='{alarm}']")
    said = row.inner_text()
    for words in ("主电源断电", NUMBER, ZONE, "仍在持续", "待派发"):
        assert words in said
    assert "进区" not in said
    row.click()
    page.wait_for_selector(".step .primary")
    facts = page.inner_text(".detail-body")
    for words in ("主电源断电", "及时提醒", "开始", "持续", ZONE, "测〔2025〕1号"):
        assert words in facts
    for words in ("级别", "进区确认"):
        assert words not in facts
    page.click(".step .primary:has-text('接收')")
    page.wait_for_selector(".detail-head .state:has-text('已接收')")
    plain_window.check()


def test_an_alarm_without_zone_and_place(window: Visit, city: City) -> None:
    """It is read and opened, and the map stays where it is."""
    alarm = city.signal("identity", zone=False, detail={"quarantined_until": "2026-03-01T08:00:00+00:00"})
    page = window.page
    window.enter(city.link())
    window.show_positions()
    page.click(f"[data-alarm='{alarm}']")
    facts = page.wait_for_selector(".detail-body:has(.facts)").inner_text()
    assert "多台设备共用终端号" in facts
    assert "隔离至 2026-03-01 16:00:00" in facts
    for words in ("位置", "文号", "区域"):
        assert words not in facts
    window.check()


def test_a_cut_aerial_names_its_bits(plain_window: Visit, city: City) -> None:
    """Which of the bits, and that the place is the last good one."""
    alarm = city.signal("antenna_cut", detail={"bits": [4, 5], "fixed": False})
    plain_window.enter(city.link())
    row = plain_window.page.wait_for_selector(f"[data-alarm='{alarm}']")
    assert "GNSS模块故障、天线未接或被剪断、无有效定位，按最后有效位置" in row.inner_text()
    plain_window.check()


def test_two_places_say_how_far(plain_window: Visit, city: City) -> None:
    alarm = city.signal("two_places", detail={"other_terminal": "13900000002", "distance_m": 12_340, "apart_s": 20})
    plain_window.enter(city.link())
    row = plain_window.page.wait_for_selector(f"[data-alarm='{alarm}']")
    assert "与终端 13900000002 相距 12.3 公里" in row.inner_text()
    plain_window.check()


def test_what_was_parked_is_counted_and_says_what_to_do(plain_window: Visit, city: City) -> None:
    """How many, why, and who brings them back: of no machine, no zone and no place."""
    alarm = city.parked({"failed": 2, "refused": 1})
    page = plain_window.page
    plain_window.enter(city.link())
    row = page.wait_for_selector(f"[data-alarm='{alarm}']")
    assert "数据无法处理，已搁置" in row.inner_text()
    assert "本系统处理出错 2 条、数据库拒绝 1 条" in row.inner_text()
    page.click(f"[data-alarm='{alarm}']")
    facts = page.wait_for_selector(".detail-body:has(.facts)").inner_text()
    assert "lezgate dead-letters list" in facts
    for words in ("机械", "阶段不明"):
        assert words not in facts
    plain_window.check()


def test_a_digest_is_one_line(plain_window: Visit, city: City) -> None:
    """With its district, its count and its causes; gone when it was read."""
    page = plain_window.page
    plain_window.enter_and_listen(city.link())
    city.digest()
    said = page.wait_for_selector(".digest").inner_text()
    assert "东昌府区：12 台次已在区内（规则生效时已在区内 9、信息变更时已在区内 3）" in said
    page.click("button[lang=en]")
    assert "东昌府区: 12 already inside (Inside when the rule took effect 9" in page.inner_text(".digest")
    page.click(".digest button")
    page.wait_for_selector(".digest", state="detached")
    plain_window.check()


def _two(city: City) -> tuple[int, int]:
    """Two alarms of one machine, of which only one can be open at a time."""
    one = city.alarm()
    city.rows("UPDATE alarm SET exited_at = now() WHERE id = %s RETURNING 1", one)
    return one, city.alarm()


def test_who_did_not_move_is_not_announced(plain_window: Visit, city: City) -> None:
    """An alarm for the digest is a row with its cause, and nothing lights up for it; so is one of late data."""
    page = plain_window.page
    plain_window.enter_and_listen(city.link())
    one, two = _two(city)
    city.rows("UPDATE alarm SET notice = 'digest', cause = 'zone_effective' WHERE id = %s RETURNING 1", one)
    city.rows("UPDATE alarm SET late = true WHERE id = %s RETURNING 1", two)
    city.rows("SELECT emit_alarms(ARRAY[%s, %s]::bigint[])", one, two)
    row = page.wait_for_selector(f"[data-alarm='{one}']")
    assert "区域生效时已在区内" in row.inner_text()
    assert "补传(迟到)数据" in page.wait_for_selector(f"[data-alarm='{two}']").inner_text()
    assert page.query_selector(".row.fresh") is None
    plain_window.check()


def test_a_corrected_alarm_shows_where_it_went(plain_window: Visit, city: City) -> None:
    """Merged: not open, and a way to the one that goes on; withdrawn: since when; a grade with the fix that gave it."""
    one, other = _two(city)
    city.rows("UPDATE alarm SET merged_into = %s, state = 'closed' WHERE id = %s RETURNING 1", one, other)
    city.rows(
        "UPDATE alarm SET withdrawn_at = '2026-03-01 08:00Z', grade_at = '2026-03-01 07:00Z', grade_speed = 35"
        " WHERE id = %s RETURNING 1", one,
    )  # fmt: skip
    page = plain_window.page
    plain_window.enter(city.link())
    page.wait_for_selector(f"[data-alarm='{one}']")
    assert page.query_selector(f"[data-alarm='{other}']") is None
    page.click(".tabs button:has-text('已办结')")
    page.click(f"[data-alarm='{other}']")
    page.click(f".detail-body button:has-text('报警 {one}')")
    page.wait_for_selector(f"#detail-title:has-text('报警 {one}')")
    said = page.inner_text(".detail-body")
    assert "2026-03-01 16:00:00 撤销" in said
    assert "作业中 (2026-03-01 15:00:00 发动机运行，3.5 km/h)" in said
    plain_window.check()
