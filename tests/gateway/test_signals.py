"""Tampering through a worker's own steps and a real database; the worker's looks at what contradicts itself."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio

from gateway.config import Settings
from gateway.worker import decision as deciding
from gateway.worker import signals
from gateway.worker.memory import Memory
from gateway.worker.rules import RulesCache
from gateway.worker.store import PostgresSession
from geofence.tampering import follow
from storage.load import tracks
from tests.gateway.test_late_data import ONE, START, STREAM, THREE, TWO, populate, route
from tests.geofence.world import SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from columns.positions import Positions

pytestmark = pytest.mark.asyncio

POWER, MOVED = 1 << 8, 1 << 28
INSIDE = (150, 100)


class Worker:
    """A partition's owner without a log: one commit for each batch, in the order of `Partition._take`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection, self.store = connection, PostgresSession(connection, 0)
        self.rules, self.memory, self.sequence = RulesCache(), Memory(), 0

    async def take(self, rows: Positions, now: int | None = None) -> None:
        rules = await self.rules.get(self.store, 0)
        judged = deciding.judge(self.memory, rules, rows)
        tampering = follow(self.memory.watch, self.memory.state, rules.ruleset, rows)
        gathered = deciding.Gathered(self.sequence + 1, {}, rows, deciding.DeadLetters.empty(), [], {})
        work = deciding.work(
            gathered, rows, judged, rules, memory=self.memory, partition=0, stream=STREAM, previous=self.sequence,
            now=now or int(rows.received.max()), tampering=tampering,
        )  # fmt: skip
        await self.store.commit(work)
        deciding.remember(self.memory, judged)
        self.memory.watch = tampering.after
        self.sequence += 1

    async def take_over(self) -> None:
        """As a new owner of the partition, with what is stored."""
        self.memory = Memory.from_bytes(self.memory.to_bytes(), {})
        self.memory.state.replace_tracks(await tracks(self.connection, 0))
        self.memory.watch = await self.store.watch()


@pytest_asyncio.fixture
async def worker(database: str, worker_database: str) -> AsyncIterator[Worker]:
    populate(database)
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        one = Worker(connection)
        await one.store.offset(STREAM)
        yield one


def said(alarms: list[int], start: int = 0, device: int = ONE) -> Positions:
    """Reports inside zone 1, half a minute apart, with these alarm words."""
    return route(device, [INSIDE] * len(alarms), start=start).with_columns(alarm=np.array(alarms, "<u4"))


async def query(worker: Worker, statement: str) -> list[tuple[Any, ...]]:
    return await (await worker.connection.execute(statement)).fetchall()


SIGNALS = """SELECT kind, subject, us_of(entered_at), us_of(exited_at), exit_reason, page_reason FROM alarm
    WHERE kind <> 'zone_entry' ORDER BY id"""


async def test_a_power_cut_in_a_zone_is_an_alarm_beside_the_entry(worker: Worker) -> None:
    """Both from one commit, each with its event; the bit in a hundred reports is one alarm; it ends when it is gone."""
    await worker.take(said([0, 0, POWER]))
    assert await query(worker, SIGNALS) == [("power_cut", str(ONE), START + 60 * SECOND, None, None, "prompt")]
    assert await query(worker, "SELECT data ->> 'kind' FROM event WHERE kind = 'alarm' ORDER BY id") == [
        ("zone_entry",),
        ("power_cut",),
    ]
    for start in range(90, 600, 90):
        await worker.take(said([POWER] * 3, start))
    assert await query(worker, "SELECT count(*) FROM event WHERE kind = 'alarm'") == [(2,)]
    await worker.take(said([0, 0, 0], 630))
    assert await query(worker, SIGNALS) == [
        ("power_cut", str(ONE), START + 60 * SECOND, START + 630 * SECOND, "cleared", "prompt")
    ]


async def test_a_new_owner_goes_on(worker: Worker) -> None:
    """What the old one raised is neither raised again nor forgotten."""
    await worker.take(said([POWER, POWER]))
    await worker.take_over()
    await worker.take(said([POWER, POWER], 60))
    await worker.take(said([0, 0, 0], 120))
    assert [row[3] for row in await query(worker, SIGNALS)] == [START + 120 * SECOND]


async def test_each_terminal_and_kind_has_its_own(worker: Worker) -> None:
    """Two terminals of one machine, and an allowed machine; the verdict goes with it."""
    for device in (ONE, TWO, THREE):
        await worker.take(said([POWER | MOVED], device=device))
    assert [row[:2] for row in await query(worker, SIGNALS)] == [
        (kind, str(device)) for device in (ONE, TWO, THREE) for kind in ("power_cut", "displacement")
    ]
    verdicts = await query(worker, "SELECT detail ->> 'verdict' FROM alarm WHERE kind = 'power_cut' ORDER BY id")
    assert verdicts == [("violation",), ("violation",), ("allowed",)]


async def test_our_own_outage_is_said(worker: Worker) -> None:
    await worker.take(said([POWER]), now=START + 3600 * SECOND)
    assert [row[5] for row in await query(worker, SIGNALS)] == ["delayed"]


async def test_what_is_late_pages_nobody(worker: Worker) -> None:
    late = said([POWER]).with_columns(received=np.array([START + 1000 * SECOND]))
    await worker.take(late)
    assert await query(worker, "SELECT late, paged_at, page_reason FROM alarm") == [(True, None, None)]


async def test_a_failed_commit_leaves_nothing_behind(worker: Worker) -> None:
    """The watch is of what is committed: the batch that is decided again raises what it found."""
    before = worker.memory.watch
    worker.sequence = 7  # somebody else has moved the offset
    with pytest.raises(Exception, match="offset"):
        await worker.take(said([POWER]))
    assert worker.memory.watch is before
    worker.sequence = 0
    await worker.take(said([POWER]))
    assert len(await query(worker, SIGNALS)) == 1


@pytest.mark.parametrize(("minutes", "since_ever", "raised"), [(60, True, 1), (0, True, 0), (60, False, 0)])
async def test_a_worker_looks_by_itself(
    worker: Worker, worker_database: str, database: str, monkeypatch: pytest.MonkeyPatch,
    minutes: int, since_ever: bool, raised: int,
) -> None:  # fmt: skip
    """Quarantine at once; silence with the setting, and only where it has listened for so long itself."""
    await worker.take(said([0, 0, 0]))
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as owner:
        await owner.execute(
            "UPDATE terminal SET quarantined_until = now() + interval '1 hour' WHERE device = %s", [TWO]
        )
        await owner.execute(
            "INSERT INTO terminal_last (terminal, time, received, lon, lat, speed, course, status, quality)"
            " VALUES (%s, now() - interval '2 hours', now() - interval '2 hours', 0, 0, 0, 0, 0, 0)", [ONE],
        )  # fmt: skip
    monkeypatch.setattr(signals, "EVERY_S", 0.05)
    if since_ever:
        monkeypatch.setattr(signals.time, "time_ns", lambda: 0)
    looking = asyncio.create_task(
        signals.watch_contradictions(worker_database, Settings(silent_minutes=minutes), lambda: True)
    )
    await asyncio.sleep(1.5)
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    kinds = [row[0] for row in await query(worker, SIGNALS)]
    assert sorted(kinds) == sorted(["identity", *["silent"] * raised])
