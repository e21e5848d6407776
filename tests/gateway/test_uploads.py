"""Uploads: nothing is said about a file before the store and then the log have it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from columns.identity import device_of
from gateway.edge import uploads as uploads_module
from protocols.jt808 import terminal
from storage.blobs import BlobStoreError

A = "13811111111"
NOW = 1_743_125_415_000_000
DATA = bytes(range(256)) * 8
HEAD = bytes.fromhex("0000000a00000101")
PICTURE = HEAD + terminal.location(NOW, 115.985420, 36.453120) + DATA


class Store:
    """The bench's own folder, whose door is shut while ``open`` is not set, or whose disk has failed."""

    def __init__(self, store) -> None:
        self.store = store
        self.open = asyncio.Event()
        self.failed = False

    async def put(self, data: bytes) -> str:
        await self.open.wait()
        if self.failed:
            raise BlobStoreError("no space left")
        return await self.store.put(data)


@pytest.fixture
def shut(edge_bench):
    """Makes a Bench whose store waits to be opened."""

    def make():
        bench = edge_bench()
        bench.hub.uploads._blobs = bench.store = Store(bench.hub.uploads._blobs)
        return bench

    return make


async def stored(bench) -> None:
    bench.hub.flush()
    bench.store.open.set()
    await asyncio.gather(*bench.jobs)
    await bench.settle()


def answers(one) -> list[bytes]:
    """The bodies of 0x8800."""
    return [packet.body for packet in one.heard if packet.message == 0x8800]


@pytest.mark.parametrize("in_parts", [True, False])
async def test_store_then_log_then_answer(shut, in_parts):
    """0x8800 only after both; the record names the file by its SHA-256, under which it is read back."""
    bench = shut()
    one = await bench.known(A)
    body = PICTURE if in_parts else PICTURE[:900]
    frames = one.parts(0x0801, body) if in_parts else [one.frame(0x0801, body)]
    one.say(*frames)
    await bench.settle()
    assert len(one.results(0x0801)) == len(frames) - 1
    assert (answers(one), bench.log.records[1:]) == ([], [])
    bench.log.open.clear()
    bench.store.open.set()
    await asyncio.gather(*bench.jobs)
    assert answers(one) == []
    bench.log.open.set()
    await bench.settle()
    assert answers(one) == [bytes.fromhex("0000000a")]
    sha256 = hashlib.sha256(body[36:]).hexdigest()
    record = bench.log.records[-1]
    assert (record["event"], record["sha256"], record["device"]) == ("media", sha256, device_of(A))
    assert (record["media_id"], record["size"], record["device_time"]) == (10, len(body) - 36, NOW)
    assert await bench.store.store.get(sha256) == body[36:]
    assert bench.hub.uploads._waiting == bench.hub.appender.pending == 0


async def test_a_repeat_waits_for_the_file(shut):
    """Parts that come again while the store is slow are no success: 0x8800 is the answer. Later they are."""
    bench = shut()
    one = await bench.known(A)
    parts = one.parts(0x0801, PICTURE)
    one.say(*parts)
    await bench.settle()
    one.say(parts[-1], parts[0])
    await bench.settle()
    assert len(one.results(0x0801)) == len(parts) - 1
    await stored(bench)
    assert len(answers(one)) == 1
    one.say(parts[-1])
    await bench.settle()
    assert len(one.results(0x0801)) == len(parts)
    assert len([record for record in bench.log.records if record["event"] == "media"]) == 1


async def test_a_failed_store_is_no_success_and_the_picture_comes_again(shut):
    """Nothing is recorded or answered; sent again, it is gathered, stored and answered."""
    bench = shut()
    one = await bench.known(A)
    parts = one.parts(0x0801, PICTURE)
    one.say(*parts)
    await bench.settle()
    bench.store.failed = True
    await stored(bench)
    assert (answers(one), len(bench.log.records), bench.hub.counts["uploads_failed"]) == ([], 1, 1)
    bench.store.failed = False
    bench.jobs.clear()
    one.say(*parts)
    await stored(bench)
    assert len(answers(one)) == 1
    assert bench.hub.uploads._waiting == 0


async def test_what_waits_for_the_store_is_bounded(shut, monkeypatch):
    """Beyond the bound a file is refused without an answer, and taken when there is room again."""
    monkeypatch.setattr(uploads_module, "MOST_BYTES", len(DATA) + 100)
    bench = shut()
    one, other = await bench.known(A), await bench.known("13822222222")
    one.say(*one.parts(0x0801, PICTURE))
    parts = other.parts(0x0801, PICTURE)
    other.say(*parts)
    await bench.settle()
    assert bench.hub.counts["uploads_failed"] == 1
    await stored(bench)
    assert (len(answers(one)), len(answers(other))) == (1, 0)
    other.say(*parts)
    await stored(bench)
    assert len(answers(other)) == 1


async def test_who_hangs_up_meanwhile(shut):
    """The file is stored and recorded all the same; the slot's next tenant hears nothing of it."""
    bench = shut()
    one = await bench.known(A)
    one.say(*one.parts(0x0801, PICTURE))
    await bench.settle()
    one.lost()
    other = bench.caller("13822222222")
    await stored(bench)
    assert bench.log.records[-1]["event"] == "media"
    assert other.transport.written == b""


async def test_a_store_that_raises_anything_else_ends_the_job(shut):
    """So that the edge hears of it (and ends); nothing is acknowledged, and no bytes are counted as waiting."""
    bench = shut()
    one = await bench.known(A)

    async def put(_data):
        raise ZeroDivisionError("ours")

    bench.store.put = put
    one.say(*one.parts(0x0801, PICTURE))
    bench.hub.flush()
    done = await asyncio.gather(*bench.jobs, return_exceptions=True)
    assert [type(each) for each in done] == [ZeroDivisionError]
    assert (answers(one), bench.hub.uploads._waiting) == ([], 0)
