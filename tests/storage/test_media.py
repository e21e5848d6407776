"""Media records become rows: once, whatever is sent or read again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from columns.batch import Batch, DeadLetters, decode, encode
from columns.positions import Positions
from storage.commit import commit
from tests.storage.rows import NOON, SECOND, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio


def record(**changes: Any) -> dict[str, Any]:
    """As an edge appends it for a picture of device 7."""
    return {
        "event": "media", "time": NOON, "identity": "13800000007", "phone": "013800000007", "edition": "2013",
        "device": 7, "received": NOON, "media_id": 4_294_967_295, "kind": 0, "format": 0, "trigger": 1, "channel": 2,
        "size": 1000, "sha256": "ab" * 32, "lon": 117.12, "lat": -36.65, "device_time": NOON - 60 * SECOND, **changes,
    }  # fmt: skip


async def test_a_record_is_a_row(scene: Scene, worker: AsyncConnection) -> None:
    """All that it says, through the log, positions in 1e-6 degrees; other records of the batch do not disturb."""
    sessions = [record(), {"event": "left", "identity": "1", "device": 1}]
    logged = decode(encode(Batch("boot", 1, "jt808", Positions.empty(), DeadLetters.empty(), sessions)))
    await commit(worker, work(sessions=logged.sessions))
    assert scene.query(
        "SELECT device, media_id, sha256, size, kind, format, trigger, channel, received, time, lon, lat, at FROM media"
    ) == [
        (7, 4_294_967_295, "ab" * 32, 1000, 0, 0, 1, 2, datetime(2026, 3, 1, 12, tzinfo=UTC),
         datetime(2026, 3, 1, 11, 59, tzinfo=UTC), 117_120_000, -36_650_000, datetime(2026, 3, 1, 11, 59, tzinfo=UTC)),
    ]  # fmt: skip


async def test_an_upload_is_one_row(scene: Scene, worker: AsyncConnection) -> None:
    """Sent again in the same batch, in a later one, and without a time or a place; another id, time or content is another."""
    bare = record(device_time=None, lon=None, lat=None)
    await commit(worker, work(sessions=[record(), record(time=NOON + SECOND), bare]))
    await commit(worker, work(previous=10, sequence=11, sessions=[record(time=NOON + 2 * SECOND), bare]))
    assert scene.query("SELECT received = '2026-03-01 12:00Z', lon, at = received FROM media ORDER BY id") == [
        (True, 117_120_000, False), (True, None, True),
    ]  # fmt: skip
    others = [record(media_id=1), record(device_time=NOON), record(sha256="cd" * 32), record(device=8)]
    await commit(worker, work(previous=11, sequence=12, sessions=others))
    assert scene.value("SELECT count(*) FROM media") == 6


async def test_reserved_codes_are_kept(scene: Scene, worker: AsyncConnection) -> None:
    """A terminal may send any byte; it stops no partition."""
    await commit(worker, work(sessions=[record(kind=255, format=255, trigger=255, channel=255, lon=None)]))
    assert scene.query("SELECT kind, format, trigger, channel, lon, lat FROM media") == [
        (255, 255, 255, 255, None, None)
    ]
