"""What is dropped for its age, when, and what keeps it; on both servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio
from psycopg import errors

from gateway.config import Settings
from storage import retention
from storage.commit import commit
from storage.partitions import ensure_partitions
from tests.storage.rows import SECOND, ended, page, positions, presence, visits, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene, Steps

DAYS = Settings().kept_days
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def noon(days_ago: int) -> int:
    """UTC, in us."""
    return int((TODAY - timedelta(days=days_ago, hours=-12)).timestamp()) * SECOND


async def store(worker: AsyncConnection, sequence: int, *days_ago: int, start: int = 0) -> None:
    for place, ago in enumerate(days_ago):
        rows = positions(5, start=start, time=noon(ago))
        await commit(worker, work(previous=sequence + place, sequence=sequence + place + 1, positions=rows))


@pytest_asyncio.fixture
async def tracks(scene: Scene, worker: AsyncConnection) -> AsyncConnection:
    """Five rows on each of five days, of which the first three are older than tracks are kept."""
    for ago in (182, 181, 180, 179):
        await ensure_partitions(worker, *[(TODAY - timedelta(days=ago)).date()] * 2)
    await store(worker, 0, 183, 182, 181, 180, 179)
    return worker


def kept(scene: Scene) -> list[int]:
    """How many days ago, of every row."""
    days = scene.query("SELECT DISTINCT (time AT TIME ZONE 'UTC')::date FROM position ORDER BY 1")
    return [(TODAY.date() - day).days for (day,) in days]


def dropped(scene: Scene, kind: str = "position") -> int:
    return scene.value(f"SELECT dropped FROM retention WHERE kind = '{kind}'")


async def test_old_days_go(scene: Scene, tracks: AsyncConnection) -> None:
    """Whole days, with their partition or chunk or out of the default one; counted; a second round finds nothing."""
    statistics = [("SELECT count(*), sum(reports) FROM terminal_day", [(5, 25)])]
    assert (await retention.keep(tracks, DAYS) or {})["position"] == 15
    assert kept(scene) == [180, 179]
    assert dropped(scene) == 15
    assert (await retention.keep(tracks, DAYS) or {})["position"] == 0
    for query, result in statistics:
        assert scene.query(query) == result, "the roll-up outlives its tracks"


async def test_a_report_that_comes_later_still(scene: Scene, tracks: AsyncConnection) -> None:
    """It is stored and counted as any other, and dropped and counted by the next round; no statistics change."""
    await retention.keep(tracks, DAYS)
    before = scene.query("SELECT * FROM terminal_day ORDER BY day")
    await store(tracks, 5, 182, start=100)
    assert kept(scene) == [182, 180, 179]
    assert (await retention.keep(tracks, DAYS) or {})["position"] == 5
    assert dropped(scene) == 20
    assert scene.query("SELECT * FROM terminal_day ORDER BY day") == before


async def test_what_evidence_is_copied_from_stays(
    scene: Scene, tracks: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open case of long ago whose fixes are not copied yet keeps its days; once they are copied, they go."""
    at = noon(182)
    found = presence(
        scene.zone, scene.machine, began_at=at, entered_at=at, confirmed_at=at + SECOND, last_inside_at=at + 2 * SECOND,
        received=at + 5 * SECOND, ended_at=at + 3 * SECOND, end=ended(presence(1, 1), 1).end,
    )  # fmt: skip
    changes = visits(found, pages=(page(found),))
    assert changes is not None
    await commit(tracks, work(previous=5, sequence=6, visits=changes))

    async def nothing(_: Any) -> int:
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(retention.evidence, "copy_due", nothing)
        assert (await retention.keep(tracks, DAYS) or {})["position"] == 0
    assert kept(scene) == [183, 182, 181, 180, 179]
    assert (await retention.keep(tracks, DAYS) or {})["position"] == 15
    assert scene.value("SELECT count(*) FROM evidence_fix") >= 4


async def test_days_without_statistics_stay(
    scene: Scene, tracks: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: Any) -> None:
        return

    with monkeypatch.context() as patch:
        patch.setattr(retention.daily, "bring_up", nothing)
        assert (await retention.keep(tracks, DAYS) or {})["position"] == 0
    assert (await retention.keep(tracks, DAYS) or {})["position"] == 15


@pytest.mark.plain("two sessions at once")
async def test_one_worker_at_a_time(scene: Scene, tracks: AsyncConnection, worker_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as other:
        await other.execute("SELECT pg_advisory_lock(808004)")
        assert await retention.keep(tracks, DAYS) is None
    assert len(kept(scene)) == 5


@pytest.mark.plain("two sessions at once")
async def test_a_long_query_is_not_waited_for(scene: Scene, tracks: AsyncConnection, worker_database: str) -> None:
    """Whoever reads holds a drop up; commits wait for it for 2 s at most, and the next round does it."""
    async with await psycopg.AsyncConnection.connect(worker_database) as reader:
        await reader.execute("SELECT count(*) FROM position")
        with pytest.raises(errors.LockNotAvailable):
            await retention.keep(tracks, DAYS)
    await retention.keep(tracks, DAYS)
    assert kept(scene) == [180, 179]


async def test_events_and_audit_and_letters(scene: Scene, worker: AsyncConnection) -> None:
    """By their own age; letters of what was acknowledged stay until they are replayed."""
    scene.query(
        "WITH e AS (INSERT INTO event (kind, data, at) SELECT 'terminal', '{}', now() - n * interval '20 days'"
        " FROM generate_series(0, 3) n ORDER BY n DESC RETURNING 1),"
        " a AS (INSERT INTO audit (actor, role, action, object, at)"
        "   SELECT 'a', 'r', 'x', 'o', now() - n * interval '2000 days' FROM generate_series(0, 3) n ORDER BY n DESC RETURNING 1),"
        " d AS (INSERT INTO dead_letter (partition, sequence, device, received, reason, data, at, replayed_at)"
        "   SELECT 0, 0, 0, now(), reason, '', now() - interval '200 days', replayed FROM (VALUES"
        "   ('checksum', NULL::timestamptz), ('unreadable_batch', NULL), ('failed', now()), ('refused', NULL)) v (reason, replayed)"
        "   RETURNING 1)"
        " SELECT 1"
    )
    found = await retention.keep(worker, DAYS)
    assert found == {"position": 0, "event": 2, "dead_letter": 2, "audit": 2}
    assert scene.query("SELECT reason FROM dead_letter ORDER BY 1") == [("refused",), ("unreadable_batch",)]
    assert [dropped(scene, kind) for kind in ("event", "dead_letter", "audit")] == [2, 2, 2]


async def test_nobody_drops_the_audit_of_three_years(worker: AsyncConnection) -> None:
    """Whatever is set: the function refuses."""
    with pytest.raises(errors.RaiseException, match="audit is kept for longer"):
        await retention.keep(worker, {"audit": 1000})


async def test_late_rows_and_duplicates_in_a_compressed_chunk(scene: Scene, steps: Steps) -> None:
    """A day that is compressed takes new reports and refuses known ones through the commit that every report takes."""
    worker = steps.connection
    await commit(worker, work(previous=0, sequence=1, positions=positions(50, time=noon(20))))
    if scene.value("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"):
        scene.query("SELECT compress_chunk(c) FROM show_chunks('position') AS c")
        assert scene.value("SELECT bool_and(is_compressed) FROM timescaledb_information.chunks")
    done = await commit(worker, work(previous=1, sequence=2, positions=positions(40, start=50, time=noon(20))))
    assert (done.stored, done.duplicate) == (40, 0)
    done = await commit(worker, work(previous=2, sequence=3, positions=positions(60, start=40, time=noon(20))))
    assert (done.stored, done.duplicate) == (10, 50)
    assert scene.value("SELECT count(*) FROM position") == 100
    assert scene.query("SELECT stored, duplicate FROM log_offset") == [(100, 50)]
    await retention.keep(worker, DAYS)
    assert scene.query("SELECT reports FROM terminal_day") == [(100,)]
    assert (await retention.keep(worker, DAYS | {"position": 10}) or {})["position"] == 100
