"""Nothing is skipped: where the log lacks acknowledged batches its partition stops, says so, and goes on when somebody says so."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING

import psycopg

from columns.batch import Batch, DeadLetters, encode
from columns.positions import Positions
from gateway.log import NAME, Log
from gateway.worker.decision import gather
from gateway.worker.gaps import MOST_BOOTS, UNREAD, Gap
from tests.plugins.pipeline import BOOT, LEZGATE, LOG_BYTES, Pipeline
from tests.visited import ONE, OUT, route

if TYPE_CHECKING:
    from gateway.worker.partition import Partition
    from storage.embedded import EmbeddedPostgres


def batch(boot: str, number: int) -> bytes:
    return encode(Batch(boot, number, "jt808", Positions.empty(), DeadLetters.empty()))


def rows(start: int) -> Positions:
    return route(ONE, [OUT] * 5, start=600 * start)


async def stopped(pipeline: Pipeline, partition: Partition, text: str) -> str:
    trouble: str = await pipeline.until(lambda: partition.trouble if text in (partition.trouble or "") else None)
    assert " | " in trouble
    assert "accept-loss --partition 0" in trouble
    return trouble


async def accept_loss(pipeline: Pipeline, *more: str) -> str:
    """The command, as somebody would type it."""
    done = await asyncio.to_thread(
        subprocess.run, [LEZGATE, "log", "accept-loss", "--partition", "0", *more],
        env=pipeline.environment(pipeline.database), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == (0 if "--yes" in more else 2), done.stderr
    return done.stdout


async def test_a_missing_batch_stops_its_partition(pipeline: Pipeline) -> None:
    """What is before it is stored, nothing behind it, until it is given up; the command says what, and the audit who."""
    await pipeline.append(rows(0))
    await pipeline.append(rows(1), number=4)
    await pipeline.append(rows(2), boot="c0" * 8)
    async with pipeline.partition() as partition:
        trouble = await stopped(pipeline, partition, "lacks 2 acknowledged batches of partition 0")
        assert f"edge {BOOT} goes on from 1 to 4" in trouble
        assert pipeline.query("SELECT count(*) FROM position") == [(0,)], "it is one gather, taken whole or not at all"
        assert "are given up" in await accept_loss(pipeline)
        assert pipeline.query("SELECT accepted FROM log_offset") == [(0,)]
        await accept_loss(pipeline, "--yes")
        await pipeline.until_stored(15)
        await pipeline.until(lambda: partition.trouble is None)
        await pipeline.append(rows(3), number=7)
        await stopped(pipeline, partition, "lacks 2")
    assert pipeline.query("SELECT action, detail -> 'accepted' FROM audit") == [("log.accept_loss", 3)]
    assert pipeline.query("SELECT stored, duplicate FROM log_offset") == [(15, 0)]


async def test_a_database_restored_from_a_backup(pipeline: Pipeline, postgres_server: EmbeddedPostgres) -> None:
    """It lacks what the log was trimmed of since: nothing is decided upon the hole, whoever wrote what is missing."""
    name = psycopg.conninfo.conninfo_to_dict(pipeline.database)["dbname"]
    await pipeline.append(rows(0))
    async with pipeline.partition():
        await pipeline.until_stored(5)
    server = postgres_server.url("superuser", "postgres")
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}_backup TEMPLATE {name} OWNER lezgate_owner")
    try:
        trimmed = await pipeline.append(rows(1))
        async with pipeline.partition() as partition:
            await pipeline.until(lambda: partition.sequence == trimmed)
        await Log(pipeline.client).trim(0, trimmed)
        await pipeline.append(rows(2), boot="c0" * 8)  # numbers of its own
        await pipeline.append(rows(3))
        older = pipeline.worker_database.replace(f"/{name}", f"/{name}_backup")
        async with pipeline.partition(database=older) as partition:
            await stopped(pipeline, partition, "was trimmed behind the offset 1")
            assert pipeline.query("SELECT count(*) FROM position", database=older) == [(5,)]
    finally:
        with psycopg.connect(server, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name}_backup WITH (FORCE)")


async def test_a_stream_that_was_made_again(pipeline: Pipeline) -> None:
    """The worker stops before it reads; once it is accepted all that the new one has is stored, and what was stored stays."""
    await pipeline.append(rows(0))
    async with pipeline.partition() as partition:
        await pipeline.until_stored(5)
        await pipeline.client.jetstream().delete_stream(NAME)
        await Log(pipeline.client).create(1, LOG_BYTES)
        await pipeline.append(rows(1), number=3)  # 2 was acknowledged by the lost one
        await stopped(pipeline, partition, "made anew")
        assert pipeline.query("SELECT count(*) FROM position") == [(5,)]
        await accept_loss(pipeline, "--yes")
        await pipeline.until_stored(10)
        await pipeline.append(rows(2), boot="c0" * 8, number=9)  # an edge that was silent until now
        await pipeline.until_stored(15)
    assert pipeline.query("SELECT stored, duplicate FROM log_offset") == [(15, 0)]


async def test_a_log_that_lost_its_end(pipeline: Pipeline) -> None:
    """nats-server's directory is restored from an older copy: the same stream, and shorter than the offset. What comes after,
    at places that the offset has passed, is not skipped.
    """
    store = pipeline.server.directory
    await pipeline.append(rows(0))
    await asyncio.to_thread(pipeline.server.stop)
    shutil.copytree(store, f"{store}.copy")
    pipeline.server.start()
    await pipeline.append(rows(1))
    async with pipeline.partition() as partition:
        await pipeline.until_stored(10)
        await asyncio.to_thread(pipeline.server.stop)
        shutil.rmtree(store)
        shutil.move(f"{store}.copy", store)
        pipeline.server.start()
        await pipeline.until(lambda: "ends at 1" in (partition.trouble or ""))
        await pipeline.append(rows(2))
        await pipeline.append(rows(3))
        await stopped(pipeline, partition, "lacks 1")
        assert pipeline.query("SELECT count(*) FROM position") == [(10,)]
        await accept_loss(pipeline, "--yes")
        await pipeline.until_stored(20)


def test_a_boot_that_was_forgotten_is_no_gap() -> None:
    """A boot among MOST_BOOTS others may have been heard long ago; below that, one that does not begin at 1 is a gap."""
    few = {f"{n:016x}": 5 for n in range(MOST_BOOTS - 1)}
    assert gather([(9, batch("old", 4))], few).gaps == (Gap(9, "old", 0, 4),)
    assert gather([(9, batch("old", 4))], {**few, "one": 1}).gaps == ()
    assert gather([(9, batch("one", 3))], {**few, "one": 1}).gaps == (Gap(9, "one", 1, 3),)


def test_numbers_of_messages_that_did_not_read_are_missed_by_nobody() -> None:
    """As many as there were: a message that did not read had somebody's next number."""
    read = gather([(1, batch("a", 1)), (2, b"no batch"), (3, b"nor this"), (4, batch("a", 3))], {})
    assert (read.gaps, read.boots) == ((), {"a": 3, UNREAD: 1})
    assert gather([(5, batch("b", 2))], read.boots).gaps == ()
    assert gather([(5, batch("b", 3))], read.boots).gaps == (Gap(5, "b", 0, 3),)


def test_batches_that_come_again_are_no_gap() -> None:
    """Dropped by their number, in whatever order."""
    read = gather([(n, batch("a", number)) for n, number in enumerate([1, 2, 3, 2, 1, 3, 4])], {})
    assert (read.gaps, read.boots) == ((), {"a": 4})
