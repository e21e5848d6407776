"""What a terminal sends in vain is kept, listed, and replayed through the running gateway."""

from __future__ import annotations

import json
import time

import psycopg
import pytest

from columns.identity import device_of
from gateway.config import Settings
from gateway.nodes import database_url
from protocols.jt808 import framing, terminal

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("gateway", [{"enrolment": "open"}], indirect=True, scope="module"),
]

PHONE = "13800009002"


def until(wanted, seconds: float = 30):
    end = time.monotonic() + seconds
    while not (found := wanted()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def letters(gateway, *words: str) -> list[dict]:
    lines = gateway.command("dead-letters", "list", "--json", *words).splitlines()
    return [json.loads(line) for line in lines]


def test_replay(gateway, terminals):
    """A broken report is listed and stays; one that a mended release reads reaches the track, once, however often it is replayed."""
    one = terminals(gateway, PHONE)
    one.join()
    assert one.ask(0x0200, b"\x00" * 5).result == 2
    (broken,) = until(lambda: letters(gateway, "--reason", "body"))
    assert (broken["phone"], broken["replayed_at"]) == (PHONE, None)
    assert "still body" in gateway.command("dead-letters", "replay", "--all")

    now = time.time_ns() // 1000 // 1_000_000 * 1_000_000
    wire = framing.encode(0x0200, terminal.location(now, 117.1, 36.6), bytes.fromhex(PHONE.zfill(12)), "2013", 5)
    with psycopg.connect(database_url(Settings(data_dir=str(gateway.data)), "owner"), autocommit=True) as conn:
        conn.execute(
            "INSERT INTO dead_letter (partition, sequence, device, received, reason, data) VALUES (0, 1, %s, at_us(%s), 'body', %s)",
            [device_of(PHONE), now, framing.unescape(wire[1:-1])],
        )  # fmt: skip
    assert "would be replayed" in gateway.command("dead-letters", "replay", "--reason", "body", "--dry-run")
    assert "1 positions" in gateway.command("dead-letters", "replay", "--reason", "body")
    gateway.command("dead-letters", "replay", "--all")
    track = f"/api/v1/terminals/{PHONE}/track"
    (row,) = until(lambda: gateway.get(track, purpose="测试")["items"])
    assert (row["longitude"], row["latitude"], row["serial"]) == (117.1, 36.6, 5)
    assert [each["replayed_by"] for each in letters(gateway)] == ["command line", None]
    actions = [each["action"] for each in gateway.get("/api/v1/audit", action="dead_letter.replay")["items"]]
    assert len(actions) == 3
    gateway.wait_ready()
