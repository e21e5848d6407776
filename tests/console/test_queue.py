"""The queue 待绑定终端 in a real browser: seen, bound in one step, sent away; a quarantine released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.seed import DEVICE, NUMBER, PHONE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.console.conftest import Visit
    from tests.console.seed import City

pytestmark = pytest.mark.browser


def refuse(city: City, phone: str, plate: str, result: int = 4) -> None:
    with city.connect() as conn:
        conn.execute(
            "INSERT INTO terminal_refused (phone, maker, model, plate, result, attempts) VALUES (%s, '70111', 'A1', %s, %s, 3)",
            [phone, plate, result],
        )


def test_a_waiting_terminal_is_bound_in_one_step(plain_window: Visit, city: City, tmp_path: Path) -> None:
    """It is counted and described, its plate's machine is proposed; bound it is gone, and its next 0x0100 will succeed."""
    page = plain_window.page
    refuse(city, "13900000002", f"环{NUMBER}")
    refuse(city, "13900000003", "")
    plain_window.enter(city.link())
    page.wait_for_selector(".figure-button .figure-value:text-is('2')")
    page.click(".figure-button")
    row = page.wait_for_selector("[data-phone='13900000002']")
    for words in ("无该终端", f"环{NUMBER}", "70111 / A1", "3 次", f"现有终端 {PHONE}，绑定后将被换下"):
        assert words in row.inner_text()
    page.screenshot(path=tmp_path / "queue.png")
    assert page.input_value("[data-phone='13900000002'] input") == NUMBER
    page.fill("[data-phone='13900000003'] input", "NO-SUCH")
    page.click("[data-phone='13900000003'] .primary")
    page.wait_for_selector("[data-phone='13900000003'] .problem:has-text('机械')")
    page.click("[data-phone='13900000003'] .plain")
    page.wait_for_selector("[data-phone='13900000003']", state="detached")
    page.click("[data-phone='13900000002'] .primary")
    page.wait_for_selector("[data-phone='13900000002']", state="detached")
    assert "已登记，未绑定" in page.wait_for_selector(f"[data-phone='{PHONE}']").inner_text(), (
        "the one that it replaced"
    )
    assert city.rows("SELECT b.machine FROM binding b JOIN terminal USING (device) WHERE phone = '13900000002'") == [
        (city.machine,)
    ]
    assert plain_window.strangers == []
    page.click(".shut-queue")
    page.wait_for_selector(".queue", state="detached")


def test_a_quarantine_is_seen_and_released(plain_window: Visit, city: City) -> None:
    """A terminal that two devices speak as is counted beside those that wait; staff release it."""
    page = plain_window.page
    with city.connect() as conn:
        conn.execute("UPDATE terminal SET quarantined_until = now() + interval '1 hour' WHERE device = %s", [DEVICE])
    plain_window.enter(city.link())
    page.click(".figure-button")
    page.click(f".held[data-phone='{PHONE}'] .secondary:has-text('解除隔离')")
    page.wait_for_selector(".held", state="detached")
    assert city.rows("SELECT quarantined_until FROM terminal WHERE device = %s", DEVICE) == [(None,)]
    plain_window.check()


def test_who_only_looks_gets_no_form(plain_window: Visit, city: City) -> None:
    """A viewer sees the queue and cannot bind."""
    page = plain_window.page
    refuse(city, "13900000002", "鲁P12345")
    plain_window.enter(city.link("city_viewer"))
    page.click(".figure-button")
    page.wait_for_selector("[data-phone='13900000002']")
    assert page.query_selector(".waiting-form") is None
    plain_window.check()
