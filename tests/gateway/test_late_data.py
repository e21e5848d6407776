"""Late data through a worker's own steps and a real database: whatever arrives when, the visits are the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio
from psycopg.types.json import Jsonb

from columns.positions import Positions, Source, concatenate
from gateway.worker import decision as deciding
from gateway.worker.memory import Memory
from gateway.worker.rejudging import rejudge_late
from gateway.worker.rules import RulesCache
from gateway.worker.store import PostgresSession
from storage.load import tracks
from tests.geofence.world import SECOND, at, box, positions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

pytestmark = pytest.mark.asyncio

START = 1_772_366_400 * SECOND
STREAM = "POS@2026-03-01T00:00:00Z"
ONE, TWO, THREE = 0x1001, 0x1002, 0x1003
"""Two terminals on one machine, one on another that is allowed everywhere."""


def populate(conninfo: str) -> None:
    with psycopg.connect(conninfo) as conn:
        for number, (shape, tier) in enumerate(
            [(box(0, 0, 1000, 1000), "general"), (box(300, 300, 700, 1200), "core"), (box(1400, 0, 1700, 300), "general")], 1
        ):  # fmt: skip
            conn.execute("INSERT INTO zone DEFAULT VALUES")
            geometry = {"type": "Polygon", "coordinates": [[list(point) for point in shape.exterior.coords]]}
            conn.execute(
                "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry,"
                " rules, valid_from, author, published_at)"
                " VALUES (%s, 1, %s, '371502', %s, 'active', '1号', 'wgs84', %s, %s, %s, '2026-01-01', 'a', now())",
                [number, f"z{number}", tier, Jsonb(geometry), Jsonb(geometry), Jsonb([{"any_of": [{"stage_below": "3"}]}])],
            )  # fmt: skip
        for device, machine, stage in ((ONE, "A", "2"), (THREE, "B", "4")):
            conn.execute(
                "INSERT INTO machine (registration_number, machine_type, emission_stage, district)"
                " VALUES (%s, 'excavator', %s, '371502')", [machine, stage],
            )  # fmt: skip
            conn.execute("INSERT INTO terminal (device, phone) VALUES (%s, %s)", [device, str(device)])
        conn.execute("INSERT INTO terminal (device, phone) VALUES (%s, %s)", [TWO, str(TWO)])
        conn.execute(
            "INSERT INTO binding (device, machine, during) SELECT d, m, '[2026-01-01,)'"
            " FROM (VALUES (%s::bigint, 1), (%s, 1), (%s, 2)) AS b (d, m)",
            [ONE, TWO, THREE],
        )


class Worker:
    """A partition's owner without a log: takes batches, one commit each."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection, self.store = connection, PostgresSession(connection, 0)
        self.rules, self.memory, self.sequence = RulesCache(), Memory(), 0

    async def take(self, rows: Positions, now: int | None = None) -> None:
        rules = await self.rules.get(self.store, 0)
        judged = deciding.judge(self.memory, rules, rows)
        for device in judged.late:
            own = rows.take(np.flatnonzero(rows.device == device))
            judged.rejudged[device] = await rejudge_late(self.store, rules.ruleset, device, own)
        gathered = deciding.Gathered(
            self.sequence + 1, {}, rows, deciding.gather([(1, b"")], {}).dead_letters, [], {}
        )  # fmt: skip
        work = deciding.work(
            gathered, rows, judged, rules, memory=self.memory, partition=0, stream=STREAM, previous=self.sequence,
            now=now or int(rows.received.max()),
        )  # fmt: skip
        await self.store.commit(work)
        deciding.remember(self.memory, judged)
        self.sequence += 1

    async def look_for_silence(self, now: int) -> None:
        rules = await self.rules.get(self.store, 0)
        silent = deciding.silence(self.memory, rules, now)
        work = deciding.work_of_silence(silent, rules, memory=self.memory, partition=0, stream=STREAM, at=self.sequence)
        await self.store.commit(work)
        self.memory.state.silence(silent.tracks)


@pytest_asyncio.fixture
async def worker(database: str, worker_database: str) -> AsyncIterator[Worker]:
    populate(database)
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        one = Worker(connection)
        await one.store.offset(STREAM)
        yield one


def route(device: int, points: Sequence[tuple[float, float]], *, start: int = 0, every: int = 30) -> Positions:
    """Fixes at these places (metres), ``every`` seconds apart from ``start`` seconds on."""
    place = np.array(points, float)
    lon, lat = at(place[:, 0], place[:, 1])
    n = len(points)
    rows = positions(device, START + (start + np.arange(n) * every) * SECOND, np.round(lon, 6), np.round(lat, 6))
    return rows.with_columns(fingerprint=np.arange(start * 1000, start * 1000 + n), status=np.full(n, 3, "<u4"))


async def query(worker: Worker, statement: str) -> list[tuple[Any, ...]]:
    return await (await worker.connection.execute(statement)).fetchall()


VISITS = """SELECT id, zone, us_of(entered_at), us_of(confirmed_at), us_of(exited_at), exit_reason, grade, late, district
    FROM visit WHERE merged_into IS NULL AND withdrawn_at IS NULL ORDER BY entered_at"""
OPEN_ALARMS = "SELECT visit, paged_at IS NOT NULL, page_reason FROM alarm WHERE merged_into IS NULL AND withdrawn_at IS NULL ORDER BY 1"


def received_late(rows: Positions, at_: int) -> Positions:
    return rows.with_columns(
        received=np.full(len(rows), START + at_ * SECOND), source=np.full(len(rows), Source.BACKFILL, "<u1")
    )


async def test_backfill_opens_a_visit_of_the_past_and_pages_nobody(worker: Worker) -> None:
    """A visit that began and ended while the terminal was offline is an alarm in the list, and no page."""
    out = [(-500, 500)] * 4
    await worker.take(route(ONE, out))
    await worker.take(route(ONE, out, start=3600))
    inside = route(ONE, [(-100, 500), (100, 500), (200, 500), (250, 500), (-100, 500), (-300, 500)], start=1200)
    await worker.take(received_late(inside, 3720))
    found = await query(worker, VISITS)
    assert [(row[2] - START, row[4] - START, row[7]) for row in found] == [(1230 * SECOND, 1320 * SECOND, True)]
    assert await query(worker, OPEN_ALARMS) == [(found[0][0], False, None)]


async def test_still_inside_after_backfill_is_paged_by_the_next_fresh_fix(worker: Worker) -> None:
    """At once, once, with the true entry time, and it says why it comes so late."""
    await worker.take(route(ONE, [(-500, 500)] * 2))
    await worker.take(received_late(route(ONE, [(100, 500)] * 20, start=600), 1190))
    assert await query(worker, OPEN_ALARMS) == [(f"1-{START + 600 * SECOND}", False, None)]
    await worker.take(route(ONE, [(120, 500)], start=1200))
    assert await query(worker, OPEN_ALARMS) == [(f"1-{START + 600 * SECOND}", True, "after_late_data")]
    before = await query(worker, "SELECT count(*) FROM event")
    await worker.take(route(ONE, [(130, 500)], start=1230))
    assert await query(worker, "SELECT count(*) FROM event") == before


async def test_our_own_outage_pages_once_and_says_so(worker: Worker) -> None:
    """Reports that were acknowledged in time and decided later."""
    rows = route(ONE, [(-100, 500), (100, 500), (200, 500), (300, 290)])
    await worker.take(rows, now=START + 7200 * SECOND)
    assert await query(worker, OPEN_ALARMS) == [(f"1-{START + 30 * SECOND}", True, "delayed")]


async def test_a_late_fix_moves_the_entry(worker: Worker) -> None:
    """The same alarm, with an earlier beginning; the old visit names the new one."""
    fixes = route(ONE, [(-100, 500), (100, 500), (150, 500), (200, 500)])
    await worker.take(fixes.take(np.array([0, 2, 3])))
    (alarm,) = await query(worker, "SELECT id, visit FROM alarm")
    await worker.take(fixes.take(np.array([1])).with_columns(received=np.array([START + 100 * SECOND])))
    assert await query(worker, "SELECT id, visit FROM alarm") == [(alarm[0], f"1-{START + 30 * SECOND}")]
    assert await query(worker, f"SELECT merged_into FROM visit WHERE id = '{alarm[1]}'") == [
        (f"1-{START + 30 * SECOND}",)
    ]


async def test_harmless_late_rows_read_nothing(worker: Worker) -> None:
    """A terminal that is outside everything, or stays in one place of a zone, costs no look at its history."""
    await worker.take(route(THREE, [(100, 500)] * 10))
    await worker.take(
        route(THREE, [(100, 500)] * 20, start=300)
    )  # a place is known to be kept after the batch that found it
    late = route(THREE, [(100, 500)] * 5, start=317)
    late = late.with_columns(received=np.full(5, START + 900 * SECOND))
    rules = await worker.rules.get(worker.store, 0)
    assert not len(deciding.judge(worker.memory, rules, late).late)
    await worker.take(late)
    assert await query(worker, "SELECT count(*), count(ended_at) FROM presence") == [(1, 0)]


async def test_a_terminal_that_falls_silent_inside_ends_its_visit(worker: Worker) -> None:
    """By the clock, where it was last seen; its next report, hours later, is the same visit, and pages nobody again."""
    await worker.take(route(ONE, [(100, 500)] * 3))
    last = START + 60 * SECOND
    await worker.look_for_silence(last + 1700 * SECOND)
    ends = "SELECT us_of(exited_at), exit_reason FROM alarm WHERE merged_into IS NULL"
    assert await query(worker, ends) == [(None, None)]
    for _ in range(2):
        await worker.look_for_silence(last + 1900 * SECOND)
        assert await query(worker, ends) == [(last, "signal_lost")]
    await worker.take(route(ONE, [(100, 500)] * 2, start=7200))
    assert await query(worker, ends) == [(None, None)]
    assert await query(worker, "SELECT count(*), count(ended_at) FROM presence") == [(2, 1)]
    assert len(await query(worker, OPEN_ALARMS)) == 1


@pytest.mark.parametrize("crash", [False, True])
async def test_backfill_takes_a_silence_back(worker: Worker, *, crash: bool) -> None:
    """The terminal had kept what it saw: it never left, whatever the clock said meanwhile, and whoever looks on."""
    await worker.take(route(ONE, [(100, 500)] * 3))
    await worker.look_for_silence(START + 9000 * SECOND)
    if crash:
        worker.memory = Memory.from_bytes(worker.memory.to_bytes(), {})
        worker.memory.state.replace_tracks(await tracks(worker.connection, 0))
    await worker.take(received_late(route(ONE, [(100, 500)] * 300, start=90), 9100))
    assert await query(worker, "SELECT count(*), count(ended_at) FROM presence") == [(1, 0)]
    assert await query(worker, "SELECT exited_at, exit_reason FROM alarm") == [(None, None)]


def wander(device: int, seed: int, n: int = 150) -> Positions:
    """Stays, passages and gaps about the three zones."""
    rng = random.Random(seed)  # noqa: S311
    places: list[tuple[float, float]] = []
    while len(places) < n:
        here = (rng.choice([-400, -60, 10, 100, 500, 900, 1010, 1200, 1450, 1650]), rng.choice([100, 500, 1100, 1500]))
        places += [(here[0] + rng.gauss(0, 4), here[1] + rng.gauss(0, 4)) for _ in range(rng.choice([1, 1, 2, 3, 8]))]
    rows = route(device, places[:n], every=60)
    gaps = np.cumsum([rng.choice([0] * 30 + [2400, 50_000]) for _ in range(n)]) * SECOND
    speeds = np.array([rng.choice([0, 0, 30, 250]) for _ in range(n)], "<u2")
    acc = np.array([rng.choice([2, 3]) for _ in range(n)], "<u4")
    return rows.with_columns(time=rows.time + gaps, received=rows.received + gaps, speed=speeds, status=acc)


def arrivals(rows: Positions, seed: int) -> list[Positions]:
    """The same reports as packets that arrive out of order, in batches."""
    rng = random.Random(seed)  # noqa: S311
    packets = []
    for device in (ONE, TWO, THREE):
        own = np.flatnonzero(rows.device == device)
        begin = 0
        while begin < len(own):
            size = rng.choice([1, 1, 1, 2, 5, 20])
            packets.append(own[begin : begin + size])
            begin += size
    first = int(rows.time.min())
    keyed = []
    for packet in packets:
        delay = rng.choice([1, 1, 1, 1, 40, 900, 30_000, 400_000]) * SECOND
        keyed.append((int(rows.time[packet].max()) + delay, rng.random(), packet))
    found, batch = [], []
    for received, _, packet in sorted(keyed, key=lambda each: each[:2]):
        batch.append(rows.take(packet).with_columns(received=np.full(len(packet), received)))
        if rng.random() < 0.3:
            found.append(concatenate(batch))
            batch = []
    assert first
    return [*found, concatenate(batch)] if batch else found


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_arrival_gives_the_same_visits(
    worker: Worker, database: str, worker_database: str, seed: int
) -> None:
    """In order, and shuffled with delays of days; a new owner takes over half-way with nothing but what is stored."""
    rows = concatenate([wander(ONE, seed), wander(TWO, seed + 100), wander(THREE, seed + 200)])
    order = np.lexsort((rows.device, rows.time))
    for part in np.array_split(order, 12):
        await worker.take(rows.take(part))
    expected = [row[:7] for row in await query(worker, VISITS)]
    assert len(expected) > 3
    presences = await query(
        worker, "SELECT device, zone, began_at, ended_at, verdict, grade, grade_at FROM presence ORDER BY 1, 2, 3"
    )
    with psycopg.connect(database) as conn:
        conn.execute("TRUNCATE position, presence, visit, alarm, alarm_action, event, worker_track, log_offset CASCADE")
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        other = Worker(connection)
        await other.store.offset(STREAM)
        batches = arrivals(rows, seed)
        for n, batch in enumerate(batches):
            if n == len(batches) // 2:
                data = other.memory.to_bytes()
                other.memory = Memory.from_bytes(data, {})
                other.memory.state.replace_tracks(await tracks(connection, 0))
            await other.take(batch)
        assert (
            await query(
                other,
                "SELECT device, zone, began_at, ended_at, verdict, grade, grade_at FROM presence ORDER BY 1, 2, 3",
            )
            == presences
        )
        assert [row[:7] for row in await query(other, VISITS)] == expected
        alarms = await query(
            other,
            "SELECT count(*), count(DISTINCT visit) FROM alarm WHERE merged_into IS NULL AND withdrawn_at IS NULL",
        )
        assert alarms == [(sum(not row[0].endswith("s") for row in expected),) * 2]
