"""What terminals say becomes rows: each message once, whatever is sent or read again, and only so many."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from columns.batch import Batch, DeadLetters, decode, encode
from columns.positions import Positions
from gateway.worker.main import bound_messages
from gateway.worker.terminal_messages import read
from storage import terminal_messages
from storage.commit import commit
from storage.terminal_messages import trim
from tests.storage.rows import NOON, SECOND, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio

MINUTE = 60 * SECOND


def record(**changes: Any) -> dict[str, Any]:
    """As an edge appends it for an event of device 7."""
    return {
        "event": "message", "time": NOON, "identity": "13800000007", "phone": "013800000007", "edition": "2013",
        "device": 7, "received": NOON, "message": 0x0301, "serial": 65535, "body": "03", **changes,
    }  # fmt: skip


def said(*records: dict[str, Any]) -> list[Any]:
    """As the worker hands them over, through the log."""
    logged = decode(encode(Batch("boot", 1, "jt808", Positions.empty(), DeadLetters.empty(), list(records))))
    return list(read(logged.sessions))


def many(n: int, **changes: Any) -> list[dict[str, Any]]:
    """A second apart, each with its own serial."""
    return [record(time=NOON + i * SECOND, serial=i % 65536, **changes) for i in range(n)]


async def test_a_record_is_a_row(scene: Scene, worker: AsyncConnection) -> None:
    """The bytes, the values, or why there are none; other records of the batch do not disturb."""
    await commit(worker, work(sessions=said(record(), {"event": "left", "identity": "1", "device": 1},
                                            record(message=0x0302, body="00", edition="2011"),
                                            record(message=0xE001, body="c0ffee", edition="2019"))))  # fmt: skip
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = scene.query(
        "SELECT device, message, serial, received, edition, body, said FROM terminal_message ORDER BY id"
    )
    assert rows == [
        (7, 0x0301, 65535, noon, "2013", b"\x03", {"id": 3}),
        (7, 0x0302, 65535, noon, "2011", b"\x00", None),
        (7, 0xE001, 65535, noon, "2019", b"\xc0\xff\xee", {"hex": "c0ffee", "range": "vendor"}),
    ]
    first, second, third = scene.query("SELECT reason FROM terminal_message ORDER BY id")
    assert (first, third) == ((None,), (None,))
    assert "bytes needed" in second[0]


async def test_no_byte_stops_a_partition(scene: Scene, worker: AsyncConnection) -> None:
    """Texts of zeros and of bytes that are no GBK, as values and as names, are stored."""
    bodies = [bytes(100), b"\xff" * 100, b"\x01\x08a\x00\x81b\xff\x00\\u0000"]
    records = [
        record(message=message, serial=i, body=body.hex(), edition=edition)
        for message in (0x0104, 0x0107, 0x0702, 0x0701, 0x0900, 0x0901, 0x0800, 0x0A00, 0x0000, 0xFFFF)
        for i, body in enumerate(bodies)
        for edition in ("2011", "2019")
    ]
    await commit(worker, work(sessions=said(*records)))
    assert scene.value("SELECT count(*) FROM terminal_message") == len(records) // 2  # the editions sent the same


async def test_a_message_sent_again_is_one_row(scene: Scene, worker: AsyncConnection) -> None:
    """In the same batch or a later one, up to ten minutes after the first; the batches make no difference."""
    times = [0, 1, 9, 10, 19, 20]  # the fourth is a new one, and the sixth
    records = [record(time=NOON + minutes * MINUTE) for minutes in times]
    await commit(worker, work(sessions=said(*records)))
    alone = [record(time=NOON + minutes * MINUTE, device=8) for minutes in times]
    for i, one in enumerate(alone):
        await commit(worker, work(previous=10 + i, sequence=11 + i, sessions=said(one)))
    for device in (7, 8):
        assert scene.query(
            "SELECT extract(minute FROM received AT TIME ZONE 'UTC')::int FROM terminal_message"
            f" WHERE device = {device} ORDER BY id"
        ) == [(0,), (10,), (20,)]


async def test_what_differs_is_another_message(scene: Scene, worker: AsyncConnection) -> None:
    """Another device, id, serial or body, at the same time."""
    others = [record(), record(device=8), record(message=0x0302), record(serial=1), record(body="04")]
    await commit(worker, work(sessions=said(*others)))
    assert scene.value("SELECT count(*) FROM terminal_message") == 5


async def test_a_batch_that_is_read_again_adds_nothing(scene: Scene, worker: AsyncConnection) -> None:
    """After a crash between commit and answer the same records come with the same times."""
    sessions = said(*many(50))
    await commit(worker, work(sessions=sessions))
    await commit(worker, work(previous=10, sequence=11, sessions=sessions))
    assert scene.value("SELECT count(*) FROM terminal_message") == 50


async def test_the_newest_of_each_kind_are_kept(
    scene: Scene, worker: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By receipt; per terminal and id, whose bound is their own. What got nothing new since is not looked at."""
    monkeypatch.setattr(terminal_messages, "MOST_KEPT", 3)
    late_first = [*many(5)[::-1], *many(4, message=0x0302, body="0102"), *many(3, device=8), *many(1, device=9)]
    await commit(worker, work(sessions=said(*late_first)))
    newest = await trim(worker, 0)
    assert newest == scene.value("SELECT max(id) FROM terminal_message")
    kept = "SELECT device, message, array_agg(serial ORDER BY serial) FROM terminal_message GROUP BY 1, 2 ORDER BY 1, 2"
    assert scene.query(kept) == [
        (7, 0x0301, [2, 3, 4]), (7, 0x0302, [1, 2, 3]), (8, 0x0301, [0, 1, 2]), (9, 0x0301, [0]),
    ]  # fmt: skip
    monkeypatch.setattr(terminal_messages, "MOST_KEPT", 1)
    await commit(worker, work(previous=10, sequence=11, sessions=said(record(device=9, time=NOON + MINUTE))))
    assert await trim(worker, newest) == newest + 1
    assert scene.query(kept) == [
        (7, 0x0301, [2, 3, 4]), (7, 0x0302, [1, 2, 3]), (8, 0x0301, [0, 1, 2]), (9, 0x0301, [65535]),
    ]  # fmt: skip


async def test_the_bound_is_a_thousand(scene: Scene, worker: AsyncConnection) -> None:
    """As it stands, with nothing made smaller; an empty table is no error."""
    assert await trim(worker, 0) == 0
    await commit(worker, work(sessions=said(*many(1002))))
    await trim(worker, 0)
    assert scene.query("SELECT count(*), min(serial) FROM terminal_message") == [(1000, 2)]


@pytest.mark.plain("two sessions at once")
async def test_one_worker_trims_at_a_time(
    scene: Scene, worker: AsyncConnection, worker_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another leaves it alone, and does not believe that it was done."""
    monkeypatch.setattr(terminal_messages, "MOST_KEPT", 1)
    await commit(worker, work(sessions=said(*many(2))))
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(808002)")
        assert await trim(worker, 0) is None
        assert scene.value("SELECT count(*) FROM terminal_message") == 2


@pytest.mark.plain("a worker of its own prepares statements")
async def test_a_worker_trims_by_itself(
    scene: Scene, worker: AsyncConnection, worker_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it starts, and again after a while: what came since its last round."""
    monkeypatch.setattr(terminal_messages, "MOST_KEPT", 2)
    monkeypatch.setattr("gateway.worker.main.CHORES_EVERY_S", 0.05)
    job = asyncio.create_task(bound_messages(worker_database))
    try:
        for i in range(3):
            sessions = said(*many(5, body=f"0{i}"))
            await commit(worker, work(previous=10 * i, sequence=10 * (i + 1), sessions=sessions))
            async with asyncio.timeout(10):
                while scene.value("SELECT count(*) FROM terminal_message") > 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    finally:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job
