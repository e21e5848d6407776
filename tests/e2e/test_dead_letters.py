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


def owner(gateway) -> psycopg.Connection:
    return psycopg.connect(database_url(Settings(data_dir=str(gateway.data)), "owner"), autocommit=True)


def test_a_row_that_the_database_refused(gateway, terminals):
    """Acknowledged, parked with a reason while the others are stored, and stored by a replay when the fault is mended."""
    one = terminals(gateway, "13800009004")
    one.join()
    with owner(gateway) as conn:
        conn.execute("ALTER TABLE position ADD CONSTRAINT fault CHECK (lon <> 117654321) NOT VALID")
        for lon in (117.1, 117.654321, 117.2):
            assert one.report(lon, 36.6) == 0
        (parked,) = until(lambda: letters(gateway, "--reason", "refused"))
        assert parked["phone"] == "13800009004"
        replay = ("dead-letters", "replay", "--reason", "refused")
        gateway.command(*replay)  # it goes round, and is refused again
        again = until(lambda: letters(gateway, "--reason", "refused")[1:])
        assert again
        conn.execute("ALTER TABLE position DROP CONSTRAINT fault")
    assert "1 positions" in gateway.command(*replay)
    track = "/api/v1/terminals/13800009004/track"
    rows = until(lambda: [row for row in [gateway.get(track, purpose="测试")["items"]] if len(row) == 3])
    assert rows
    assert sorted(row["longitude"] for row in rows[0]) == [117.1, 117.2, 117.654321]
    gateway.wait_ready()


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
    with owner(gateway) as conn:
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
    assert [each["replayed_by"] for each in letters(gateway, "--reason", "body")] == ["command line", None]
    assert len(gateway.get("/api/v1/audit", action="dead_letter.replay")["items"]) >= 3
    gateway.wait_ready()
