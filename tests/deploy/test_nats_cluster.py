"""Three real servers with deploy/nats/nats.conf: one log of three copies, roles that may do only theirs."""

from __future__ import annotations

import asyncio
import signal

import nats.errors
import pytest
from nats.js.errors import APIError

from gateway.log import Log
from gateway.log_watch import LogWatch
from gateway.nats_connection import connect
from tests.deploy.cluster import Cluster

# nats-py leaves the sockets of tries that fail (a server that is not up yet, or was killed) to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture
def cluster(tmp_path):
    one = Cluster(tmp_path)
    one.start()
    yield one
    one.stop()


async def until(condition, seconds=30.0):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.1)


async def test_a_log_of_three_copies(cluster):
    """The worker makes it with the replicas that the setting says; an append goes on when a server is killed, and the
    api's figures say that a copy is missing."""
    worker = await connect(cluster.url("worker"), "worker")
    stream = await Log(worker).create(2, 64 * 1024**2, 3)
    edge_client = await connect(cluster.url("edge", 1), "edge")
    edge = Log(edge_client)
    assert await edge.stream() == stream
    first = await edge.append(0, b"one", "x-1")
    api, watch = await connect(cluster.url("api", 2), "api"), LogWatch()

    async def copies(current: int, missing: int) -> bool:
        await watch.look(api)
        return watch.seen is not None and watch.seen["replicas"] == {"current": current, "missing": missing}

    await until(lambda: copies(3, 0))
    assert watch.seen is not None
    assert watch.seen["batches"] == {"0": 1}
    assert watch.seen["partitions"] == 2
    cluster.processes[0].send_signal(signal.SIGKILL)
    assert await edge.append(0, b"two", "x-2") > first
    await until(lambda: copies(2, 1))
    assert watch.trouble is None
    for client in (worker, edge_client, api):
        await client.close()


async def test_a_role_may_do_only_its_own(cluster):
    """An edge makes no stream and the api appends nothing; a wrong password gets no connection."""
    worker = await connect(cluster.url("worker"), "worker")
    await Log(worker).create(1, 64 * 1024**2, 3)
    edge = await connect(cluster.url("edge", 1), "edge")
    with pytest.raises((TimeoutError, nats.errors.Error, APIError)):
        await edge.jetstream(timeout=1).add_stream(name="OTHER", subjects=["other.*"])
    api = await connect(cluster.url("api", 2), "api")
    with pytest.raises((TimeoutError, nats.errors.Error)):
        await api.request("pos.0", b"forged", timeout=1)
    assert (await worker.jetstream().stream_info("POS")).state.messages == 0
    for client in (worker, edge, api):
        await client.close()
