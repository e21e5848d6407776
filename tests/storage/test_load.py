"""What workers and edges read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import psycopg
import pytest

from storage import load
from storage.commit import commit
from storage.errors import OffsetMovedError
from tests.storage.rows import NOON, SECOND, STREAM, positions, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio


async def test_offset_is_made_once(worker: AsyncConnection) -> None:
    """An existing offset is shown as it is, of another stream too, and has a new owner; the older one writes nothing more."""
    assert await load.offset(worker, 5) is None
    made = await load.own_offset(worker, 5, "S1")
    assert (made.stream, made.sequence, made.boots, made.rejected, made.owner) == ("S1", 0, {}, {}, 0)
    assert await load.own_offset(worker, 5, "S2") == replace(made, owner=1)
    late = work(partition=5, stream="S1", previous=0, sequence=0)
    with pytest.raises(OffsetMovedError):
        await commit(worker, late)
    with pytest.raises(OffsetMovedError):
        await load.save_snapshot(worker, 5, "S1", 0, 1, b"", owner=0)
    await commit(worker, late, owner=1)


@pytest.mark.plain("two sessions at once")
async def test_one_session_holds_a_partition(worker: AsyncConnection, worker_database: str) -> None:
    """A second session gets it only when the first is gone; other partitions are free.

    The server frees the lock when the first session's backend has exited, which is after its
    client closed: the second asks again until then, as a worker does.
    """
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as other:
        assert await load.lock_partition(other, 3)
        assert not await load.lock_partition(worker, 3)
        assert await load.lock_partition(worker, 4)
    for _ in range(1000):
        if await load.lock_partition(worker, 3):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the first session is gone, and its lock is still held")


@pytest.mark.parametrize("partitions", [False, True])
async def test_known_reports(worker: AsyncConnection, partitions: bool) -> None:
    """Known is the whole key: another time or another fingerprint is another report."""
    if partitions:
        await worker.execute("SELECT ensure_partitions('2026-03-01', '2026-03-02')")
    seen = positions(3)
    await commit(worker, work(positions=seen))
    devices, times, prints = (np.tile(column, 2) for column in (seen.device, seen.time, seen.fingerprint))
    times[3] += 1
    prints[4] += 1
    devices[5] += 1
    assert (await load.known_reports(worker, devices, times, prints)).tolist() == [True] * 3 + [False] * 3
    none = np.empty(0, np.int64)
    assert len(await load.known_reports(worker, none, none, none)) == 0


async def test_snapshot(worker: AsyncConnection) -> None:
    """The last snapshot replaces the one before; of an owner that others have overtaken none does, nor of another stream."""
    assert await load.load_snapshot(worker, 0) is None
    for sequence in (1, 2):
        await commit(worker, work(previous=sequence - 1, sequence=sequence))
        await load.save_snapshot(worker, 0, STREAM, sequence, 1, bytes([0, 255, sequence]), owner=0)
    last = load.Snapshot(2, 1, b"\x00\xff\x02")
    assert await load.load_snapshot(worker, 0) == last
    for stream, sequence in ((STREAM, 1), (STREAM, 3), ("another", 2)):
        with pytest.raises(OffsetMovedError):
            await load.save_snapshot(worker, 0, stream, sequence, 1, b"old", owner=0)
    assert await load.load_snapshot(worker, 0) == last


@pytest.mark.plain("two sessions at once")
async def test_a_snapshot_waits_for_a_commit(scene: Scene, worker: AsyncConnection) -> None:
    """Of two owners the one whose offset another is about to move stores no snapshot behind it."""
    with psycopg.connect(scene.conninfo) as other:
        other.execute("UPDATE log_offset SET sequence = 1 WHERE partition = 0")
        saving = asyncio.create_task(load.save_snapshot(worker, 0, STREAM, 0, 1, b"old", owner=0))
        await asyncio.sleep(0.2)
        assert not saving.done()
        other.commit()
        with pytest.raises(OffsetMovedError):
            await saving
    assert await load.load_snapshot(worker, 0) is None


async def test_flush_last_shows_the_newest(scene: Scene, worker: AsyncConnection) -> None:
    """One row a terminal, by device time, whatever the order of rows and of flushes."""
    newer = positions(3).take(np.array([2, 0, 1]))
    await load.flush_last(worker, newer)
    await load.flush_last(worker, positions(1))  # older: ignored
    await load.flush_last(worker, positions(1, device=8).with_columns(status=np.array([2**31 + 3], np.uint32)))
    await load.flush_last(worker, positions(0))
    assert scene.query(
        "SELECT terminal, (extract(epoch FROM time) * 1000000)::bigint, lon, status & 4294967295::bigint"
        " FROM terminal_last ORDER BY terminal"
    ) == [(7, NOON + 2 * SECOND, 117_120_000, 0), (8, NOON, 117_120_000, 2**31 + 3)]


async def test_registry(scene: Scene, worker: AsyncConnection) -> None:
    """Version and terminals together; the version is there with no terminal at all."""
    before = await load.registry(worker)
    assert before.terminals == [("13800000007", 1, "registered", "LJ-1", "strict", None)]
    assert before.vacant == []
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("DELETE FROM binding")
        conn.execute("DELETE FROM terminal")
    after = await load.registry(worker)
    assert after.version > before.version
    assert (after.terminals, after.vacant) == ([], ["LJ-1"])
