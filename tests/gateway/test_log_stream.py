"""The stream as create() makes and leaves it, and a connection that is lost for good."""

from __future__ import annotations

import asyncio
import os

import pytest
from nats.js.errors import ServerError

from gateway.log import NAME, Log
from gateway.nats_connection import connect, servers
from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets

SIZE = 64 * 1024**2


@pytest.fixture
def server(tmp_path):
    one = NatsServer(tmp_path / "nats", load_secrets(tmp_path), SIZE)
    one.start()
    yield one
    one.stop()


def test_servers_of_a_setting():
    """Several, with or without a port; who we are is said once, for the servers that a cluster tells of too."""
    assert servers("nats://h:4222") == (["nats://h:4222"], {})
    assert servers("nats://edge:a%2Cb@one:1, nats://two:2,tls://three:3") == (
        ["nats://one:1", "nats://two:2", "tls://three:3"], {"user": "edge", "password": "a,b"},
    )  # fmt: skip
    assert servers("nats://token@one:1") == (["nats://one:1"], {"token": "token"})


async def test_another_size_changes_nothing_else(server):
    """What an operator did to the stream stays: only its size limit follows the setting."""
    client = await connect(server.url("worker"), "worker")
    log = Log(client)
    stream = await log.create(3, SIZE)
    jetstream = client.jetstream()
    found = (await jetstream.stream_info(NAME)).config
    await jetstream.update_stream(found.evolve(description="ours", duplicate_window=60))
    assert await log.create(8, SIZE // 2, 1) == stream
    config = (await jetstream.stream_info(NAME)).config
    assert (config.max_bytes, config.description, config.duplicate_window) == (SIZE // 2, "ours", 60)
    assert config.subjects == ["pos.*"]
    await client.close()


async def test_a_refused_stream_is_tried_again(server, monkeypatch):
    """A cluster without a leader, a lost answer: create() goes on until the stream is there, with the copies asked for."""
    client = await connect(server.url("worker"), "worker")
    log = Log(client)
    troubles = [TimeoutError(), ServerError(code=500, description="no leader")]
    asked = []
    add = log._jetstream.add_stream

    async def add_stream(config):
        asked.append(config)
        if troubles:
            raise troubles.pop()
        return await add(config.evolve(num_replicas=1))  # this server is no cluster

    monkeypatch.setattr(log._jetstream, "add_stream", add_stream)
    stream = await log.create(2, SIZE, 3)
    assert (stream.partitions, log.trouble) == (2, None)
    assert [config.num_replicas for config in asked] == [3, 3, 3]
    await client.close()


async def test_a_connection_that_is_lost_for_good_ends_the_process(server, monkeypatch):
    """nats-py does not come back after most errors of the server; our own close() ends nothing."""
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    ours = await connect(server.url("edge"), "edge")
    await ours.close()
    assert ended == []
    lost = await connect(server.url("edge"), "edge")
    lost._transport.write(b"NONSENSE\r\n")
    for _ in range(100):
        if ended:
            break
        await asyncio.sleep(0.02)
    assert ended == [1]
