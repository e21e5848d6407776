"""The same migrations, commit and readers on a real TimescaleDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from storage import load
from storage.commit import commit
from storage.errors import OffsetMovedError
from storage.migrate import migrate
from storage.partitions import ensure_partitions, window
from storage.ruleset import ruleset
from tests.storage.conftest import Scene, populate
from tests.storage.rows import NOON, STREAM, page, positions, presence, visits, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

DAY = 86_400_000_000


@pytest.mark.asyncio
async def test_timescaledb(timescaledb: str) -> None:
    """One life of a database: a hypertable of daily chunks, rows by COPY, duplicates, alarms, compression."""
    report = migrate(timescaledb)
    assert report.timescaledb is not None
    assert report.applied[1] == "0002_position.timescaledb.sql"
    assert migrate(timescaledb).applied == []

    with psycopg.connect(timescaledb, prepare_threshold=None) as conn:
        zone, machine = populate(conn)
    scene = Scene(timescaledb, zone, machine)
    assert scene.query("SELECT hypertable_name, compression_enabled FROM timescaledb_information.hypertables") == [
        ("position", True)
    ]

    connection = await psycopg.AsyncConnection.connect(timescaledb, autocommit=True, prepare_threshold=None)
    async with connection as worker:
        await load.create_offset(worker, 0, STREAM)
        await _rows_and_duplicates(worker, scene)
        await _refusals(worker, scene)
        assert (await ruleset(worker)).machines[0]["id"] == machine
        await load.flush_last(worker, positions(3))
    await _compressed(timescaledb, scene)


async def _rows_and_duplicates(worker: AsyncConnection, scene: Scene) -> None:
    days = [positions(3, extras=[b"", b"\x01", b"\x02"]), positions(3, time=NOON + DAY)]
    for i, rows in enumerate(days):
        done = await commit(worker, work(previous=i, sequence=i + 1, positions=rows))
        assert (done.stored, done.duplicate) == (3, 0)
    assert scene.value("SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'position'") == 2
    assert await ensure_partitions(worker, *window(NOON)) == []

    found = presence(scene.zone, scene.machine)
    entered = visits(found, pages=(page(found),))
    done = await commit(worker, work(previous=2, sequence=3, positions=positions(5), visits=entered))
    assert (done.stored, done.duplicate, len(done.alarms)) == (2, 3, 1)
    assert scene.value("SELECT count(*) FROM position") == 8
    assert scene.value("SELECT data = document FROM event, alarm_view") is True
    offset = await load.offset(worker, 0)
    assert (offset.sequence, offset.stored, offset.duplicate) == (3, 8, 3)


async def _refusals(worker: AsyncConnection, scene: Scene) -> None:
    with pytest.raises(OffsetMovedError):
        await commit(worker, work(positions=positions(9)))
    assert scene.value("SELECT count(*) FROM position") == 8
    asked = positions(6)
    known = await load.known_reports(worker, asked.device, asked.time, asked.fingerprint)
    assert known.tolist() == [True] * 5 + [False]


async def _compressed(conninfo: str, scene: Scene) -> None:
    """A resend of a report whose chunk is compressed by now is still a duplicate."""
    scene.query("SELECT compress_chunk(c) FROM show_chunks('position') AS c")
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    async with connection as worker:
        done = await commit(worker, work(previous=3, sequence=4, positions=positions(6)))
        assert (done.stored, done.duplicate) == (1, 5)
    assert scene.value("SELECT count(*) FROM position") == 9
