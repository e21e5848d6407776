"""Rooms don't know each other: who may import whom, and what the core must not touch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "columns": set(),
    "protocols": {"columns"},
    "geofence": {"columns"},
    "storage": {"columns"},
    "admin_api": {"columns", "storage", "geofence"},
    "gateway": {"columns", "protocols", "geofence", "storage", "admin_api"},
}
CORE = ("columns", "protocols", "geofence")
FORBIDDEN_IN_CORE = {"asyncio", "socket", "uvloop", "psycopg", "nats", "selectors"}
CLOCK = {"time", "datetime"}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    """columns imports nothing of ours; the hall (gateway) may import every room; nobody imports the hall."""
    for path in modules(room):
        strangers = imports(path) & ROOMS.keys() - ROOMS[room] - {room}
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}"


@pytest.mark.parametrize("room", CORE)
def test_the_core_has_no_async_no_socket_and_no_clock(room):
    """Functions of bytes, arrays and `now`: nothing here waits, listens or asks what time it is."""
    for path in modules(room):
        assert not imports(path) & FORBIDDEN_IN_CORE, path
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in CLOCK:
                assert node.attr not in {"time", "time_ns", "monotonic", "now", "utcnow", "today"}, path


def test_files_are_short():
    """Files of 50-300 lines, never above 400: a longer one is two rooms."""
    long = [
        f"{path.relative_to(ROOT)}: {len(path.read_text().splitlines())}"
        for room in ROOMS
        for path in modules(room)
        if len(path.read_text().splitlines()) > 400
    ]
    assert not long, long


def test_no_file_is_named_for_nothing():
    """`utils`, `helpers` and `common` say nothing about what is in them."""
    names = {path.stem for room in ROOMS for path in modules(room)}
    assert not names & {"utils", "util", "helpers", "common", "misc"}
