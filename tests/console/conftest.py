"""A real Chromium against the real API over a real database."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from tests.console.seed import City

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = ROOT / "admin_api" / "console"
# Software WebGL; nothing that calls home.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip
WAIT_MS = 20_000
NO_WEBGL = """
const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith('webgl') ? null : getContext.call(this, kind, ...more);
};
"""
VIOLATIONS = """
window.violations = [];
addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module, not of the session: the sync API runs a loop of its own, which async tests must not meet."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed: apt-get install chromium fonts-noto-cjk")
    if not (CONSOLE / "vendor" / "versions.json").exists():
        pytest.fail("the console's packages are missing: run make setup")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow, and only these tests need it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def city(database: str) -> City:
    return City(database)


@pytest.fixture
def base(city: City, api_database: str) -> Iterator[str]:
    """Address of the application, run by uvicorn on a free port."""
    from admin_api.app import create_app  # noqa: PLC0415 - after the database, and only here

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(create_app(api_database, demo=True), log_level="warning", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.started
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


class Visit:
    """A browser window and everything it did that it should not."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base = base
        self.errors: list[str] = []
        self.strangers: list[str] = []
        context.add_init_script(VIOLATIONS)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._requested)

    def _requested(self, request: object) -> None:
        url: str = request.url  # type: ignore[attr-defined]
        if not url.startswith((self.base, "data:", "blob:" + self.base)):
            self.strangers.append(url)

    def enter(self, token: str) -> None:
        self.page.goto(f"{self.base}/#signin={token}")
        self.page.wait_for_selector(".desk")

    def enter_and_listen(self, token: str) -> None:
        """Until the list is there: what comes before that is in it, and nothing new."""
        with self.page.expect_response(lambda answer: "/api/v1/alarms" in answer.url):
            self.enter(token)
        self.page.wait_for_selector(".link-live")

    def show_positions(self) -> None:
        self.page.click(".purpose button[type=submit]")
        self.page.wait_for_selector(".legend")

    def check(self) -> None:
        """Nothing failed, nothing was blocked, nobody else was called."""
        assert self.errors == []
        assert self.page.evaluate("window.violations") == []
        assert self.strangers == []


def _context(browser: Browser) -> BrowserContext:
    return browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh-CN", reduced_motion="reduce")


@pytest.fixture
def window(browser: Browser, base: str) -> Iterator[Visit]:
    context = _context(browser)
    yield Visit(context, base)
    context.close()


@pytest.fixture
def plain_window(browser: Browser, base: str) -> Iterator[Visit]:
    """Without WebGL, hence without a map: the rest of the page must work, and without software GL it is quick."""
    context = _context(browser)
    context.add_init_script(NO_WEBGL)
    yield Visit(context, base)
    context.close()
