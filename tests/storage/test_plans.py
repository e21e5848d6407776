"""Tracks, known reports and places are found by their key, on both servers: nobody's question reads a day of everybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from storage.evidence import _COPY
from storage.load import _KNOWN
from storage.queries import positions, tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.storage.conftest import Scene

TERMINALS, EACH = 300, 60
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def filled(scene: Scene) -> Iterator[psycopg.Connection]:
    """Two days of 300 terminals, 60 reports each; on TimescaleDB the first day is compressed."""
    with psycopg.connect(scene.conninfo, autocommit=True, prepare_threshold=None) as conn:
        conn.execute("SELECT ensure_partitions('2026-03-01', '2026-03-02')")
        conn.execute(
            "INSERT INTO position SELECT t, %s + d * interval '1 day' + n * interval '20 min', n, now(), 0, 0, 0, 0, 0, 0, 0,"
            " 0, 0, 0, 0, 0, '' FROM generate_series(1, %s) t, generate_series(0, 1) d, generate_series(1, %s) n",
            [DAY, TERMINALS, EACH],
        )
        conn.execute("INSERT INTO terminal (device, phone) SELECT t, t FROM generate_series(100, 5000) t")
        conn.execute(
            "INSERT INTO terminal_last SELECT t, now(), now(), 0, 0, 0, 0, 0, 0 FROM generate_series(100, 5000) t"
        )
        if scene.value("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"):
            conn.execute(
                "SELECT compress_chunk(c) FROM show_chunks('position', older_than => %s) c", [DAY + timedelta(1)]
            )
        conn.execute("ANALYZE")
        yield conn


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def read_by(conn: psycopg.Connection, table: str, query: str, values: Any) -> set[str]:
    """How rows of the table were found: "key", by an index from their terminal on, or the kind of a scan."""
    (plan,) = conn.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query, values).fetchone()[0]  # type: ignore[index]
    found = set()
    for node in nodes(plan["Plan"]):
        name, kind = node.get("Relation Name", ""), node["Node Type"]
        if (
            not name.startswith((table, "_hyper", "compress_hyper"))
            or not node["Actual Loops"]
            or kind == "Custom Scan"
        ):
            continue  # a Custom Scan unpacks what the scan below it has found
        if kind == "Seq Scan" and not node["Actual Rows"] and not node.get("Rows Removed by Filter"):
            continue  # an empty default partition
        condition = node.get("Index Cond", node.get("Recheck Cond", ""))
        found.add("key" if "terminal" in condition else kind)
    return found


WINDOWS = [(DAY + timedelta(days=1), DAY + timedelta(days=2)), (DAY, DAY + timedelta(days=2))]


def test_everything_is_found_by_its_key(filled: psycopg.Connection, scene: Scene) -> None:
    """A track of a terminal or machine, its first page and one in the middle; what a worker asks for while reports wait; a page
    of latest positions, and those of some terminals.
    """
    for start, end in WINDOWS:
        for after in (None, (start + timedelta(hours=3), 7, 0)):
            values = tracks._parameters(start, end, after, 1000)
            assert read_by(filled, "position", tracks._OF_TERMINAL, {"device": 7, **values}) == {"key"}
            assert read_by(filled, "position", tracks._OF_MACHINE, {"machine": scene.machine, **values}) == {"key"}
    known = [[7, 8], [DAY + timedelta(minutes=20), DAY + timedelta(days=1, minutes=20)], [1, 1]]
    assert read_by(filled, "position", _KNOWN, known) == {"key"}
    fixes = {"terminal": 7, "after": DAY, "until": DAY + timedelta(days=2)}
    assert read_by(filled, "position", _COPY, fixes) == {"key"}
    page = positions._COLUMNS + " WHERE l.terminal > %s ORDER BY l.terminal LIMIT %s"
    assert read_by(filled, "terminal_last", page, [2000, 100]) == {"key"}
    some = positions._COLUMNS + " WHERE l.terminal = ANY(%s) ORDER BY l.terminal LIMIT %s"
    assert read_by(filled, "terminal_last", some, [[7, 2000, 3000], 100]) == {"key"}

    without = tracks._OF_TERMINAL.replace("p.terminal =", "p.terminal + 0 =")
    found = read_by(filled, "position", without, {"device": 7, **tracks._parameters(*WINDOWS[1], None, 1000)})
    assert "key" not in found, "this test can fail"
