"""Evidence in the database: what is copied, when again, what it costs to look, and what is dropped when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from gateway.explaining import explain
from storage import evidence
from storage.migrate import migrate
from tests.geofence.world import SECOND
from tests.visited import IN, ONE, OUT, START, THREE, Worker, backfilled, edit, populate, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio
VISIT = [OUT] * 5 + [IN] * 5 + [OUT] * 5
DAYS_AGO = """UPDATE visit SET exited_at = now() - n * interval '1 day', entered_at = now() - n * interval '1 day 1 s'
    FROM (SELECT %s::int) AS ago (n) WHERE id = %s"""


@pytest_asyncio.fixture
async def worker(database: str, worker_database: str) -> AsyncIterator[Worker]:
    populate(database)
    async with await psycopg.AsyncConnection.connect(
        worker_database, autocommit=True, prepare_threshold=None
    ) as connection:
        yield await Worker.of(connection)


async def copied(worker: Worker) -> list[Any]:
    rows = await worker.query("SELECT (us_of(time) - %s) / 1000000 FROM evidence_fix ORDER BY terminal, time", START)
    return [row[0] for row in rows]


async def test_what_is_copied(worker: Worker) -> None:
    """Ten minutes before and after, six good fixes beyond each; the whole row; of machines that alarm, and of no others."""
    await worker.take(
        route(ONE, [OUT] * 20, every=600), route(ONE, VISIT, start=12_000), route(ONE, [OUT] * 20, start=12_600, every=600),
        route(THREE, VISIT, start=12_000),
    )  # fmt: skip
    assert await evidence.copy_due(worker.connection) > 0
    found = await copied(worker)
    entered, left = 12_150, 12_300
    before, after = [at for at in found if at < entered - 600], [at for at in found if at > left + 600]
    assert before == [8400 + 600 * i for i in range(6)]
    assert after == [13_200 + 600 * i for i in range(6)]
    assert [at for at in found if entered <= at <= left] == [entered + 30 * i for i in range(6)]
    assert await worker.query("SELECT DISTINCT terminal FROM evidence_fix") == [(ONE,)]
    assert await worker.query(
        "SELECT count(*) FROM evidence_fix e FULL JOIN position p USING (terminal, time, fingerprint)"
        " WHERE e.* IS NOT NULL AND e::text <> p::text"
    ) == [(0,)]  # fmt: skip


async def test_it_is_done_once_and_again_when_the_visit_changes(worker: Worker, database: str) -> None:
    """Nothing due is one look at an empty index; a change of the visit makes it due, and what came late comes along."""
    await worker.take(route(ONE, VISIT))
    assert await evidence.copy_due(worker.connection) == 15
    assert await worker.query("SELECT count(*) FROM evidence WHERE due_at <= now()") == [(0,)]
    plan = edit(database, "EXPLAIN SELECT visit FROM evidence WHERE due_at <= now() ORDER BY due_at LIMIT 100")
    assert any("evidence_due" in line[0] for line in plan)
    await worker.take(backfilled(route(ONE, [IN], start=140), 900))
    assert await evidence.copy_due(worker.connection) == 1
    assert 140 in await copied(worker)
    assert await worker.query("SELECT count(*) FROM visit WHERE merged_into IS NULL") == [(1,)]


async def test_a_change_during_the_copy_is_not_lost(worker: Worker, database: str) -> None:
    """Who changes a visit while it is copied has it copied again."""
    await worker.take(route(ONE, VISIT))
    await worker.connection.execute("BEGIN")
    await evidence.copy(worker.connection, f"1-{START + 150 * SECOND}")
    await worker.connection.execute("COMMIT")
    assert await worker.query("SELECT copied_at IS NULL FROM evidence") == [(False,)]
    edit(database, "UPDATE visit SET changed_at = now()")
    assert await worker.query("SELECT copied_at IS NULL, due_at <= now() FROM evidence") == [(True, True)]
    done = evidence._DONE
    await worker.connection.execute(done, [f"1-{START + 150 * SECOND}", 0])
    assert await worker.query("SELECT copied_at IS NULL, due_at <= now() FROM evidence") == [(True, True)]


async def test_long_visits_are_copied_in_steps(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement takes a bounded number of rows; together they take all."""
    monkeypatch.setattr(evidence, "_COPY", evidence._COPY.replace(str(evidence.ROWS_AT_ONCE), "7"))
    monkeypatch.setattr(evidence, "ROWS_AT_ONCE", 7)
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 100]))
    assert await evidence.copy_due(worker.connection) == 102


@pytest.mark.plain("two sessions at once")
async def test_one_worker_at_a_time(worker: Worker, worker_database: str) -> None:
    await worker.take(route(ONE, VISIT))
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as other:
        await other.execute("SELECT pg_advisory_lock(808003)")
        assert await evidence.copy_due(worker.connection) == 0
        await other.execute("SELECT pg_advisory_unlock(808003)")
    assert await evidence.copy_due(worker.connection) == 15


async def test_evidence_is_dropped_after_its_time_and_never_of_an_open_case(worker: Worker, database: str) -> None:
    """Three years after the visit, once the case is closed; reopened it stays; a neighbour keeps the fixes they share."""
    await worker.take(route(ONE, VISIT), route(ONE, VISIT, start=1100))
    await evidence.copy_due(worker.connection)
    first, second = (row[0] for row in await worker.query("SELECT id FROM visit ORDER BY entered_at"))
    edit(database, DAYS_AGO, 1000, second)
    edit(database, DAYS_AGO, 1100, first)
    assert await evidence.drop_old(worker.connection, 1096) == 0
    for state, dropped in (("in_progress", 0), ("feedback", 0), ("closed", 1)):
        edit(database, "UPDATE alarm SET state = %s", state)
        assert await evidence.drop_old(worker.connection, 1096) == dropped, state
    assert await worker.query("SELECT visit FROM evidence") == [(second,)]
    assert await worker.query("SELECT visit FROM evidence_span") == [(second,)]
    (since,) = (await worker.query("SELECT (us_of(since) - %s) / 1000000 FROM evidence_span", START))[0]
    kept = await copied(worker)
    assert kept[0] == since
    assert kept[-1] == 1100 + 14 * 30
    edit(database, DAYS_AGO, 1300, second)
    assert await evidence.drop_old(worker.connection, 1096) == 1
    assert await copied(worker) == []


async def test_what_went_into_another_visit_goes_after_it(worker: Worker, database: str) -> None:
    """An alarm that was merged is closed; as long as its successor is open, so is the case."""
    await worker.take(route(ONE, VISIT), route(ONE, VISIT, start=1200))
    await evidence.copy_due(worker.connection)
    await worker.take(backfilled(route(ONE, [IN] * 60, start=320, every=15), 2000))
    await evidence.copy_due(worker.connection)
    assert await worker.query("SELECT count(*), count(merged_into) FROM visit") == [(2, 1)]
    edit(
        database, "UPDATE visit SET exited_at = now() - interval '1200 days', entered_at = now() - interval '1201 days'"
    )
    assert await worker.query("SELECT state FROM alarm ORDER BY id") == [("new",), ("closed",)]
    assert await evidence.drop_old(worker.connection, 1096) == 0
    edit(database, "UPDATE alarm SET state = 'closed'")
    assert await evidence.drop_old(worker.connection, 1096) == 1
    assert await evidence.drop_old(worker.connection, 1096) == 1
    assert await copied(worker) == []


async def test_what_was_known_before_an_edit_is_kept(worker: Worker, database: str) -> None:
    """Every content of a row that some epoch was judged with, and none that nobody can have read."""
    before = (await worker.query("SELECT epoch FROM ruleset"))[0][0]
    with psycopg.connect(database) as conn:
        for stage in ("3", "4"):
            conn.execute("UPDATE machine_version SET emission_stage = %s WHERE machine = 1", [stage])
    edit(database, "DELETE FROM binding WHERE device = %s", ONE)
    edit(database, "UPDATE zone_version SET state = 'retired', valid_to = now() + interval '1 h' WHERE zone = 1")
    found = await worker.query(
        "SELECT relation, subject, ended - %s, content ->> 'emission_stage', content ? 'geometry' FROM superseded"
        " ORDER BY ended", before,
    )  # fmt: skip
    assert found == [
        ("machine_version", 1, 1, "2", False), ("binding", ONE, 2, None, False), ("zone_version", 1, 3, None, False),
    ]  # fmt: skip


async def test_timescaledb(timescaledb: str) -> None:
    """A hypertable's chunks, compressed, copied from and dropped: the alarm is explained all the same."""
    migrate(timescaledb)
    populate(timescaledb)
    async with await psycopg.AsyncConnection.connect(
        timescaledb, autocommit=True, prepare_threshold=None
    ) as connection:
        worker = await Worker.of(connection)
        await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
        await connection.execute("SELECT compress_chunk(c) FROM show_chunks('position') AS c")
        assert await evidence.copy_due(connection) == 9
        await connection.execute("SELECT drop_chunks('position', older_than => now() + interval '1 day')")
        assert await worker.query("SELECT count(*) FROM position") == [(0,)]
        found = await explain(connection, 1)
    assert found is not None
    assert found.differs == []
    assert len(found.fixes) == 9
