"""lezgate explain: the verdict comes out again of the copied inputs, when the tracks are gone, and not of altered ones."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio
from click.testing import CliRunner

from columns.positions import Positions, concatenate
from gateway.cli import main
from gateway.commands import _explain_lines as lines
from gateway.explaining import Explanation, NoEvidenceError, explain
from storage import evidence
from tests.geofence.world import SECOND
from tests.visited import CORE, IN, ONE, OUT, START, TWO, Worker, backfilled, drop_tracks, edit, populate, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio
HOUR = 3600
SEEDS = (2, 5, 8, 11)


@pytest_asyncio.fixture
async def worker(database: str, worker_database: str) -> AsyncIterator[Worker]:
    populate(database)
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        yield await Worker.of(connection)


async def made_again(worker: Worker, conninfo: str, alarm: int | None = None) -> Explanation:
    """Copies what is due as the worker, drops all tracks, and explains as the owner."""
    await evidence.copy_due(worker.connection)
    drop_tracks(conninfo)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as owner:
        alarms = [row[0] for row in await (await owner.execute("SELECT id FROM alarm ORDER BY id")).fetchall()]
        found = await explain(owner, alarms[-1] if alarm is None else alarm)
    assert found is not None
    return found


def visit_of(found: Explanation) -> tuple[Any, ...]:
    visit = found.found
    assert visit is not None
    left = None if visit.exited_at is None else (visit.exited_at - START) // SECOND
    return visit.zone, str(visit.cause), (visit.entered_at - START) // SECOND, left


async def test_a_visit_is_made_again_without_its_tracks(worker: Worker, database: str) -> None:
    """All that was recorded, to the field; and the two fixes that made it certain, with their distance from the line."""
    await worker.take(route(ONE, [OUT] * 3 + [IN] * 5 + [OUT] * 3))
    found = await made_again(worker, database)
    assert found.differs == found.differs_today == []
    assert visit_of(found) == (1, "crossing", 90, 240)
    assert [((fix.time - START) // SECOND, round(fix.inside_m)) for fix in found.confirmed_by] == [
        (90, 100),
        (120, 100),
    ]
    assert found.machine_version is not None
    assert found.machine_version["source"] == "declared"


async def test_an_open_visit_is_copied_on(worker: Worker, database: str) -> None:
    """Dropping chunks never loses what an open case needs: it agrees while it goes on, and when it has ended."""
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5]))
    await evidence.copy_due(worker.connection)
    edit(database, "DELETE FROM position")
    await worker.take(route(ONE, [IN] * 30, start=210))
    assert await evidence.copy_due(worker.connection) == 0
    edit(database, "UPDATE evidence SET due_at = now()")
    assert await evidence.copy_due(worker.connection) == 30
    edit(database, "DELETE FROM position")
    await worker.take(route(ONE, [OUT] * 3, start=1110))
    found = await made_again(worker, database)
    assert found.differs == []
    assert visit_of(found) == (1, "crossing", 60, 1110)


async def test_a_visit_that_late_data_found(worker: Worker, database: str) -> None:
    """Late, told by nobody, and the same when it is made again: its fixes were received as they were."""
    await worker.take(route(ONE, [OUT] * 4), route(ONE, [OUT] * 4, start=HOUR))
    await worker.take(backfilled(route(ONE, [OUT, IN, IN, IN, OUT, OUT], start=1200), 3720))
    found = await made_again(worker, database)
    assert found.differs == []
    assert visit_of(found) == (1, "crossing", 1230, 1320)
    assert found.found is not None
    assert found.found.late
    assert found.alarm["paged_at"] is None


async def test_late_data_after_the_copy_comes_along(worker: Worker, database: str) -> None:
    """A visit that moved, and one that went into another: both alarms are explained, by the visit that has their time."""
    await worker.take(route(ONE, [OUT, OUT, IN, IN, IN, OUT, OUT]), route(ONE, [OUT, IN, IN, OUT, OUT], start=1200))
    await evidence.copy_due(worker.connection)
    assert await worker.query("SELECT count(*) FROM alarm") == [(2,)]
    await worker.take(backfilled(route(ONE, [IN] * 2, start=40, every=5), 2000))  # before the first was certain
    await worker.take(backfilled(route(ONE, [IN] * 30, start=700, every=3), 2010))
    first, second = (row[0] for row in await worker.query("SELECT id FROM alarm ORDER BY id"))
    found = await made_again(worker, database, second)
    assert found.differs == []
    assert (found.alarm["merged_into"], found.visit["id"]) == (first, f"1-{START + 40 * SECOND}")
    assert visit_of(found) == (1, "crossing", 40, 1290)


async def test_a_withdrawn_alarm_stays_withdrawn(worker: Worker, database: str) -> None:
    """Late fixes showed that it was none; made again, it is none."""
    await worker.take(route(ONE, [OUT, OUT, IN]), route(ONE, [IN, OUT, OUT], start=150))
    assert await worker.query("SELECT count(*) FROM alarm WHERE withdrawn_at IS NULL") == [(1,)]
    await worker.take(backfilled(route(ONE, [OUT] * 2, start=90), 600))
    found = await made_again(worker, database)
    assert found.visit["withdrawn"]
    assert found.found is None
    assert found.differs == []


async def test_two_terminals_are_one_visit(worker: Worker, database: str) -> None:
    """The evidence is of both; the visit ends with the later one."""
    await worker.take(
        route(ONE, [OUT, OUT, *[IN] * 4, OUT, OUT]), route(TWO, [OUT, OUT, OUT, *[IN] * 20, OUT, OUT, OUT])
    )
    found = await made_again(worker, database)
    assert found.differs == []
    assert visit_of(found) == (1, "crossing", 60, 690)
    assert set(found.fixes.device.tolist()) == {ONE, TWO}


async def test_a_core_zone_inside_leads(worker: Worker, database: str) -> None:
    await worker.take(route(ONE, [OUT, OUT, IN, IN, CORE, CORE, CORE, IN, OUT, OUT]))
    found = await made_again(worker, database)
    assert found.differs == []
    assert visit_of(found) == (2, "crossing", 60, 240)
    assert [(fix.time - START) // SECOND for fix in found.confirmed_by] == [120, 150]


EXEMPT = """INSERT INTO exemption (kind, machine, during, approver, reason, created_by)
    VALUES ('machine', 1, tstzrange('2026-01-01Z', at_us(%s)), 'b', 'works', 'a')"""


async def test_a_visit_that_an_exemption_left_behind(worker: Worker, database: str) -> None:
    """It came in exempt, hours before: the stay's own beginning is copied too, so the cause comes out again."""
    edit(database, EXEMPT, START + 5 * HOUR * SECOND)
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 700]))
    found = await made_again(worker, database)
    assert found.differs == []
    assert visit_of(found) == (1, "exemption_ended", 5 * HOUR, None)
    assert len(found.fixes) == 702


RECORD = "SELECT record_machine(1, %s::jsonb, at_us(%s))"


async def test_a_correction_after_the_visit_is_told_apart(worker: Worker, database: str) -> None:
    """By what was known it was a violation, and that agrees; by what is known today it was none, and who says so is said."""
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
    edit(database, RECORD, '{"emission_stage": "3"}', START - HOUR * SECOND)
    found = await made_again(worker, database)
    assert found.differs == []
    assert found.today is None
    assert [(relation, row["sets"], row["emission_stage"]) for relation, row in found.learnt_since] == [
        ("machine", ["emission_stage"], "3")
    ]


@pytest.mark.parametrize(("fields", "left"), [('{"emission_stage": "3"}', 180), ('{"owner_name": "x"}', None)])
async def test_a_correction_during_the_visit_counts_from_the_next_fix(
    worker: Worker, database: str, fields: str, left: int | None
) -> None:
    """What is learnt of the past counts for what comes after, as it did when it was decided."""
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5]))
    edit(database, RECORD, fields, START - HOUR * SECOND)
    await worker.take(route(ONE, [IN] * 5, start=210))
    found = await made_again(worker, database)
    assert found.differs == []
    assert visit_of(found) == (1, "crossing", 60, left)
    if left is not None:
        assert len(found.phases) == 2


async def test_a_version_that_was_overwritten_is_still_known(worker: Worker, database: str) -> None:
    """A later word for the same day replaces the earlier one in the registry, and not in what verdicts were made from."""
    edit(database, RECORD, '{"emission_stage": "1"}', START - HOUR * SECOND)
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
    edit(database, RECORD, '{"emission_stage": "4"}', START - HOUR * SECOND)
    assert await worker.query("SELECT count(*) FROM machine_version WHERE machine = 1") == [(2,)]
    found = await made_again(worker, database)
    assert found.differs == []
    assert found.found is not None
    assert found.found.snapshot["emission_stage"] == "1"


async def test_a_binding_and_an_exemption_that_came_later(worker: Worker, database: str) -> None:
    """The terminal sat elsewhere, says today's registry; the verdict was made before that."""
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
    edit(
        database, "UPDATE binding SET during = tstzrange(at_us(%s), NULL) WHERE device = %s", START + HOUR * SECOND, ONE
    )
    edit(database, EXEMPT, START + HOUR * SECOND)
    found = await made_again(worker, database)
    assert found.differs == []
    assert found.today is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("UPDATE evidence_fix SET lon = lon - 20000 WHERE time = at_us(%s)", "entered_at"),
        ("UPDATE evidence_fix SET time = time + interval '3 s' WHERE time = at_us(%s)", "entered_at"),
        ("UPDATE evidence_fix SET received = received + interval '1 h' WHERE time = at_us(%s + 30000000)", "late"),
        ("UPDATE evidence_fix SET status = 0, speed = 300 WHERE time >= at_us(%s)", "grade"),
        ("UPDATE visit SET exited_at = exited_at + interval '1 min' WHERE us_of(entered_at) = %s", "exited_at"),
        ("UPDATE visit SET rule = jsonb_set(rule, '{index}', '7') WHERE us_of(entered_at) = %s", "rule"),
        ("DELETE FROM evidence_fix WHERE time >= at_us(%s)", "visit"),
    ],
)
async def test_what_was_altered_differs(worker: Worker, database: str, change: str, field: str) -> None:
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
    await evidence.copy_due(worker.connection)
    drop_tracks(database)
    edit(database, change, START + 60 * SECOND)
    found = await made_again(worker, database)
    assert field in {difference.field for difference in found.differs}


async def test_without_evidence_it_cannot_be_told(worker: Worker, database: str) -> None:
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5]))
    drop_tracks(database)
    with pytest.raises(NoEvidenceError, match="no fixes are kept"):
        await made_again(worker, database)


async def test_the_command(worker: Worker, database: str) -> None:
    """Says what, where, when, by which rule, on whose word, in two languages; exits 0, 1, 2; and is in the audit."""
    await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
    await evidence.copy_due(worker.connection)
    drop_tracks(database)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, ["explain", *arguments], env={"LEZGATE_DATABASE_URL": database})

    said = await asyncio.to_thread(run, "1", "--purpose", "复核")
    assert said.exit_code == 0, said.output
    for words in (
        "excavator A (stage 2)", "挖掘机 A（国二）", "zone 1 version 1 z1 (general, 1号)", lines.when(START + 60 * SECOND),
        "100.0 m inside the line", "界内 100.0 米", "registry: stage 2, machinery; declared", "国二及以前", "agrees | 一致", "paged by the fix received",
    ):  # fmt: skip
        assert words in said.output, said.output
    shown = json.loads((await asyncio.to_thread(run, "1", "--json")).output)
    assert (shown["agrees"], shown["found"]["entered_at"]) == (
        True,
        datetime.fromtimestamp(START / 1e6 + 60, UTC).isoformat(),
    )
    assert edit(database, "SELECT action, object, purpose FROM audit ORDER BY id") == [
        ("alarm.explain", "alarm/1", "复核"), ("alarm.explain", "alarm/1", "command line"),
    ]  # fmt: skip
    edit(database, "UPDATE evidence_fix SET lon = 0 WHERE time >= at_us(%s)", START + 90 * SECOND)
    altered = await asyncio.to_thread(run, "1")
    assert altered.exit_code == 1
    assert "differs | 不一致" in altered.output
    edit(database, "DELETE FROM evidence_fix")
    assert (await asyncio.to_thread(run, "1")).exit_code == 2
    assert (await asyncio.to_thread(run, "99")).exit_code == 2


PLACES = [OUT, OUT, IN, IN, CORE, (20.0, 500.0), (-20.0, 500.0), (310.0, 500.0), (990.0, 990.0)]
EDITS = (
    ("SELECT record_machine(1, '{\"emission_stage\": \"1\"}', at_us(%s))", True),
    ("SELECT record_machine(1, '{\"owner_name\": \"y\"}', at_us(%s))", True),
    ("SELECT record_machine(1, '{\"emission_stage\": \"unknown\"}', at_us(%s))", True),
    ("UPDATE zone_version SET valid_to = now() + interval '1 h' WHERE zone = 2 AND valid_to IS NULL", False),
    (EXEMPT, True),
)  # fmt: skip


def walk(rng: random.Random, device: int, start: int) -> Positions:
    """A few places, each for a while; now and then a silence that ends a presence."""
    places: list[tuple[float, float]] = []
    while len(places) < 60:
        places += [rng.choice(PLACES)] * rng.choice([1, 1, 2, 3, 8])
    rows = route(device, places, start=start)
    gaps = np.cumsum([rng.choice([0] * 30 + [60, 300, 2000, 50_000]) for _ in places]) * SECOND
    return rows.with_columns(time=rows.time + gaps, received=rows.received + gaps)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happened_is_made_again(worker: Worker, database: str, seed: int) -> None:
    """Two terminals on a machine, batches in any order, backfill, silences, an edit at some moment: every alarm agrees."""
    rng = random.Random(seed)  # noqa: S311
    rows = concatenate([walk(rng, ONE, 0), walk(rng, TWO, rng.randrange(3000))])
    rows = rows.with_columns(fingerprint=np.arange(len(rows)))
    batches = np.array_split(np.argsort(rows.time, kind="stable"), 12)
    if seed % 2:
        late = batches.pop(rng.randrange(8))
        batches.insert(rng.randrange(8, 11), late)
    edit_at = rng.randrange(14)
    clock = 0
    for number, batch in enumerate(batches):
        part = rows.take(batch)
        clock = max(clock + SECOND, int(part.time.max()) + SECOND)
        if number == edit_at:
            statement, dated = rng.choice(EDITS)
            edit(database, statement, *([clock + rng.randrange(-20_000, 20_000) * SECOND] if dated else []))
        await worker.take(part.with_columns(received=np.full(len(part), clock)))
        if rng.random() < 0.5:
            await evidence.copy_due(worker.connection)
    alarms = [row[0] for row in await worker.query("SELECT id FROM alarm ORDER BY id")]
    assert alarms
    await evidence.copy_due(worker.connection)
    drop_tracks(database)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as owner:
        for alarm in alarms:
            found = await explain(owner, alarm)
            assert found is not None
            assert found.differs == [], (alarm, found.visit, found.phases)
