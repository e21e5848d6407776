"""What cannot be decided or stored is parked with an alarm, and the rest of its batch is stored: on the real log and database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from columns.batch import decode
from gateway.worker import decision as deciding
from gateway.worker import parking
from gateway.worker.partition import TRIES
from tests.visited import IN, ONE, OUT, THREE, TWO, route

if TYPE_CHECKING:
    from columns.positions import Positions
    from tests.plugins.pipeline import Pipeline

POISON = 4711
"""An altitude that our code chokes on, as long as the test says so."""


@pytest.fixture
def choking(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Deciding raises where a row is POISON; the sizes of the batches that it was tried with."""
    tried: list[int] = []
    judge = deciding.judge

    def choke(memory: Any, rules: Any, positions: Positions) -> Any:
        if POISON in positions.altitude:
            tried.append(len(positions))
            raise IndexError("poison")
        return judge(memory, rules, positions)

    monkeypatch.setattr(deciding, "judge", choke)
    return tried


def poisoned(rows: Positions, *which: int) -> Positions:
    altitude = rows.altitude.copy()
    altitude[list(which)] = POISON
    return rows.with_columns(altitude=altitude)


COUNTS = "SELECT stored, duplicate, quarantined, rejected, sequence FROM log_offset"
PARKED = "SELECT reason, device, data FROM dead_letter ORDER BY id"
ALARMS = "SELECT kind, subject, device, detail FROM alarm WHERE kind = 'parked' ORDER BY id"


async def test_a_batch_that_our_code_chokes_on(pipeline: Pipeline, choking: list[int]) -> None:
    """It is tried three times and taken apart: all but the bad rows are stored and decided, these are parked with one alarm
    and counted; the partition goes on, and what is parked reads as a batch of that row.
    """
    good = route(THREE, [OUT, IN, IN, IN])
    bad = poisoned(route(ONE, [OUT, OUT, IN, IN, IN, OUT]), 1, 5)
    await pipeline.append(good)
    await pipeline.append(bad)
    last = await pipeline.append(route(TWO, [OUT, OUT], start=3000))
    async with pipeline.partition() as partition:
        await pipeline.until(lambda: pipeline.query("SELECT sequence FROM log_offset") == [(last,)])
        assert partition.status()["parked"] == 2
        later = await pipeline.append(route(TWO, [OUT, OUT], start=6000))
        await pipeline.until(lambda: partition.sequence == later)
        assert partition.trouble is None
    assert choking[:TRIES] == [12] * TRIES
    assert pipeline.query(COUNTS) == [(12, 0, 0, {"failed": 2}, later)]
    assert pipeline.query("SELECT count(*) FROM visit WHERE machine = 1") == [(1,)]
    letters = pipeline.query(PARKED)
    assert [letter[:2] for letter in letters] == [("failed", ONE), ("failed", ONE)]
    for (_, _, data), row in zip(letters, (1, 5), strict=True):
        kept = decode(bytes(data))
        assert kept.number == 1
        assert kept.positions.time.tolist() == [bad.time[row]]
        assert kept.positions.fingerprint.tolist() == [bad.fingerprint[row]]
        assert kept.positions.received.tolist() == [bad.received[row]]
    assert len({decode(bytes(letter[2])).boot for letter in letters}) == 2
    assert pipeline.query(ALARMS) == [("parked", "0", ONE, {"partition": 0, "parked": {"failed": 2}})]
    assert pipeline.query("SELECT count(*) FROM event WHERE kind = 'alarm' AND data ->> 'kind' = 'parked'") == [(1,)]


async def test_what_is_replayed_after_a_fix_is_stored(
    pipeline: Pipeline, choking: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appended again under another boot, the parked row is stored and counted."""
    await pipeline.append(poisoned(route(ONE, [OUT, IN]), 1))
    async with pipeline.partition():
        ((_, _, data),) = await pipeline.until(lambda: pipeline.query(PARKED))
        monkeypatch.undo()
        await pipeline.append(decode(bytes(data)).positions, boot="c0" * 8)
        await pipeline.until_stored(2)
    assert choking
    assert pipeline.query("SELECT stored FROM log_offset") == [(2,)]


async def test_a_new_owner_remembers_nothing_that_was_parked(pipeline: Pipeline, choking: list[int]) -> None:
    """It goes on as the old one would have: the terminal's last fix is the last one that is stored."""
    rows = poisoned(route(ONE, [OUT, OUT, OUT]), 2)
    last = await pipeline.append(rows)
    async with pipeline.partition() as partition:
        await pipeline.until(lambda: partition.sequence == last)
        assert choking
    pipeline.query("DELETE FROM worker_snapshot")
    async with pipeline.partition() as heir:
        await pipeline.until(lambda: heir.owned)
        state = heir._taking.memory.state
        assert state.column("time", state.slots_of(np.array([ONE]))).tolist() == [rows.time[1]]


async def test_a_row_that_the_database_refuses(pipeline: Pipeline) -> None:
    """It goes the same way, under the other reason."""
    pipeline.query("ALTER TABLE position ADD CONSTRAINT refuse CHECK (altitude <> 4711)")
    await pipeline.append(poisoned(route(ONE, [OUT] * 5), 2))
    async with pipeline.partition() as partition:
        await pipeline.until_stored(4)
        await pipeline.until(lambda: partition.sequence)
    assert pipeline.query(COUNTS)[0][:4] == (4, 0, 0, {"refused": 1})
    assert [letter[0] for letter in pipeline.query(PARKED)] == ["refused"]
    assert pipeline.query(ALARMS) == [("parked", "0", ONE, {"partition": 0, "parked": {"refused": 1}})]


async def test_a_session_record_that_the_database_refuses(pipeline: Pipeline) -> None:
    """Parked likewise, with the record; the reports beside it are stored."""
    pipeline.query("ALTER TABLE terminal ADD CONSTRAINT refuse CHECK (phone <> '999')")
    record = {"event": "registered", "identity": "999", "device": 9}
    await pipeline.append(route(ONE, [OUT] * 3), sessions=[record, {**record, "identity": "1", "device": 1}])
    async with pipeline.partition():
        await pipeline.until(lambda: pipeline.query(PARKED))
        await pipeline.until_stored(3)
    ((reason, _, data),) = pipeline.query(PARKED)
    assert (reason, decode(bytes(data)).sessions) == ("refused", [record])
    assert pipeline.query("SELECT count(*) FROM terminal WHERE phone = '1'") == [(1,)]


async def test_parts_that_pass_alone_only(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails only beside another part is found as well: one of the two is parked."""
    judge = deciding.judge

    def choke(memory: Any, rules: Any, positions: Positions) -> Any:
        if np.count_nonzero(positions.altitude == POISON) > 1 or 1 in positions.altitude:
            raise IndexError("two of them")
        return judge(memory, rules, positions)

    monkeypatch.setattr(deciding, "judge", choke)
    rows = poisoned(route(ONE, [OUT] * 7), 0, 5)
    altitude = rows.altitude.copy()
    altitude[3] = 1
    await pipeline.append(rows.with_columns(altitude=altitude))
    async with pipeline.partition():
        await pipeline.until_stored(5)
    assert [row[0] for row in pipeline.query("SELECT altitude FROM position ORDER BY time")] == [POISON, 0, 0, 0, 0]
    assert len(pipeline.query(PARKED)) == 2


async def test_a_crash_in_the_middle_changes_nothing(
    pipeline: Pipeline, choking: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was tried is rolled back: a new owner does the message again, and counts everything once."""
    last = await pipeline.append(poisoned(route(ONE, [OUT, OUT, IN, IN, OUT, OUT]), 5))
    crashed = asyncio.Event()

    def crash(*_: Any) -> Any:
        crashed.set()
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(parking, "parked", crash)
        async with pipeline.partition():
            await asyncio.wait_for(crashed.wait(), 30)
        for table in ("position", "worker_track", "event", "visit"):
            assert pipeline.query(f"SELECT count(*) FROM {table}") == [(0,)], table
    async with pipeline.partition() as partition:
        await pipeline.until(lambda: partition.sequence == last)
    assert choking
    assert pipeline.query(COUNTS) == [(5, 0, 0, {"failed": 1}, last)]
    assert pipeline.query("SELECT count(*) FROM visit WHERE machine = 1") == [(1,)]
    assert len(pipeline.query(PARKED)) == 1


async def test_what_is_no_fault_of_the_batch_parks_nothing(
    pipeline: Pipeline, choking: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where report after report fails, or rules do not load, the partition stops and says so; once that is mended it goes on."""
    monkeypatch.setattr(parking, "FAULTY", 3)
    rows = poisoned(route(ONE, [OUT] * 8), *range(8))
    await pipeline.append(rows)
    async with pipeline.partition() as partition:
        await pipeline.until(lambda: partition.trouble and "in a row" in partition.trouble)
        assert " | " in (partition.trouble or "")
        assert pipeline.query(PARKED) == []
        assert choking
        monkeypatch.undo()
        await pipeline.until_stored(8)
        await pipeline.until(lambda: partition.trouble is None)


async def test_a_message_that_is_no_batch_is_parked_with_an_alarm(pipeline: Pipeline) -> None:
    """It was acknowledged, so it is kept whole; the batch after it is no gap."""
    await pipeline.append(route(ONE, [OUT]))
    await pipeline.append_bytes(b"LZB9 of a later release", 0, "x-2")
    await pipeline.append(route(ONE, [OUT], start=60), number=3)
    async with pipeline.partition():
        await pipeline.until_stored(2)
    assert [letter[0] for letter in pipeline.query(PARKED)] == ["unreadable_batch"]
    assert [alarm[3]["parked"] for alarm in pipeline.query(ALARMS)] == [{"unreadable_batch": 1}]


def test_some_parts_of_all_kinds() -> None:
    """Positions, session records and dead letters, each once, whatever is taken."""
    rows = route(ONE, [OUT] * 3)
    letters = deciding.gather([(1, b"x"), (2, b"y")], {}).dead_letters
    whole = deciding.Gathered(7, {}, rows, letters, [{"n": 1}, {"n": 2}], {})

    def shown(part: deciding.Gathered) -> list[Any]:
        return [
            *part.positions.time.tolist(),
            *(record["n"] for record in part.sessions),
            *(part.dead_letters.data[i] for i in range(len(part.dead_letters))),
        ]

    every = shown(parking.some(whole, np.arange(parking.size(whole))))
    assert every == [*rows.time.tolist(), 1, 2, b"x", b"y"]
    for places in ([], [0], [2, 3], [4, 5], [1, 4, 6]):
        assert shown(parking.some(whole, np.array(places, int))) == [every[place] for place in places]
