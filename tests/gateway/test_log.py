"""The log adapter against a real nats-server: durable, in order, the same after a kill."""

from __future__ import annotations

import asyncio

import pytest

from gateway.log import Log, StreamChangedError
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets


@pytest.fixture
def server(tmp_path):
    one = NatsServer(tmp_path / "nats", load_secrets(tmp_path), 64 * 1024**2)
    one.start()
    yield one
    one.stop()


async def collect(reader, n):
    found = []
    for _ in range(50):
        found += await reader.gather(0.02, 1 << 20)
        if len(found) >= n:
            return found
    raise AssertionError(f"{len(found)} of {n} messages")


async def test_append_read_trim(server):
    """Appended batches are read in order from any offset; trimmed ones are gone; partitions don't mix."""
    client = await connect(server.url("worker"), "worker")
    log = Log(client)
    stream = await log.create(2, 64 * 1024**2)
    assert stream.partitions == 2
    assert await log.create(8, 64 * 1024**2) == stream, "an existing log keeps its partitions"
    edge_client = await connect(server.url("edge"), "edge")
    edge = Log(edge_client)
    first = [await edge.append(0, b"a%d" % i, f"x-{i}") for i in range(5)]
    await edge.append(1, b"other", "y-1")
    assert await edge.append(0, b"a4", "x-4") == first[4], "the same message id is the same message"
    reader = log.reader(0, 0, stream)
    assert [data for _, data in await collect(reader, 5)] == [b"a0", b"a1", b"a2", b"a3", b"a4"]
    await log.trim(0, first[2])
    again = log.reader(0, 0, stream)
    assert [seq for seq, _ in await collect(again, 2)] == first[3:]
    for one in (reader, again):
        await one.close()
    await client.close()
    await edge_client.close()


async def test_a_killed_server_loses_nothing(server):
    """kill -9 in the middle: append() waits and returns once the server is back; a reader goes on where it was."""
    client = await connect(server.url("worker"), "worker")
    log = Log(client)
    stream = await log.create(1, 64 * 1024**2)
    reader = log.reader(0, 0, stream)
    edge_client = await connect(server.url("edge"), "edge")
    edge = Log(edge_client)
    for i in range(3):
        await edge.append(0, b"%d" % i, f"m{i}")
    assert len(await collect(reader, 3)) == 3
    server.process.kill()
    server.process.wait()
    appending = asyncio.create_task(edge.append(0, b"3", "m3"))
    await asyncio.sleep(0.3)
    assert not appending.done()
    server.start()
    await asyncio.wait_for(appending, 15)
    assert [data for _, data in await collect(reader, 1)] == [b"3"]
    await reader.close()
    await client.close()
    await edge_client.close()


async def test_a_role_may_do_only_its_own(server):
    """An edge cannot create or delete streams, and nobody comes in without a password."""
    client = await connect(server.url("edge"), "edge")
    with pytest.raises(Exception, match=r"timeout|no responders|Timeout|permission"):
        await client.request("$JS.API.STREAM.DELETE.POS", b"", timeout=0.5)
    await client.close()
    with pytest.raises(Exception, match=r".*"):
        await asyncio.wait_for(connect(f"nats://127.0.0.1:{server.port}", "edge"), 1)


async def test_another_log_is_noticed(server):
    """A stream that was made again, or that lost its end, is never read as if it were the old one."""
    client = await connect(server.url("worker"), "worker")
    log = Log(client)
    stream = await log.create(1, 64 * 1024**2)
    with pytest.raises(StreamChangedError, match="ends at 0"):
        await log.reader(0, 5, stream).gather(0.01, 1)
    await client.jetstream().delete_stream("POS")
    await log.create(1, 64 * 1024**2)
    with pytest.raises(StreamChangedError, match="and is"):
        await log.reader(0, 0, stream).gather(0.01, 1)
    await client.close()


async def test_the_last_message_is_missed_too(server):
    """A delivery that is lost on the way, with none after it, is noticed by the consumer's next heartbeat and read again."""
    client = await connect(server.url("worker"), "worker")
    edge_client = await connect(server.url("edge"), "edge")
    log, edge = Log(client), Log(edge_client)
    reader = log.reader(0, 0, await log.create(1, 64 * 1024**2))
    hear, lost = reader._on_message, []

    async def deaf_once(message):
        if message.subject == "pos.0" and not lost:
            lost.append(message.data)
        else:
            await hear(message)

    reader._on_message = deaf_once
    assert not await reader.gather(0.02, 1 << 20)
    await edge.append(0, b"only", "x-1")
    assert [data for _, data in await collect(reader, 1)] == [b"only"]
    assert lost == [b"only"]
    await reader.close()
    await client.close()
    await edge_client.close()
