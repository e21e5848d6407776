"""Partitions move: worker processes share them fairly, and one that dies or hangs is replaced. Real processes, log, database."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ending import end
from gateway.worker import share as sharing
from gateway.worker.share import Share, fair
from gateway.worker.store import CONNECTION, SILENT_S, PostgresStore
from storage.errors import UnavailableError
from storage.membership import Standing
from tests.plugins.pipeline import owners
from tests.visited import ONE, OUT, route

if TYPE_CHECKING:
    from tests.plugins.pipeline import Pipeline

FOUR = pytest.mark.parametrize("pipeline", [4], indirect=True)
TWO = pytest.mark.parametrize("pipeline", [2], indirect=True)


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 40), min_size=1, max_size=30), st.integers(1, 64))
def test_shares_are_fair(owned, partitions):
    """They are all partitions, nobody has two more than another, and who has more already has the one more."""
    shares = fair(owned, partitions)
    assert sum(shares.values()) == partitions
    assert max(shares.values()) - min(shares.values()) <= 1
    most, least = max(owned, key=lambda one: (owned[one], -one)), min(owned, key=lambda one: (owned[one], -one))
    assert shares[most] >= shares[least]


@given(st.data())
def test_shares_come_to_rest(data):
    """Whoever comes and goes, some rounds later everything is owned, evenly, and nothing moves any more."""
    partitions = data.draw(st.integers(1, 16))
    owned: dict[int, set[int]] = {}
    shares: dict[int, Share] = {}
    names = iter(range(1, 99))

    def standing() -> Standing:
        return Standing(
            frozenset(number for mine in owned.values() for number in mine),
            {one: len(mine) for one, mine in owned.items()},
        )

    def one_round(me: int) -> bool:
        share = shares[me]
        share.see(me, standing())
        moved = False
        for number in sorted(owned[me]):
            if share.surplus(number):
                owned[me].discard(number)
                moved = True
        for number in sorted(share._wanted):
            if number not in standing().held:
                owned[me].add(number)
                share.taken(number)
                moved = True
        return moved

    for _ in range(data.draw(st.integers(1, 6))):
        if owned and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(owned)))
            del owned[gone], shares[gone]
        else:
            me = next(names)
            owned[me], shares[me] = set(), Share(None, partitions)  # type: ignore[arg-type]
        for me in data.draw(st.permutations(sorted(owned))):
            one_round(me)
    if not owned:
        return
    for _ in range(4):
        for me in sorted(owned):
            one_round(me)
    assert not any(one_round(me) for me in sorted(owned))
    counts = [len(mine) for mine in owned.values()]
    assert sum(counts) == partitions
    assert max(counts) - min(counts) <= 1


async def _spread(pipeline: Pipeline, said: dict[int, Any], wanted: list[int]) -> None:
    """Until the numbers of partitions of the workers are these, and nobody is in trouble."""

    def there() -> bool:
        counts = sorted(sum(pid == owner for _, owner in owners(said)) for pid in said)
        return counts == wanted and all(status["ready"] for status in said.values())

    await pipeline.until(there, 60)


@FOUR
async def test_workers_come_and_go(pipeline):
    """Each of one, two and three workers has its share; who ends leaves it to the others; nothing is lost or stored twice
    on the way, in order.
    """
    async with pipeline.health() as said:
        first = pipeline.start_worker()
        await _spread(pipeline, said, [4])
        sent = 0

        async def report() -> None:
            nonlocal sent
            while True:
                for partition in range(4):
                    await pipeline.append(route(ONE + partition, [OUT] * 2, start=60 * sent), partition)
                sent += 1
                await asyncio.sleep(0.05)

        reporting = asyncio.create_task(report())
        second = pipeline.start_worker()
        await _spread(pipeline, said, [2, 2])
        pipeline.start_worker()
        await _spread(pipeline, said, [1, 1, 2])
        first.terminate()
        await asyncio.to_thread(first.wait, 20)
        said.pop(first.pid)
        await _spread(pipeline, said, [2, 2])
        second.kill()
        said.pop(second.pid, None)
        await pipeline.until(lambda: sum(pid != second.pid for _, pid in owners(said)) == 4, 30)
        await end(reporting)
        batches = sum(pipeline._numbers.values())
        await pipeline.until_stored(2 * batches)
    assert pipeline.query("SELECT sum(stored), sum(duplicate) FROM log_offset") == [(2 * batches, 0)]


@TWO
async def test_a_dead_workers_partitions_move_at_once(pipeline):
    """kill -9: its partition is the other's, and decides again, within a second on an idle machine."""
    async with pipeline.health() as said:
        workers = [pipeline.start_worker(), pipeline.start_worker()]
        await _spread(pipeline, said, [1, 1])
        for partition in range(2):
            await pipeline.append(route(ONE + partition, [OUT] * 5), partition)
        await pipeline.until_stored(10)
        gone = min(number for number, pid in owners(said) if pid == workers[0].pid)
        workers[0].kill()
        begun = time.monotonic()
        await pipeline.append(route(ONE + gone, [OUT] * 5, start=600), gone)
        await pipeline.until_stored(15)
        took = time.monotonic() - begun
    assert took < 10


@TWO
async def test_a_zombie_cannot_commit(pipeline):
    """SIGSTOP, its sessions ended, another worker takes over, SIGCONT: what it still holds is not written, and the other
    goes on; each report is stored once.
    """
    async with pipeline.health() as said:
        zombie = pipeline.start_worker()
        await _spread(pipeline, said, [2])
        await pipeline.append(route(ONE, [OUT] * 5))
        await pipeline.until_stored(5)
        os.kill(zombie.pid, signal.SIGSTOP)
        await pipeline.append(route(ONE, [OUT] * 5, start=600))  # on its way to the zombie already
        ended = pipeline.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lezgate-worker%'",
            database=pipeline.worker_database,
        )
        assert len(ended) == 3, "the process's own session, and one for each partition"
        other = pipeline.start_worker()
        await pipeline.until_stored(10)
        await pipeline.until(lambda: other.pid in said and len(list(owners({other.pid: said[other.pid]}))) == 2)
        os.kill(zombie.pid, signal.SIGCONT)
        await _spread(pipeline, said, [1, 1])
        for partition in range(2):
            await pipeline.append(route(ONE + partition, [OUT] * 5, start=1200), partition)
        await pipeline.until_stored(20)
    assert pipeline.query("SELECT sum(stored), sum(duplicate) FROM log_offset") == [(20, 0)]


async def test_a_worker_that_hangs_loses_its_partitions(worker_database, monkeypatch):
    """Nobody ends its sessions here: the server does, once they have been silent for SILENT_S (a second, here)."""
    options = CONNECTION["options"].replace(f"idle_session_timeout={SILENT_S}s", "idle_session_timeout=1s")
    monkeypatch.setitem(CONNECTION, "options", options)
    hung, other = PostgresStore(worker_database), PostgresStore(worker_database)
    async with hung.session(0) as first, other.session(0) as second, hung.member() as member:
        assert await first.lock()
        assert not await second.lock()
        assert list((await member.look()).owned.values()) == [1]
        async with asyncio.timeout(30):
            while not await second.lock():  # noqa: ASYNC110  it speaks all the time, and the first one does not
                await asyncio.sleep(0.1)
        with pytest.raises(UnavailableError):
            await first.ping()


async def test_who_cannot_follow_the_log_is_no_member(worker_database, monkeypatch):
    """It gives up what it has, and is counted again once it can: nobody leaves a share to somebody who cannot take it."""
    monkeypatch.setattr(sharing, "UNABLE_S", 0.2)
    monkeypatch.setattr(sharing, "LOOK_ALONE_S", 0.05)
    able = True
    store, other = PostgresStore(worker_database), PostgresStore(worker_database)
    share = Share(store, 2, lambda: able)
    running = asyncio.create_task(share.run())

    async def until(condition: Any) -> None:
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30), other.member() as member:

        async def counted() -> bool:
            return store._member in (await member.look()).owned

        async def wants() -> bool:
            return bool(share._wanted)

        async def left() -> bool:
            return not await counted()

        await until(wants)
        number = min(share._wanted)
        share.taken(number)
        assert await counted()
        assert not share.surplus(number)
        able = False
        await until(left)
        assert share.surplus(number)
        assert not share.surplus(number)
        able = True
        await until(counted)
        await until(wants)
    await end(running)
