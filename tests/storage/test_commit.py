"""commit(): everything or nothing, once, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import psycopg
import pytest

from columns.batch import DeadLetters
from columns.positions import Quality
from columns.ragged import Ragged
from columns.reason import Reason
from storage import load
from storage.commit import commit
from storage.errors import EpochChangedError, OffsetMovedError, RefusedError, UnavailableError
from storage.work import Event, VisitChanges
from tests.storage.rows import NOON, STREAM, page, positions, presence, visits, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio

TOUCHED = ("position", "visit", "alarm", "event", "dead_letter", "terminal_refused", "worker_track")


def counts(scene: Scene) -> dict[str, int]:
    return {table: scene.value(f"SELECT count(*) FROM {table}") for table in TOUCHED}


def letters(n: int) -> DeadLetters:
    return DeadLetters(
        np.zeros(n, "<i8"), np.full(n, NOON, "<i8"), np.full(n, Reason.CHECKSUM, "<u1"), Ragged.of([b"\x7e\x00"] * n)
    )


def entry(scene: Scene) -> VisitChanges | None:
    """An entry that pages."""
    found = presence(scene.zone, scene.machine)
    return visits(found, pages=(page(found),))


def full(scene: Scene, **changes):
    """A work with every kind of effect."""
    values = {
        "positions": positions(3, extras=[b"", b"\x01\x04\0\0\0\1", b""]),
        "dead_letters": letters(2),
        "duplicate": 4,
        "rejected": {"checksum": 2},
        "visits": entry(scene),
        "sessions": [
            {"event": "registered", "identity": "139", "device": 139, "edition": "2019", "maker": "m", "model": "x",
             "terminal_id": "t", "source": "open"},
            {"event": "refused", "identity": "666", "plate": "鲁A"},
            {"event": "refused", "identity": "666", "plate": "鲁B"},
            {"event": "closed", "identity": "139"},
        ],
        "events": [Event("terminal", {"event": "candidate", "device": 7}, "370102")],
        "tracks": [(7, [[["stay"]], []]), (8, None)],
    }  # fmt: skip
    return work(**{**values, **changes})


async def test_writes_every_effect(scene: Scene, worker: AsyncConnection) -> None:
    """Rows, dead letters, sessions, visit, alarm, tracks, events and offset of one work are all there afterwards."""
    done = await commit(worker, full(scene))
    assert (done.stored, done.duplicate, done.enrolled) == (3, 0, ("139",))
    assert counts(scene) == {
        "position": 3, "visit": 1, "alarm": 1, "event": 3, "dead_letter": 2, "terminal_refused": 1, "worker_track": 1,
    }  # fmt: skip
    offset = await load.offset(worker, 0)
    assert offset == load.Offset(0, STREAM, 10, 1, {"boot": 3}, 3, 4, 0, {"checksum": 2})
    assert scene.query("SELECT edition, source FROM terminal WHERE phone = '139'") == [("2019", "open")]
    assert scene.query("SELECT attempts, plate FROM terminal_refused") == [(2, "鲁B")]
    assert scene.query("SELECT DISTINCT reason, data FROM dead_letter") == [("checksum", b"\x7e\x00")]
    assert await load.tracks(worker, 0) == {7: [[["stay"]], []]}
    assert scene.query("SELECT kind, data ->> 'event' FROM event ORDER BY id") == [
        ("alarm", None), ("terminal", "enrolled"), ("terminal", "candidate"),
    ]  # fmt: skip


async def test_a_track_is_replaced_and_dropped(scene: Scene, worker: AsyncConnection) -> None:
    """What is stored of a terminal's stays is what its last commit said; nothing where it has none any more."""
    await commit(worker, work(tracks=[(1, ["a"]), (2, ["b"])]))
    await commit(worker, work(previous=10, sequence=11, tracks=[(1, ["c"]), (2, None), (3, None)]))
    assert await load.tracks(worker, 0) == {1: ["c"]}


async def test_adds_up_counters(scene: Scene, worker: AsyncConnection) -> None:
    """The offset's counters are totals; the boots are replaced."""
    await commit(worker, full(scene))
    await commit(worker, work(previous=10, sequence=11, boots={"other": 1}, rejected={"checksum": 1, "length": 1}))
    offset = await load.offset(worker, 0)
    assert offset == load.Offset(0, STREAM, 11, 1, {"other": 1}, 3, 4, 0, {"checksum": 3, "length": 1})


async def test_alarm_event_is_the_alarm_as_the_api_shows_it(scene: Scene, worker: AsyncConnection) -> None:
    """The event's data is alarm_view's document, whatever the session's time zone."""
    await worker.execute("SET timezone = 'Asia/Shanghai'")
    (alarm,) = (await commit(worker, full(scene))).alarms
    (data, district) = scene.query("SELECT data, district FROM event WHERE kind = 'alarm'")[0]
    assert data == scene.value(f"SELECT document FROM alarm_view WHERE id = {alarm}")
    created = data.pop("created_at")
    assert created.endswith("+00:00")
    assert district == "370102"
    assert data == {
        "id": alarm, "kind": "zone_entry", "state": "new", "grade": "unknown",
        "grade_reason": {"at": "2026-03-01T12:00:00+00:00", "engine_on": False, "speed_kmh": 0},
        "late": False, "cause": "crossing", "notice": "page", "paged_at": "2026-03-01T12:00:11+00:00",
        "page_reason": "prompt", "district": "370102", "copied_to": None,
        "machine": {"id": scene.machine, "registration_number": "LJ-1", "machine_type": "excavator",
                    "registration_type": "machinery", "emission_stage": "2", "district": "370102"},
        "terminal_phone": "13800000007",
        "zone": {"id": scene.zone, "name": "一号区", "tier": "core", "version": 1}, "zone_version": 1,
        "verdict": "violation", "rule": {"index": 0, "predicate": {"stage_below": "3"}}, "detail": {},
        "visit": f"{scene.machine}-{NOON}", "longitude": 117.12, "latitude": 36.65,
        "entered_at": "2026-03-01T12:00:00+00:00", "confirmed_at": "2026-03-01T12:00:10+00:00", "exited_at": None,
        "exit_reason": None, "received_at": "2026-03-01T12:00:11+00:00", "merged_into": None, "withdrawn_at": None,
    }  # fmt: skip


async def test_leaves_nothing_when_any_part_is_refused(scene: Scene, worker: AsyncConnection) -> None:
    """A visit that names an unknown zone is refused for good, and the rows before it are gone with it."""
    before = counts(scene)
    with pytest.raises(RefusedError):
        await commit(worker, full(scene, visits=visits(presence(999, scene.machine))))
    assert counts(scene) == before
    assert (await load.offset(worker, 0)).sequence == 0
    assert worker.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_offset_moved(scene: Scene, worker: AsyncConnection) -> None:
    """A second commit from the same place writes nothing: somebody was there before."""
    await commit(worker, full(scene))
    before = counts(scene)
    with pytest.raises(OffsetMovedError, match="not at 0"):
        await commit(worker, full(scene, positions=positions(1, start=50)))
    with pytest.raises(OffsetMovedError):
        await commit(worker, work(previous=10, sequence=11, stream="POS@another"))
    assert counts(scene) == before


async def test_epoch_changed(scene: Scene, worker: AsyncConnection) -> None:
    """Rules that changed after the decision: nothing is written and the new epoch is named."""
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("UPDATE machine SET emission_stage = '3'")
    with pytest.raises(EpochChangedError) as caught:
        await commit(worker, full(scene))
    assert caught.value.new == 2
    assert counts(scene)["position"] == 0
    done = await commit(worker, full(scene, epoch=caught.value.new))
    assert done.stored == 3


@pytest.mark.parametrize("partition_made", [False, True])
async def test_duplicates_redo_only_the_copy(scene: Scene, worker: AsyncConnection, partition_made: bool) -> None:
    """Rows that are there already are counted as duplicates, new ones stored, and the rest of the work is unharmed."""
    if partition_made:
        await worker.execute("SELECT ensure_partitions('2026-02-28', '2026-03-02')")
    await commit(worker, work(positions=positions(3)))
    bad = positions(6, start=1)
    bad.quality[[0, 5]] = Quality.BAD_TIME  # row 0 is there already, row 5 is not
    done = await commit(worker, full(scene, previous=10, sequence=20, positions=bad, duplicate=0))
    assert (done.stored, done.duplicate) == (4, 2)
    offset = await load.offset(worker, 0)
    assert (offset.stored, offset.duplicate, offset.quarantined) == (3 + 3, 2, 1)
    assert counts(scene)["position"] == 7
    assert counts(scene)["alarm"] == 1
    again = await commit(worker, work(previous=20, sequence=30, positions=positions(8)))
    assert (again.stored, again.duplicate) == (1, 7)
    staged = await worker.execute("SELECT count(*) FROM pg_temp.position_staging")
    assert await staged.fetchone() == (0,), "what was staged is not staged for ever"


async def test_duplicates_within_one_batch(scene: Scene, worker: AsyncConnection) -> None:
    """The same report twice in one work is one row and one duplicate."""
    twice = positions(2).take(np.array([0, 1, 0]))
    done = await commit(worker, work(positions=twice))
    assert (done.stored, done.duplicate) == (2, 1)


async def test_registry_bumps_only_for_new_terminals(scene: Scene, worker: AsyncConnection) -> None:
    """A registration of a known terminal fills in what it is, and is no news for the edges."""
    before = scene.value("SELECT version FROM registry")
    known = {"event": "registered", "identity": "13800000007", "device": 7, "edition": "2013", "maker": "m"}
    done = await commit(worker, work(sessions=[known]))
    assert done.enrolled == ()
    assert scene.value("SELECT version FROM registry") == before
    assert scene.query("SELECT edition, maker, source FROM terminal") == [("2013", "m", "registry")]
    await commit(worker, work(previous=10, sequence=20, sessions=[{**known, "identity": "2", "device": 2}]))
    assert scene.value("SELECT version FROM registry") == before + 1


@pytest.mark.plain("two sessions at once")
async def test_event_ids_follow_commit_order(scene: Scene, worker: AsyncConnection, worker_database: str) -> None:
    """Who commits second has the higher id, whoever began first: a reader of `id > last` misses nothing."""
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as other:
        await load.own_offset(other, 1, STREAM)
        # `slow` has its event's id and holds the lock, but has not committed when `quick` begins.
        slow = await psycopg.AsyncConnection.connect(scene.conninfo)
        async with slow:
            await slow.execute("""SELECT emit_events('[{"kind": "terminal", "data": {"by": "slow"}}]')""")
            quick = asyncio.create_task(commit(other, work(partition=1, events=[Event("terminal", {"by": "quick"})])))
            await asyncio.sleep(0.2)
            assert not quick.done(), "it must wait for the one that took an id before it"
            assert counts(scene)["event"] == 0
            await slow.commit()
            await quick
    assert scene.query("SELECT data ->> 'by' FROM event ORDER BY id") == [("slow",), ("quick",)]


@pytest.mark.plain("two sessions at once")
async def test_wakes_readers(scene: Scene, worker: AsyncConnection) -> None:
    """Events are announced with NOTIFY; a commit without events announces nothing."""
    async with await psycopg.AsyncConnection.connect(scene.conninfo, autocommit=True) as listener:
        await listener.execute("LISTEN event")
        await commit(worker, work(positions=positions(1)))
        await commit(worker, work(previous=10, sequence=20, events=[Event("terminal", {})]))
        heard = [notice async for notice in listener.notifies(timeout=1, stop_after=1)]
        assert [notice.channel for notice in heard] == ["event"]


@pytest.mark.plain("its one session cannot be cut off")
async def test_lost_connection_is_unavailable(scene: Scene, worker: AsyncConnection) -> None:
    """A session that is cut before its COMMIT wrote nothing, and the error says so."""
    with psycopg.connect(scene.conninfo, autocommit=True) as conn:
        conn.execute(
            "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
        )
        conn.execute("CREATE TRIGGER cut AFTER INSERT ON dead_letter EXECUTE FUNCTION cut()")
    with pytest.raises(UnavailableError) as caught:
        await commit(worker, full(scene))
    assert caught.value.known
    assert counts(scene)["position"] == 0


async def test_needs_autocommit(worker_database: str) -> None:
    """A connection with a transaction of its own would hide where the commit is."""
    async with await psycopg.AsyncConnection.connect(worker_database) as conn:
        with pytest.raises(ValueError, match="autocommit"):
            await commit(conn, work())
