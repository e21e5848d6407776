"""Daily partitions are made ahead; a day that slipped into the default partition stays there."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from storage import partitions
from storage.commit import commit
from storage.partitions import ensure_partitions, window
from tests.storage.rows import NOON, positions, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

DAY = 86_400_000_000
PARTITIONS = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'position'::regclass ORDER BY 1
"""


def names(scene: Scene) -> list[str]:
    return [name for (name,) in scene.query(PARTITIONS)]


def test_window() -> None:
    """Yesterday to three days ahead, by the UTC day."""
    assert window(NOON) == (date(2026, 2, 28), date(2026, 3, 4))


@pytest.mark.plain("a hypertable makes its chunks itself")
@pytest.mark.asyncio
async def test_makes_missing_days_once(scene: Scene, worker: AsyncConnection) -> None:
    """The worker's role may make partitions; a second call makes none."""
    for _ in range(2):
        assert await ensure_partitions(worker, *window(NOON)) == []
    assert names(scene) == [
        "position_20260228", "position_20260301", "position_20260302", "position_20260303", "position_20260304",
        "position_default",
    ]  # fmt: skip


@pytest.mark.plain("a hypertable makes its chunks itself")
@pytest.mark.asyncio
async def test_rows_go_to_their_day(scene: Scene, worker: AsyncConnection) -> None:
    """A UTC day is a partition, its first microsecond included; other days are in the default one."""
    await ensure_partitions(worker, *window(NOON))
    times = [NOON, NOON - DAY // 2, NOON - DAY // 2 - 1, NOON + 100 * DAY]
    for i, time in enumerate(times):
        await commit(worker, work(previous=i, sequence=i + 1, positions=positions(1, time=time)))
    assert scene.query("SELECT tableoid::regclass::text, count(*) FROM position GROUP BY 1 ORDER BY 1") == [
        ("position_20260228", 1), ("position_20260301", 2), ("position_default", 1),
    ]  # fmt: skip


@pytest.mark.plain("a hypertable makes its chunks itself")
@pytest.mark.asyncio
async def test_day_in_the_default_partition_stays(
    scene: Scene, worker: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are neither moved nor lost; the other days are made; it is logged once."""
    logged = []
    monkeypatch.setattr(partitions, "_told", set())
    monkeypatch.setattr(partitions._log, "warning", lambda event, **values: logged.append(values), raising=False)
    await commit(worker, work(positions=positions(2)))
    for _ in range(2):
        assert await ensure_partitions(worker, *window(NOON)) == [date(2026, 3, 1)]
    assert "position_20260302" in names(scene)
    assert "position_20260301" not in names(scene)
    assert scene.value("SELECT count(*) FROM position") == 2
    assert logged == [{"day": "2026-03-01"}]


@pytest.mark.asyncio
async def test_key_holds_in_every_partition(scene: Scene, worker: AsyncConnection) -> None:
    """A daily partition refuses the same report twice, as the default one does."""
    await ensure_partitions(worker, *window(NOON))
    await commit(worker, work(positions=positions(1)))
    with psycopg.connect(scene.conninfo) as conn, pytest.raises(errors.UniqueViolation):
        conn.execute("INSERT INTO position SELECT * FROM position")
