"""The daily roll-up against a slow oracle, on both servers; whatever comes late, twice, quarantined, or meanwhile."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from columns.positions import Positions, Quality, concatenate
from storage import daily
from storage.commit import commit
from storage.work import QUARANTINED
from tests.storage.rows import SECOND, positions, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = 86_400 * SECOND


def midnight(days_ago: int) -> int:
    """In Shanghai, us UTC."""
    today = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((today - timedelta(days=days_ago)).timestamp()) * SECOND


def oracle(rows: Positions) -> dict[tuple[int, date], tuple[Any, ...]]:
    """(terminal, day) -> reports, first, last, moving_s, quarantined; one report at a time, each identity once."""
    reports = {
        (int(rows.device[i]), int(rows.time[i]), int(rows.fingerprint[i])): (
            int(rows.speed[i]), bool(rows.quality[i] & QUARANTINED))
        for i in range(len(rows))
    }  # fmt: skip
    by_day: dict[tuple[int, date], list[tuple[int, int, bool]]] = defaultdict(list)
    for (terminal, time, _), (speed, bad) in reports.items():
        by_day[terminal, datetime.fromtimestamp(time / SECOND, SHANGHAI).date()].append((time, speed, bad))
    found = {}
    for key, day in by_day.items():
        fastest: dict[int, int] = {}
        for time, speed, bad in day:
            if not bad:
                fastest[time] = max(speed, fastest.get(time, 0))
        times = sorted(fastest)
        steps = [(b - a, fastest[b]) for a, b in itertools.pairwise(times)]
        moving = sum(gap for gap, speed in steps if speed >= 10 and gap <= 300 * SECOND) // SECOND
        good = sum(not bad for *_, bad in day)
        found[key] = (good, times[0] if times else None, times[-1] if times else None, moving, len(day) - good)
    return found


def kept(scene: Scene) -> dict[tuple[int, date], tuple[Any, ...]]:
    rows = scene.query(
        "SELECT terminal, day, reports, us_of(first_at), us_of(last_at), moving_s, quarantined FROM terminal_day"
    )
    return {(terminal, day): tuple(values) for terminal, day, *values in rows}


def shuffled(rng: np.random.Generator) -> Positions:
    """Three terminals over four days, around every midnight, of any speed; some of one second, some quarantined."""
    parts = []
    for device in (7, 8, 2**62 + 5):
        time = np.concatenate([midnight(ago) + rng.integers(-900, 900, 20) * SECOND for ago in (1, 2, 3)])
        part = positions(len(time), device=device).with_columns(
            time=time, fingerprint=rng.integers(0, 2**40, len(time)), speed=rng.integers(0, 30, len(time)).astype("<u2"),
            quality=rng.choice(np.array([0, 0, 0, Quality.BAD_TIME, Quality.FUTURE], "<u2"), len(time)),
        )  # fmt: skip
        parts.append(part)
    return concatenate(parts)


async def test_it_is_the_oracles(scene: Scene, worker: AsyncConnection) -> None:
    """Whatever order and batches rows come in, some twice, some when their day was computed already."""
    rows = shuffled(np.random.default_rng(5))
    order = np.random.default_rng(6).permutation(len(rows))
    done = 0
    for step, index in enumerate(np.array_split(order, 5)):
        part = rows.take(np.concatenate((index, order[:3])))  # the first three are sent again each time
        await commit(worker, work(previous=step, sequence=step + 1, positions=part))
        done += len(index)
        if step in {1, 4}:
            await daily.bring_up(worker)
            assert kept(scene) == oracle(rows.take(order[:done]))
    assert scene.value("SELECT count(*) FROM terminal_day_due") == 0


async def test_a_day_is_computed_whole_once_it_is_over(scene: Scene, worker: AsyncConnection) -> None:
    """Rows that were reported on their day leave no note: the day's own computation finds them."""
    rows = positions(5, time=midnight(2) + DAY // 2).with_columns(speed=np.full(5, 50, "<u2"))
    await commit(worker, work(positions=rows))
    scene.query("WITH gone AS (DELETE FROM terminal_day_due RETURNING 1) SELECT count(*) FROM gone")
    through = scene.value("SELECT through FROM terminal_day_state")
    await daily.bring_up(worker)
    assert kept(scene) == oracle(rows)
    assert scene.value("SELECT through FROM terminal_day_state") > through
    today = datetime.now(SHANGHAI).date()
    assert scene.value("SELECT through FROM terminal_day_state") in {
        today - timedelta(days=1),
        today - timedelta(days=2),
    }


@pytest.mark.plain("two sessions at once")
async def test_what_is_committed_meanwhile_is_computed_the_next_time(
    scene: Scene, worker: AsyncConnection, worker_database: str
) -> None:
    """A commit that is open while days are computed neither waits nor is forgotten."""
    import psycopg  # noqa: PLC0415

    rows = positions(3, time=midnight(2) + DAY // 2)
    await daily.bring_up(worker)
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as other:
        async with other.transaction():
            await daily.mark(other, *daily.other_days(rows, midnight(0)))
            await daily.bring_up(worker)
            assert kept(scene) == {}
            async with worker.transaction():
                await worker.execute("DELETE FROM terminal_day_due")
                await daily.mark(other, *daily.other_days(rows, midnight(0)))  # waits for nobody
        await commit(other, work(positions=rows))
    await daily.bring_up(worker)
    assert kept(scene) == oracle(rows)


async def test_a_day_whose_tracks_are_gone_stays_as_it_is(scene: Scene, worker: AsyncConnection) -> None:
    """A report that comes after that must not become the whole day."""
    rows = positions(5, time=midnight(2) + DAY // 2)
    await commit(worker, work(positions=rows))
    await daily.bring_up(worker)
    scene.query("UPDATE retention SET before = now() WHERE kind = 'position' RETURNING 1")
    late = positions(1, start=9, time=midnight(2) + DAY // 2)
    await commit(worker, work(previous=10, sequence=11, positions=late))
    await daily.bring_up(worker)
    assert kept(scene) == oracle(rows)
    assert scene.value("SELECT count(*) FROM terminal_day_due") == 0


def test_ordinary_rows_are_no_news() -> None:
    """Of the moment's day there is nothing to note; of others, each terminal and day once."""
    start = midnight(0)
    now = start + DAY // 2
    edges = np.array([start, start + DAY - 1, start - 1, start - 2, start + DAY])
    rows = positions(5).with_columns(time=edges)
    devices, days = daily.other_days(rows, now)
    today = (datetime.fromtimestamp(now / SECOND, UTC).astimezone(SHANGHAI).date() - date(1970, 1, 1)).days
    assert (devices.tolist(), days.tolist()) == ([7, 7], [today - 1, today + 1])
    assert len(daily.other_days(rows.take(np.array([0, 1])), now)[0]) == 0
    assert len(daily.other_days(Positions.empty(), now)[0]) == 0
