"""What sessions leave in the database, whatever a terminal put into its texts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from protocols.jt808 import terminal
from protocols.jt808.registration import registration
from storage.commit import commit
from tests.storage.rows import work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("event", ["registered", "refused"])
async def test_a_zero_in_a_registration_stops_no_partition(scene: Scene, worker: AsyncConnection, event: str) -> None:
    """PostgreSQL takes no U+0000: neither a terminal that sends one nor a log that holds one keeps the rest waiting."""
    sane = terminal.register("2013", "AB!CD", "M#", "T!", 2, "鲁A!1")
    body = sane.replace(b"!", b"\x00").replace(b"#", b"\x01")
    read = {"event": event, "identity": "139", "device": 139, **asdict(registration(body, v2019=False))}
    kept = {"event": event, "identity": "140", "device": 140, "edition": "2013", "maker": "A\x00B", "model": "\x00",
            "terminal_id": "T\x00", "plate": "鲁\x00A"}  # fmt: skip
    await commit(worker, work(sessions=[read, kept]))
    table = {"registered": "terminal", "refused": "terminal_refused"}[event]
    assert scene.query(f"SELECT phone, maker, model FROM {table} WHERE phone <> '13800000007' ORDER BY phone") == [
        ("139", "AB", "M\ufffd"), ("140", "AB", ""),
    ]  # fmt: skip
    if event == "refused":
        assert scene.query("SELECT plate FROM terminal_refused ORDER BY phone") == [("鲁A",), ("鲁A",)]
