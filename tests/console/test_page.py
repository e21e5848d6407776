"""Staff at work: the page in a real Chromium, over the real API and a real database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from admin_api import passwords
from tests.console.seed import NUMBER, ZONE

if TYPE_CHECKING:
    from tests.console.conftest import Visit
    from tests.console.seed import City

pytestmark = pytest.mark.browser


def test_an_alarm_from_link_to_closed(window: Visit, city: City) -> None:
    """The link signs in; the alarm is accepted, fed back and closed; each step is on record."""
    alarm = city.alarm()
    page = window.page
    window.enter(city.link())
    assert page.evaluate("location.hash") == ""
    assert page.inner_text(".demo") == "演示数据 · 边界为虚构"
    row = page.wait_for_selector(f"[data-alarm='{alarm}']")
    said = row.inner_text()
    for words in ("作业中", "挖掘机", "国二", NUMBER, ZONE, "核心禁用区", "未达到国三(国二及以前,不含国三)", "待派发"):
        assert words in said
    assert page.title().startswith("(1) ")

    row.click()
    page.click(".step .primary:has-text('接收')")
    page.select_option("select[name=result]", label="属实")
    page.check("input[name=measures][value=persuaded]", force=True)
    page.fill("textarea[name=note]", "已劝离")
    page.click(".step .primary:has-text('提交反馈')")
    page.wait_for_selector(".step .primary:has-text('办结')")
    page.click(".step .primary:has-text('办结')")
    assert page.inner_text(".step .problem") == "请填写办结意见"
    page.fill(".step textarea[name=note]", "核实无误，同意办结")
    page.click(".step .primary:has-text('办结')")
    page.wait_for_selector(".detail-head .state:has-text('已办结')")

    record = page.inner_text(".timeline")
    for words in ("接收", "反馈", "属实", "劝离", "已劝离", "核实无误，同意办结"):
        assert words in record
    assert city.rows("SELECT state FROM alarm WHERE id = %s", alarm) == [("closed",)]
    assert city.rows("SELECT action FROM alarm_action ORDER BY id") == [("accept",), ("feedback",), ("close",)]
    page.click(".shut")
    page.click(".tabs button:has-text('已办结')")
    page.wait_for_selector(f".row.closed[data-alarm='{alarm}']")
    assert page.inner_text(".figure:has-text('未办结报警') .figure-value") == "0"
    window.check()


def test_what_the_server_refuses_is_shown(plain_window: Visit, city: City) -> None:
    """A colleague was faster: the refusal is read in the page's language, beside the button."""
    alarm = city.alarm()
    page = plain_window.page
    plain_window.enter(city.link())
    page.click(f"[data-alarm='{alarm}']")
    page.wait_for_selector(".step .primary:has-text('接收')")
    with city.connect() as conn:
        conn.execute("UPDATE alarm SET state = 'accepted' WHERE id = %s", [alarm])
    page.click(".step .primary")
    assert "不能执行“接收”" in page.wait_for_selector(".step .problem").inner_text()
    assert plain_window.strangers == []


def test_a_candidate_is_a_strip_and_no_alarm(plain_window: Visit, city: City) -> None:
    """疑似进入 is shown at once above the list; it is no row, no count, no title."""
    page = plain_window.page
    plain_window.enter_and_listen(city.link())
    city.candidate()
    said = page.wait_for_selector(".candidates").inner_text()
    for words in ("疑似进入", NUMBER, "挖掘机", ZONE):
        assert words in said
    assert page.query_selector(".row") is None
    assert not page.title().startswith("(")
    plain_window.check()


def test_a_viewer_may_look_and_not_act(plain_window: Visit, city: City) -> None:
    """市局查看人员 sees the alarm and its record, and is told that handling is not theirs."""
    alarm = city.alarm()
    page = plain_window.page
    plain_window.enter(city.link("city_viewer"))
    page.click(f"[data-alarm='{alarm}']")
    page.wait_for_selector(".step.done:has-text('当前账号不能处理本报警')")
    assert page.query_selector(".step .primary") is None
    plain_window.check()


def test_a_new_alarm_arrives_by_itself(plain_window: Visit, city: City) -> None:
    """An event in the database becomes a highlighted row, a title with its count and a polite announcement."""
    page = plain_window.page
    plain_window.enter_and_listen(city.link())
    page.wait_for_selector(".empty")
    alarm = city.alarm(told=True)
    page.wait_for_selector(f".row.fresh[data-alarm='{alarm}']")
    assert NUMBER in page.inner_text("[aria-live=polite]")
    assert page.title().startswith("(1) ")
    plain_window.check()


def test_positions_need_a_purpose_and_leave_an_audit(window: Visit, city: City) -> None:
    """No position before a purpose is chosen; with it the machine is counted, found and shown, and it is on record."""
    page = window.page
    window.enter(city.link())
    assert page.query_selector(".legend") is None
    assert city.rows("SELECT 1 FROM audit WHERE action IN ('positions.read', 'stream.open')") == []
    page.click(".choice:has-text('执法检查')")
    window.show_positions()
    page.wait_for_selector(".figure:has-text('在线机械') .figure-value:text-is('1')")
    assert "执法检查" in page.inner_text(".purpose-now")
    page.fill(".find input", NUMBER[:6])
    page.keyboard.press("Enter")
    card = page.wait_for_selector(".card").inner_text()
    for words in (NUMBER, "挖掘机", "国二", "2.4 km/h", "在线"):
        assert words in card
    purposes = city.rows("SELECT DISTINCT purpose FROM audit WHERE action IN ('positions.read', 'stream.open')")
    assert purposes == [("执法检查",)]
    window.check()


def test_english_is_remembered(plain_window: Visit, city: City) -> None:
    """The switch changes every word at once and is kept over a reload; the session is, too."""
    city.alarm()
    page = plain_window.page
    plain_window.enter(city.link())
    page.click("button[lang=en]")
    assert page.inner_text(".demo") == "演示数据 · 边界为虚构 · Demo"
    page.reload()
    page.wait_for_selector(".row")
    assert "Below China III" in page.inner_text(".row-rule")
    assert page.get_attribute("html", "lang") == "en"
    assert (
        re.search("[\u4e00-\u9fff]", page.inner_text(".bar").replace("中文", "").replace(page.inner_text(".demo"), ""))
        is None
    )
    plain_window.check()


def test_keyboard_alone(plain_window: Visit, city: City) -> None:
    """Enter opens an alarm, the pane takes the focus, Escape gives it back to the row."""
    alarm = city.alarm()
    page = plain_window.page
    plain_window.enter(city.link())
    page.focus(f"[data-alarm='{alarm}']")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'detail-title'")
    page.keyboard.press("Escape")
    page.wait_for_function(f"document.activeElement.dataset.alarm === '{alarm}'")
    assert page.query_selector(".detail") is None
    assert "WebGL" in page.inner_text(".map-failed")
    plain_window.check()


def test_a_used_link_and_a_password(plain_window: Visit, city: City) -> None:
    """A link works once; then account and password, refused in the page's language and then taken; signing out ends it."""
    token = city.link()
    with city.connect() as conn:
        conn.execute(
            "INSERT INTO account (login, role, password) VALUES ('wang', 'city_viewer', %s)",
            [passwords.make_hash("correct horse battery")],
        )
    page = plain_window.page
    plain_window.enter(token)
    page.click(".bar-end button:has-text('退出')")
    page.wait_for_selector(".door")
    page.evaluate(f"location.hash = 'signin={token}'")
    page.reload()
    assert page.inner_text(".problem") == "登录链接无效或已使用，请用账号登录。"
    page.fill("input[name=login]", "wang")
    page.fill("input[name=password]", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector(".problem:has-text('用户名或密码错误')")
    page.fill("input[name=password]", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_selector(".desk")
    assert "市局查看人员" in page.inner_text(".who")
    assert plain_window.strangers == []


def test_a_lost_stream_says_so_and_comes_back(plain_window: Visit, city: City) -> None:
    """While the stream is down the page says so; when it is back, so is what happened meanwhile."""
    page = plain_window.page
    page.route("**/api/v1/stream*", lambda route: route.abort())
    plain_window.enter(city.link())
    page.wait_for_selector(".link-lost:has-text('已断开，正在重连')")
    alarm = city.alarm(told=True)
    page.unroute("**/api/v1/stream*")
    page.wait_for_selector(".link-live")
    page.wait_for_selector(f"[data-alarm='{alarm}']")
    assert plain_window.strangers == []


@pytest.mark.parametrize("width", [390, 900, 1280, 1440])
def test_nothing_is_wider_than_the_screen(plain_window: Visit, city: City, width: int) -> None:
    """From a phone to a desk, in both languages, with and without an alarm open, nothing is cut off at the side."""
    city.alarm()
    page = plain_window.page
    page.set_viewport_size({"width": width, "height": 844})
    plain_window.enter(city.link())
    page.wait_for_selector(".row")
    plain_window.show_positions()
    for _ in range(2):
        for step in ("list", "detail"):
            if step == "detail":
                page.click(".row")
                page.wait_for_selector(".step")
            wide = page.evaluate("[document.documentElement.scrollWidth, document.querySelector('.bar').scrollWidth]")
            assert max(wide) <= width, step
            bar = page.eval_on_selector_all(".bar *", "all => all.map((e) => e.getBoundingClientRect().left)")
            assert min(bar) >= 0
        page.keyboard.press("Escape")
        page.click(".bar-end button[lang]")
    plain_window.check()


def test_the_door_says_demo(plain_window: Visit) -> None:
    """Every screen of a demo says that its data are made up, the sign-in form too."""
    page = plain_window.page
    page.goto(plain_window.base)
    page.wait_for_selector(".door-form")
    assert page.inner_text(".demo") == "演示数据 · 边界为虚构"
