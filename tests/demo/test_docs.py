"""Docs fail the build: every dependency has its argument, every setting its line, every file that is named exists."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks import capacity
from gateway.cli import COMMANDS
from gateway.config import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DEPENDENCIES = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
READMES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")}
OURS = [*READMES, "CHANGELOG.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
ARTICLE_13 = "第十三条", "| **13 "


def declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    return [re.split(r"[<>=]", name)[0] for name in wanted]


@pytest.mark.parametrize("name", declared())
def test_every_python_dependency_is_argued(name) -> None:
    assert f"| {name} |" in DEPENDENCIES


def test_every_version_is_the_locked_one() -> None:
    """A table that lags behind the lock misleads."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([0-9.]+)", lock, re.MULTILINE):
        locked.setdefault(name, set()).add(version)  # one for each range of Pythons
    rows = re.findall(r"^\| ([a-z0-9-]+)(?:\[[a-z,]+\])? \| ([0-9.]+) \|", DEPENDENCIES, re.MULTILINE)
    stated = [(name, version) for name, version in rows if name in locked]
    assert [(name, version) for name, version in stated if version not in locked[name]] == []
    assert len(stated) > 25


def test_every_browser_package_is_argued() -> None:
    package = json.loads((ROOT / "admin_api" / "console" / "package.json").read_text(encoding="utf-8"))
    for name, version in package["dependencies"].items():
        assert f"| {name} | {version} |" in DEPENDENCIES


@pytest.mark.parametrize("readme", READMES)
def test_every_setting_is_in_the_readme(readme) -> None:
    for field in fields(Settings):
        assert PREFIX + field.name.upper() in READMES[readme], field.name


@pytest.mark.parametrize("readme", READMES)
def test_every_command_is_in_the_readme(readme) -> None:
    text = READMES[readme]
    for command in COMMANDS:
        assert re.search(rf"`(lezgate )?{command}\b", text), command


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_says_the_honest_things(readme) -> None:
    """Plain PostgreSQL, TimescaleDB's variable, aiomqtt for asyncio-mqtt, made-up data, what is not built."""
    text = READMES[readme]
    for word in ("TimescaleDB", "LEZGATE_DATABASE_URL", "aiomqtt", "asyncio-mqtt", "make run", "make test", "未实现"):
        assert word in text
    assert "made up" in text or "虚构" in text
    assert any(word in text for word in ARTICLE_13)


@pytest.mark.parametrize("name", OURS)
def test_links_lead_somewhere(name) -> None:
    """To a file that is there, in every document."""
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def anchors(path: Path) -> set[str]:
    """What a link may name after `#`: headings as they are turned into anchors."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", OURS)
def test_links_lead_to_a_chapter(name) -> None:
    """The part after `#` is a heading of the page."""
    path = ROOT / name
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", path.read_text(encoding="utf-8")):
        page = (path.parent / target) if target else path
        if page.suffix == ".md":
            assert anchor in anchors(page), f"{target}#{anchor}"


@pytest.mark.parametrize(("name", "table"), [("costs", capacity.costs()), ("fleets", capacity.fleets())])
def test_the_page_on_scaling_shows_its_arithmetic(name, table) -> None:
    """Costs that were measured anew change every row that follows from them: python -m benchmarks.capacity."""
    shown = re.search(
        f"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", (ROOT / "docs" / "scaling.md").read_text(), re.DOTALL
    )
    assert shown is not None
    assert shown[1].splitlines() == table


@pytest.mark.parametrize("name", ["operations.md", "scaling.md"])
def test_pages_for_operators_begin_in_chinese_too(name) -> None:
    """A paragraph that says what the page holds."""
    head = (ROOT / "docs" / name).read_text(encoding="utf-8")[:200]
    assert "**中文摘要**" in head
