"""What holds the log's trimming: a running backup, and, where so set, the newest verified one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from storage import backups

STREAM = "POS@2026-03-01T00:00:00Z"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def worker(worker_database):
    async with await psycopg.AsyncConnection.connect(
        worker_database, autocommit=True, prepare_threshold=None
    ) as connection:
        yield connection


def record(conn: psycopg.Connection, id_: str, stream: str, needs: dict[int, int], taken_at: datetime) -> None:
    backups.record(conn, id_=id_, stream=stream, needs=needs, taken_at=taken_at, size=1, place="here:/b", actor="me")


@pytest.mark.plain("two sessions at once")
async def test_a_running_backup_holds_everything(database, worker, monkeypatch):
    """Nothing may be trimmed while a backup runs; when its session ends, however it ends, everything may again."""
    assert await backups.trimmable(worker, 0, STREAM, 70, after_backup=False) == 69
    with psycopg.connect(database, autocommit=True, prepare_threshold=None) as conn:
        assert backups.hold_trimming(conn)
        assert await backups.trimmable(worker, 0, STREAM, 70, after_backup=False) == 0
        with psycopg.connect(database, autocommit=True, prepare_threshold=None) as other:
            monkeypatch.setattr(backups, "HOLD_WAIT_S", 1)
            assert not backups.hold_trimming(other), "two backups at a time"
    async with asyncio.timeout(10):  # the server notices a moment later that a session has ended
        while await backups.trimmable(worker, 0, STREAM, 70, after_backup=False) != 69:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_trimming_waits_for_a_backup_of_this_log(database, worker):
    """Set so, a partition loses nothing that the newest verified backup of the same log needs, and nothing before one."""
    with psycopg.connect(database, autocommit=True, prepare_threshold=None) as conn:
        assert await backups.trimmable(worker, 1, STREAM, 70, after_backup=True) == 0
        record(conn, "other", "POS@another", {1: 60}, NOW)
        assert await backups.trimmable(worker, 1, STREAM, 70, after_backup=True) == 0
        record(conn, "new", STREAM, {0: 0, 1: 50}, NOW + timedelta(hours=1))
        record(conn, "old", STREAM, {0: 2, 1: 40}, NOW)
        assert await backups.trimmable(worker, 1, STREAM, 70, after_backup=True) == 49
        assert await backups.trimmable(worker, 1, STREAM, 30, after_backup=True) == 29, "never above the snapshot"
        assert await backups.trimmable(worker, 0, STREAM, 70, after_backup=True) == 0, "nothing of it was stored yet"
        assert await backups.trimmable(worker, 2, STREAM, 70, after_backup=True) == 0, "a partition it does not know"
        assert await backups.trimmable(worker, 1, STREAM, 70, after_backup=False) == 69
        assert [one.id for one in backups.recorded(conn)][:1] == ["new"]


async def test_a_repointed_offset_keeps_the_boots(database, worker):
    """Another log, the same batches: sequences change, the numbers seen of each edge boot and the counters do not."""
    with psycopg.connect(database, autocommit=True, prepare_threshold=None) as conn:
        conn.execute(
            "INSERT INTO log_offset (partition, stream, sequence, boots, stored) VALUES (0, %s, 9, '{\"a\": 5}', 7)",
            [STREAM],
        )
        conn.execute("INSERT INTO worker_snapshot (partition, sequence, version, state) VALUES (0, 8, 2, '')")
        assert backups.places(conn) == {0: backups.Place(STREAM, 9, 8)}
        backups.repoint(conn, "POS@new", {0: (21, 20)})
        assert backups.places(conn) == {0: backups.Place("POS@new", 21, 20)}
        assert conn.execute("SELECT boots, stored FROM log_offset").fetchall() == [({"a": 5}, 7)]
