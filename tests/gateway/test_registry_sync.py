"""The registry on its way from the database to an edge: asked for once, applied at once, and by whatever trouble."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import nats.errors
import orjson
import psycopg
import pytest

from gateway import registry_feed
from gateway.edge import registry_sync
from gateway.edge.registry import Registry
from gateway.edge.registry_sync import RegistrySync
from gateway.ending import end
from gateway.pauses import Pauses
from gateway.registry_feed import PAGE, RegistryFeed
from storage import load
from tests.plugins.edge import KEY


class Feed:
    """A client of the edge, whose requests the real feed answers. It counts them."""

    def __init__(self, version: int, terminals: list) -> None:
        self.feed = RegistryFeed(self, "")
        self.hold(version, terminals)
        self.asked = 0
        self.nudge = None

    def hold(self, version: int, terminals: list) -> None:
        self.feed._registry = load.Registry(version, terminals, [])

    async def subscribe(self, subject, cb):
        self.nudge = cb

    async def request(self, subject, data, timeout):  # noqa: ASYNC109  as nats-py has it
        self.asked += 1
        await asyncio.sleep(0)
        answers: list[bytes] = []

        async def respond(answer: bytes) -> None:
            answers.append(answer)

        await self.feed._answer(SimpleNamespace(data=data, respond=respond))
        return SimpleNamespace(data=answers[0])


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry.json", KEY, enrol=False)


async def run_for(sync, seconds=0.2):
    task = asyncio.create_task(sync.run())
    await asyncio.sleep(seconds)
    assert not task.done()
    await end(task)


async def test_an_unchanged_registry_is_asked_for_once(registry):
    """After a restart with the same version on disk, one question is enough; it does not spin."""
    terminals = [["138", 1, "registered"]]
    registry.replace(5, terminals)
    client = Feed(5, terminals)
    sync = RegistrySync(client, Registry(registry.path, KEY, enrol=False), lambda _: None)
    await run_for(sync)
    assert client.asked == 1
    assert sync.current


async def test_pages_are_joined(registry):
    """A registry of several pages is taken whole, and once."""
    terminals = [[str(i), 1, "registered"] for i in range(PAGE * 2 + 5)]
    client = Feed(7, terminals)
    await run_for(RegistrySync(client, registry, lambda _: None), 1)
    assert client.asked == 3
    assert len(registry.known) == len(terminals)


async def test_both_lists_come_in_pages(registry):
    """Terminals and vacant machines are cut alike; who did not ask for the machines, or has the version, gets none."""
    client = Feed(7, [[str(i), 1, "registered", None, "strict", None] for i in range(PAGE + 1)])
    client.feed._registry = load.Registry(7, client.feed._registry.terminals, [f"3-{i}" for i in range(PAGE + 2)])

    async def ask(**asked):
        return orjson.loads((await client.request("registry.get", orjson.dumps(asked), 1)).data)

    first = await ask(**{"from": 0, "vacant_from": 0, "have": 0, "version": None})
    second = await ask(**{"from": PAGE, "vacant_from": PAGE, "have": 0, "version": 7})
    assert (first["total"], first["vacant_total"], len(first["terminals"]), len(first["vacant"])) == (
        PAGE + 1, PAGE + 2, PAGE, PAGE,
    )  # fmt: skip
    assert second["terminals"] == [[str(PAGE), 1, "registered", None, "strict", None]]
    assert second["vacant"] == [f"3-{PAGE}", f"3-{PAGE + 1}"]
    assert "vacant" not in await ask(**{"from": 0, "have": 0, "version": None})
    same = await ask(**{"from": 0, "vacant_from": 0, "have": 7, "version": None})
    assert (same["terminals"], same["vacant"]) == ([], [])


async def test_what_was_withdrawn_is_told(registry):
    """A nudge brings the new snapshot, and who lost their code is handed on."""
    client = Feed(1, [["138", 1, "registered"], ["139", 1, "registered"]])
    withdrawn: list[str] = []
    sync = RegistrySync(client, registry, withdrawn.extend)
    task = asyncio.create_task(sync.run())
    await asyncio.wait_for(sync.known.wait(), 5)
    assert withdrawn == []
    client.hold(2, [["138", 1, "revoked"], ["139", 1, "registered"]])
    await client.nudge(None)
    await asyncio.sleep(0.1)
    assert withdrawn == ["138"]
    task.cancel()


async def test_a_feed_that_is_away_is_asked_again(registry, monkeypatch):
    """Errors of the log's connection end nothing."""
    monkeypatch.setattr(registry_sync, "RETRY_S", 0.01)
    client = Feed(1, [["138", 1, "registered"]])
    answer = client.request
    errors = [TimeoutError(), nats.errors.NoRespondersError(), nats.errors.ConnectionReconnectingError()]

    async def request(*words, **more):
        if errors:
            raise errors.pop(0)
        return await answer(*words, **more)

    client.request = request
    sync = RegistrySync(client, registry, lambda _: None)
    await run_for(sync)
    assert sync.known.is_set()


async def test_the_feed_survives_anything(monkeypatch):
    """Whatever its round raises, the feed goes round again."""
    monkeypatch.setattr(registry_feed, "Pauses", lambda: Pauses(0.01, 0.01))
    errors = [psycopg.OperationalError("away"), psycopg.InterfaceError("odd"), nats.errors.ConnectionClosedError(),
              ZeroDivisionError("ours")]  # fmt: skip
    tried: list[str] = []

    async def connect(*_, **__):
        if errors:
            tried.append(repr(errors[0]))
            raise errors.pop(0)
        await asyncio.Event().wait()

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    subscribed: list[str] = []

    async def subscribe(subject, cb):
        subscribed.append(subject)
        return object()

    await run_for(RegistryFeed(SimpleNamespace(subscribe=subscribe), ""))
    assert len(tried) == 4
    assert subscribed == ["registry.get"], "and answers once"


async def test_enrolments_wait_where_staff_do_not(database, api_database, monkeypatch):
    """Terminals that edges admitted by themselves are read with the next change of staff's, or after a while."""
    monkeypatch.setattr(registry_feed, "SETTLE_S", 0.05)
    monkeypatch.setattr(registry_feed, "ENROLLED_S", 2.0)
    told: list[bytes] = []

    async def publish(subject, data):
        told.append(data)

    async def subscribe(subject, cb):
        return object()

    def enrol(device, source):
        with psycopg.connect(database) as connection:
            connection.execute(
                "INSERT INTO terminal (device, phone, source) VALUES (%s, %s, %s)", [device, str(device), source]
            )

    async def heard(n, seconds):
        try:
            async with asyncio.timeout(seconds):
                while len(told) < n:  # noqa: ASYNC110  a test looks from outside
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    feed = asyncio.create_task(RegistryFeed(SimpleNamespace(subscribe=subscribe, publish=publish), api_database).run())
    assert await heard(1, 10)
    await asyncio.sleep(0.3)
    enrol(1, "open")
    assert not await heard(2, 0.7)
    enrol(2, "registry")
    assert await heard(2, 10)
    await asyncio.sleep(0.3)
    enrol(3, "open")
    assert not await heard(3, 0.7)
    assert await heard(3, 20)
    await end(feed)
