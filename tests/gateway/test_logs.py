"""Logs: JSON lines with the terminal, no flood, nothing of a row's contents."""

from __future__ import annotations

import json
import logging
import sys

import psycopg
import pytest
import structlog

from gateway.logs import LINES_PER_S, MOST_KEYS, TERMINAL_REPEAT_S, Repeats, configure, without_contents


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Said:
    """What comes through, of lines given as (event, more)."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.repeats = Repeats(self.clock)

    def __call__(self, event: str, **more: object) -> dict | None:
        try:
            return dict(self.repeats(None, "warning", {"event": event, **more}))
        except structlog.DropEvent:
            return None


def test_a_terminal_is_named_once_a_minute():
    """However often it does the same; the next line says how many were held back. Another event of it is another."""
    said = Said()
    assert said("refused", terminal="1") == {"event": "refused", "terminal": "1"}
    for second in range(1, 60):
        said.clock.now = float(second)
        assert said("refused", terminal="1") is None
    assert said("uploads", terminal="1") is not None
    said.clock.now = TERMINAL_REPEAT_S
    assert said("refused", terminal="1") == {"event": "refused", "terminal": "1", "more_like_this": 59}


def test_a_storm_of_many_terminals_is_a_number():
    """30,000 that do the same within a second are LINES_PER_S lines; the first of the next second says of the rest."""
    said = Said()
    lines = [said("refused", terminal=str(i)) for i in range(30_000)]
    assert sum(line is not None for line in lines) == LINES_PER_S
    assert said("another", terminal="1") is not None
    said.clock.now = 1.0
    line = said("refused", terminal="another")
    assert line is not None
    assert line["more_like_this"] == 30_000 - LINES_PER_S


def test_a_retry_is_a_line_a_second_for_each_partition():
    """Partitions hide neither each other nor what changes later."""
    said = Said()
    assert said("interrupted", partition=0)
    assert said("interrupted", partition=1)
    assert said("interrupted", partition=0) is None
    said.clock.now = 1.0
    assert said("interrupted", partition=0) == {"event": "interrupted", "partition": 0, "more_like_this": 1}


def test_what_is_remembered_is_bounded():
    """Made-up terminals, at any rate, fill nothing."""
    said = Said()
    for i in range(3 * MOST_KEYS):
        said.clock.now = i / LINES_PER_S
        said(f"event {i}", terminal=str(i))
    assert len(said.repeats._again) <= MOST_KEYS
    assert len(said.repeats._events) <= MOST_KEYS


@pytest.fixture
def lines(monkeypatch, capsys):
    """Sets logging up as a process does; gives the JSON lines that came of it."""
    before = list(logging.getLogger().handlers), logging.getLogger().level
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    configure("edge")
    structlog.configure(cache_logger_on_first_use=False)

    def read() -> list[dict]:
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield read
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_libraries_speak_json_too(lines):
    """What comes through `logging` (the api's rooms, psycopg, asyncio) has the same form and the same bounds."""
    pool = logging.getLogger("psycopg.pool")
    for i in range(100):
        pool.warning("error connecting in %r", i)
    logging.getLogger("admin_api.problems").error("failed", exc_info=ValueError("why"))
    first, second = lines()
    assert (first["event"], first["level"], first["process"], first["logger"]) == (
        "error connecting in 0", "warning", "edge", "psycopg.pool",
    )  # fmt: skip
    assert second["exception"].endswith("ValueError: why")


def test_an_exception_is_told_with_its_traceback(lines):
    """In JSON, on one line."""
    try:
        json.loads("{")
    except json.JSONDecodeError:
        structlog.get_logger().exception("partition failed", partition=3)
    (line,) = lines()
    assert line["exception"].splitlines()[-1].startswith("json.decoder.JSONDecodeError: ")
    assert "test_logs.py" in line["exception"]


def test_the_contents_of_a_row_are_cut(database, lines):
    """A row is a position: of what PostgreSQL says about one that it refuses, the reason is kept and the row is not."""
    refused = "CREATE TEMP TABLE fix (lon int CHECK (lon < 5)); INSERT INTO fix VALUES (116123456)"
    with psycopg.connect(database) as connection, pytest.raises(psycopg.errors.CheckViolation) as caught:
        connection.execute(refused)
    error = caught.value
    assert "116123456" in str(error)
    structlog.get_logger().error("refused", error=str(error), exc_info=error)
    logging.getLogger("admin_api").error("refused too: %s", error)
    text = json.dumps(lines())
    assert "116123456" not in text
    assert text.count("violates check constraint") == 3


def test_what_follows_the_contents_stays():
    """In a traceback that goes on after them."""
    line = {"exception": "A: x\nDETAIL:  Failing row contains (1,\n2).\n\nThe above exception was\n  File y"}
    assert without_contents(None, "", line)["exception"] == "A: x\n\nThe above exception was\n  File y"
