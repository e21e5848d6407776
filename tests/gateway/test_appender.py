"""The appender: batches bounded by bytes, memory charged and given back, and no partition that dies unseen."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from nats.errors import MaxPayloadError

from columns.batch import encode
from columns.positions import Positions
from gateway.edge.appender import Appender
from gateway.edge.part import MAX_BYTES, ROW_BYTES, Gathering, Part, batch, pieces
from gateway.log import Log
from tests.plugins.edge import FakeLog

HEADER = 4096


def part(records: int, length: int = 1000) -> Part:
    one = Part()
    for _ in range(records):
        one.record({"text": "x" * length})
    return one


def make(log, partitions=1):
    stored, ended = [], []
    return Appender(log, partitions, stored.append, ended.append), stored, ended


def test_a_rows_bytes_are_what_the_log_takes():
    """ROW_BYTES agrees with what columns.batch writes: 71 bytes a row."""
    columns = {name: getattr(Positions.empty(), name) for name in Positions.__dataclass_fields__ if name != "extras"}
    extras = type(Positions.empty().extras).empty(1000)
    rows = Positions(**{name: np.zeros(1000, column.dtype) for name, column in columns.items()}, extras=extras)
    size = len(encode(batch("b", 1, [Part(rows)], {})))
    assert 0 < size - 1000 * ROW_BYTES < HEADER
    assert ROW_BYTES == 71


def test_a_part_knows_its_bytes():
    """Records and letters count as they are written; replies are memory alone."""
    one = Part()
    one.record({"maker": "环", "n": 1})
    one.letter(1, 2, 3, bytes(2000))
    one.reply(0, 1, bytes(30))
    assert 0 <= len(encode(batch("b", 1, [one], {}))) - one.size < 400
    assert one.held == 30


async def test_batches_are_bounded_by_bytes():
    """However large parts are: a batch has 256 KiB, or one part."""
    log = FakeLog()
    appender, stored, _ = make(log)
    parts = [part(100) for _ in range(20)]
    for one in parts:
        appender.add(0, one)
    assert appender.pending > 2_000_000
    await appender.close()
    assert stored == parts
    assert max(len(data) for _, data, _ in log.messages) <= MAX_BYTES + HEADER
    assert len(log.messages) == 10, "and not one batch for each part"
    assert [one.number for one in log.batches] == list(range(1, 11))
    assert appender.pending == 0


async def test_what_one_linger_gathers_is_cut():
    """Ten thousand records of one linger are several parts, none above a batch by more than a record."""
    parts = []
    gathering = Gathering(lambda _, one: parts.append(one))
    for i in range(10_000):
        gathering.part(0).record({"i": i, "text": "x" * 100})
    gathering.finish()
    assert max(one.size for one in parts) < MAX_BYTES + 200
    assert [record["i"] for one in parts for record in one.records] == list(range(10_000))


@pytest.mark.parametrize("sizes", [[], [0], [1], [MAX_BYTES], [MAX_BYTES, 1], [0, 0], [100_000] * 10, [3500] * 300])
def test_pieces(sizes):
    """Pieces cover everything in order; one is at most a batch and one thing long."""
    sizes = np.array(sizes, np.int64)
    first = pieces(sizes)
    assert first.tolist() == sorted(set(first.tolist()))
    assert first.tolist()[:1] == [0] * bool(len(sizes))
    bounds = [*first.tolist(), len(sizes)]
    for begin, end in pairwise(bounds):
        assert sizes[begin:end].sum() <= MAX_BYTES + max(sizes, default=0)


async def test_a_smaller_server_gets_smaller_batches():
    """Where the server refuses a batch as too large it is halved, under the same number, and no count is lost."""
    log = FakeLog()
    log.errors = [MaxPayloadError(), MaxPayloadError()]
    appender, stored, ended = make(log)
    appender.rejected["noise"] = 7
    parts = [part(50) for _ in range(4)]
    for one in parts:
        appender.add(0, one)
    await appender.close()
    await asyncio.sleep(0)
    assert stored == parts
    assert [one.number for one in log.batches] == [1, 2, 3, 4]
    assert sum(one.rejected.get("noise", 0) for one in log.batches) == 7
    assert [task.exception() for task in ended] == [None]


async def test_a_failed_partition_is_told_and_close_returns():
    """Whatever ends a partition's task is handed on, and waiting for it neither spins nor hangs."""
    log = FakeLog()
    log.errors = [ZeroDivisionError("ours")]
    appender, stored, ended = make(log, 2)
    appender.add(0, part(1))
    appender.add(1, part(1))
    await asyncio.wait_for(appender.close(), 2)
    await asyncio.sleep(0)
    assert sorted(repr(task.exception()) for task in ended) == ["None", "ZeroDivisionError('ours')"]
    assert len(stored) == 1
    appender.add(0, part(1))  # after that: nothing is appended out of order, and closing still ends
    await asyncio.wait_for(appender.close(), 2)
    assert len(log.messages) == 1


async def test_one_part_that_the_server_never_takes_is_told():
    """It cannot be halved: the task ends, and does not try for ever."""
    log = FakeLog()
    log.errors = [MaxPayloadError()]
    appender, _, ended = make(log)
    appender.add(0, part(1))
    await asyncio.wait_for(appender.close(), 2)
    await asyncio.sleep(0)
    assert isinstance(ended[0].exception(), MaxPayloadError)


async def test_the_log_says_that_a_batch_is_too_large():
    """Log.append retries what may pass later, and raises what never will."""

    class Client:
        is_connected = True

        def jetstream(self, timeout):
            return None

        async def request(self, *_, **__):
            raise MaxPayloadError

    with pytest.raises(MaxPayloadError):
        await asyncio.wait_for(Log(Client()).append(0, b"", "x-1"), 2)
