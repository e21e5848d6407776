"""What the console is made of: no other server is ever named, and every package is known by its hash."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

CONSOLE = Path(__file__).resolve().parents[2] / "admin_api" / "console"
GENERATED = {"vendor", "node_modules"}
FILES = sorted(
    path for path in CONSOLE.rglob("*") if path.is_file() and path.relative_to(CONSOLE).parts[0] not in GENERATED
)
LOCK = CONSOLE / "package-lock.json"
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
# The lock quotes where each package's authors ask for money: words of package.json, never fetched.
FUNDING = re.compile(r'"funding": (\{[^}]*\}|\[[^]]*\]|"[^"]*")')


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_other_server_is_named(path: Path) -> None:
    """No committed file of the console holds an address, apart from the name of the SVG namespace."""
    text = path.read_text("utf-8").replace(SVG_NAMESPACE, "")
    if path == LOCK:
        text = FUNDING.sub("", text)
    assert re.findall(r"(?i)(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s\"']*", text) == []
    assert "registry" not in text or path.name in {".npmrc", "i18n.mjs", "format.mjs", "rules.mjs"}


def test_the_lock_is_hashes_without_addresses() -> None:
    """Every package has an integrity hash and no download address, so any registry mirror will do."""
    packages = json.loads(LOCK.read_text())["packages"]
    locked = {name: package for name, package in packages.items() if name}
    assert len(locked) > 3
    for name, package in locked.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_dependencies_are_exact() -> None:
    """package.json names exact versions, and they are the ones locked."""
    wanted = json.loads((CONSOLE / "package.json").read_text())["dependencies"]
    locked = json.loads(LOCK.read_text())["packages"]
    assert set(wanted) == {"htm", "maplibre-gl", "preact"}
    assert wanted == {name: locked[f"node_modules/{name}"]["version"] for name in wanted}


def test_the_page_has_no_inline_style_or_handler() -> None:
    """The Content-Security-Policy forbids them; the one inline script is the import map."""
    page = (CONSOLE / "index.html").read_text("utf-8")
    assert re.findall(r"\sstyle=|\son[a-z]+=", page) == []
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", page)
    assert inline == ['<script type="importmap">']


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".mjs"], ids=lambda path: path.name)
def test_modules_are_short_and_set_no_html(path: Path) -> None:
    """At most 300 lines, no eval, and text never becomes markup."""
    text = path.read_text("utf-8")
    assert text.count("\n") <= 300
    assert re.findall(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|dangerouslySetInnerHTML| style=", text) == []
