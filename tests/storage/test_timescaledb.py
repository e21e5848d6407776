"""The same migrations, commit and readers on a real TimescaleDB."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from storage import load, retention
from storage.commit import commit
from storage.errors import OffsetMovedError
from storage.migrate import migrate
from storage.partitions import ensure_partitions, window
from storage.ruleset import ruleset
from tests.storage.conftest import Scene, populate
from tests.storage.rows import NOON, STREAM, page, positions, presence, visits, work

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        await load.own_offset(worker, 0, STREAM)
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


@pytest.fixture
def roles(timescaledb: str) -> Iterator[str]:
    """The roles of a server of one's own, none of them a superuser. The one session there is changes who it is."""
    names = ("lezgate_owner", "lezgate_worker", "lezgate_api")
    with psycopg.connect(timescaledb, autocommit=True) as conn:
        for name in names:
            conn.execute(f"CREATE ROLE {name} LOGIN")
        conn.execute("GRANT CREATE ON SCHEMA public TO lezgate_owner")
        yield timescaledb
        conn.execute("RESET ROLE")
        for name in names:
            conn.execute(f"DROP OWNED BY {name} CASCADE")
            conn.execute(f"DROP ROLE {name}")


async def test_roles(roles: str) -> None:
    """The owner need be no superuser; the worker's role drops nothing but what is old, in the way there is; the api's nothing."""
    become = "SET ROLE lezgate_{}"
    connection = await psycopg.AsyncConnection.connect(roles, autocommit=True, prepare_threshold=None)
    async with connection as worker:
        await worker.execute(become.format("owner"))
        migrate(roles)
        with psycopg.connect(roles, prepare_threshold=None) as conn:
            populate(conn)
        await worker.execute("RESET ROLE")  # the server in WebAssembly copies from a device, which only a superuser may
        await load.own_offset(worker, 0, STREAM)
        old = time.time_ns() // 1000 - 200 * DAY
        for step, at in enumerate((old, old + 100 * DAY)):
            await commit(worker, work(previous=step, sequence=step + 1, positions=positions(3, time=at)))
        await worker.execute(become.format("worker"))
        with pytest.raises(errors.InsufficientPrivilege):
            await worker.execute("DELETE FROM position")
        with pytest.raises((errors.InsufficientPrivilege, errors.RaiseException)):
            await worker.execute("SELECT drop_chunks('position', older_than => now())")
        dropped = await retention.keep(worker, {"position": 180, "event": 30, "dead_letter": 180, "audit": 1096})
        assert dropped == {"position": 3, "event": 0, "dead_letter": 0, "audit": 0}
        await worker.execute(become.format("api"))
        with pytest.raises(errors.InsufficientPrivilege):
            await worker.execute("SELECT drop_tracks(now())")
        cursor = await worker.execute("SELECT sum(reports) FROM terminal_day")
        assert await cursor.fetchone() == (6,)
