"""Asking terminals for their position: from the worker over a real nats-server to the one edge that holds the terminal."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from columns.identity import device_of
from columns.positions import Source
from gateway import position_query
from gateway.edge.asking import Asking as EdgeAsking
from gateway.edge.mqtt import MqttBinding
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.position_query import MOST_DEVICES, SUBJECT, QueryError
from gateway.secrets import load_secrets
from gateway.worker import asking as asking_module
from gateway.worker.asking import AGAIN_S, MOST_ASKED, Asking
from protocols.jt808 import framing, terminal
from tests.plugins.edge import Caller, until

A, B, C = "13811111111", "13822222222", "13833333333"


@pytest.fixture
def server(tmp_path):
    one = NatsServer(tmp_path / "nats", load_secrets(tmp_path), 64 * 1024**2)
    one.start()
    yield one
    one.stop()


@pytest.fixture
async def roles(server):
    """A connection for each role."""
    made = {role: await connect(server.url(role), role) for role in ("worker", "edge", "api")}
    yield made
    for client in made.values():
        await client.close()


@pytest.fixture
async def asking(roles, monkeypatch):
    """A worker's Asking that runs and hardly waits."""
    monkeypatch.setattr(asking_module, "AFTER_S", 0.01)
    one = Asking(roles["worker"])
    running = asyncio.create_task(one.run())
    yield one
    assert not running.done()
    running.cancel()


@pytest.fixture
async def heard(roles):
    """The messages that an edge hears."""
    messages: list[bytes] = []

    async def hear(message) -> None:
        messages.append(message.data)

    await roles["edge"].subscribe(SUBJECT, cb=hear)
    await roles["edge"].flush()
    return messages


@pytest.fixture
async def bench(edge_bench, roles):
    """An edge's bench that hears questions."""
    one = edge_bench()
    await roles["edge"].subscribe(SUBJECT, cb=EdgeAsking(one.hub).hear)
    await roles["edge"].flush()
    return one


def queries(caller: Caller) -> list[tuple]:
    """(identity, edition, serial, body) of each 0x8201 that was written."""
    return [(one.identity, one.edition, one.serial, one.body) for one in caller.heard if one.message == 0x8201]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Connected or not, and never sent to: questions that only wait."""

    is_connected = True


# ---- the question ----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**63 - 1), max_size=50))
def test_a_question_is_read_as_it_was_written(devices):
    """Device numbers have 63 bits, which JSON carries whole."""
    assert position_query.read(position_query.write(devices)) == devices


def test_the_longest_question_is_read():
    """So many devices with the longest numbers fit."""
    devices = [2**63 - 1 - i for i in range(MOST_DEVICES)]
    assert position_query.read(position_query.write(devices)) == devices
    with pytest.raises(QueryError):
        position_query.read(position_query.write([1] * (MOST_DEVICES + 1)))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda some: st.lists(some, min_size=1, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=2),
)


@given(st.binary(max_size=100) | ANYTHING.map(orjson.dumps) | ANYTHING.map(lambda one: orjson.dumps({"devices": one})))
def test_what_is_no_question_is_refused(data):
    """With QueryError and nothing else; what is read is device numbers."""
    try:
        devices = position_query.read(data)
    except QueryError:
        return
    assert all(type(device) is int and 0 <= device < 2**63 for device in devices)


# ---- the worker ------------------------------------------------------------------------------------------------------


async def test_devices_are_asked_for_once(asking, heard):
    """One message for what was asked together; again within AGAIN_S is counted, not sent."""
    asking.ask([3, 1, 2])
    asking.ask([2, 4])
    await until(lambda: asking.counts["asked"] == 4)
    await until(lambda: heard)
    asking.ask([1])
    await asyncio.sleep(0.05)
    assert [device for data in heard for device in position_query.read(data)] == [3, 1, 2, 4]
    assert asking.counts == {"asked": 4, "too_soon": 2}


async def test_an_answer_can_be_another_fix(roles, heard):
    """A question leaves more than a second after the report came: device times are whole seconds."""
    one = Asking(roles["worker"])
    running = asyncio.create_task(one.run())
    begin = time.monotonic()
    one.ask([1])
    await asyncio.sleep(1.2)
    assert heard == []
    one.ask([2])  # meanwhile: it waits for its own time
    await until(lambda: heard)
    assert time.monotonic() - begin >= asking_module.AFTER_S
    assert position_query.read(heard[0]) == [1]
    running.cancel()


async def test_the_same_terminal_again():
    """When AGAIN_S is over, and not before."""
    clock = Clock()
    one = Asking(Client(), clock)
    for seconds, too_soon in ((0.0, 0), (AGAIN_S - 0.1, 1), (0.1, 1), (1.0, 2)):
        clock.now += seconds
        one.ask([7])
        assert one.counts["too_soon"] == too_soon


async def test_questions_are_bounded():
    """Beyond MOST_ASKED in AGAIN_S they are counted and forgotten, and so is what was asked long ago."""
    clock = Clock()
    one = Asking(Client(), clock)
    one.ask(range(MOST_ASKED + 5))
    assert one.counts == {"too_many": 5}
    assert (len(one._asked), len(one._due)) == (MOST_ASKED, MOST_ASKED)
    clock.now += AGAIN_S
    one.ask([MOST_ASKED + 1])
    assert list(one._asked) == [MOST_ASKED + 1]


async def test_many_are_several_messages(asking, heard):
    """Each as long as a message may be, and none is lost."""
    asking.ask(range(2 * MOST_DEVICES + 1))
    await until(lambda: len(heard) == 3)
    assert [device for data in heard for device in position_query.read(data)] == list(range(2 * MOST_DEVICES + 1))


async def test_without_nats_a_question_is_forgotten(asking, roles, heard, server):
    """Counted, nothing raised, none sent later; when it is back, the next is asked."""
    server.process.kill()
    server.process.wait()
    await until(lambda: not roles["worker"].is_connected)
    asking.ask([1, 2])
    await until(lambda: asking.counts["unsent"] == 2)
    server.start()
    await until(lambda: roles["worker"].is_connected and roles["edge"].is_connected, 15)
    await roles["edge"].flush()
    asking.ask([3])
    await until(lambda: heard)
    assert [position_query.read(data) for data in heard] == [[3]]


async def test_only_a_worker_may_ask(roles, heard):
    """Neither the api nor an edge; and nobody but edges hears it."""
    overheard: list[bytes] = []

    async def overhear(message) -> None:
        overheard.append(message.data)

    for role in ("worker", "api"):
        await roles[role].subscribe(SUBJECT, cb=overhear)
    for number, role in enumerate(("api", "edge", "worker")):
        await roles[role].publish(SUBJECT, position_query.write([number]))
        await roles[role].flush()
    await until(lambda: heard)
    await roles["edge"].flush()
    assert [position_query.read(data) for data in heard] == [[2]]
    assert overheard == []


# ---- the edge --------------------------------------------------------------------------------------------------------


async def test_the_terminal_that_is_here_is_asked(asking, bench):
    """By an empty 0x8201 in its own header with the next serial number; others, and those elsewhere, hear nothing."""
    one, other = await bench.known(A), await bench.known(B)
    said = len(one.heard)
    asking.ask([device_of(C), device_of(A)])
    await until(lambda: bench.hub.counts["position_asked"])
    assert queries(one) == [(A, "2013", said, b"")]
    assert queries(other) == []
    one.say(one.report())
    await bench.settle()
    assert [packet.serial for packet in one.heard] == list(range(said + 2))
    assert bench.hub.counts["position_asked"] == 1


@pytest.mark.parametrize("edition", ["2011", "2013", "2019"])
async def test_an_answer_is_a_position(asking, bench, edition):
    """In every edition; only authenticated, or registered before: stored as one that was asked for, and not answered."""
    caller = bench.caller(A)
    bcd = terminal.phone_bcd(A, edition)
    code = bench.registry.code(A, 1)
    caller.say(framing.encode(0x0102, terminal.authenticate(edition, code), bcd, edition, 1))
    await bench.settle()
    asking.ask([device_of(A)])
    await until(lambda: queries(caller))
    ((identity, header, serial, body),) = queries(caller)
    assert (identity, header, body) == (A, "2019" if edition == "2019" else "2013", b"")
    now = time.time_ns() // 1_000_000_000 * 1_000_000
    report = terminal.location(now, 116.25, 36.5, items={1: b"\0\0\0\7"})
    answer = report if edition == "2011" else serial.to_bytes(2, "big") + report
    heard = len(caller.heard)
    caller.say(framing.encode(0x0201, answer, bcd, edition, 2))
    await bench.settle()
    rows = bench.log.batches[-1].positions
    assert (rows.device.tolist(), rows.source.tolist()) == ([device_of(A)], [Source.QUERY])
    assert (rows.time[0], rows.lon[0], rows.lat[0], rows.quality[0]) == (now, 116.25, 36.5, 0)
    assert len(caller.heard) == heard


async def test_terminals_of_one_connection(asking, bench):
    """Behind a forwarding platform each is asked by its own phone and serial numbers, in its own header."""
    one = await bench.platform(A, B)
    code = bench.registry.code(C, 1)
    bcd = terminal.phone_bcd(C, "2019")
    one.say(framing.encode(0x0102, terminal.authenticate("2019", code), bcd, "2019", 1))
    await bench.settle()
    asking.ask(map(device_of, (C, B, A)))
    await until(lambda: bench.hub.counts["position_asked"] == 3)
    assert queries(one) == [(C, "2019", 1, b""), (B, "2013", 1, b""), (A, "2013", 1, b"")]


async def test_a_terminal_behind_mqtt(asking, bench):
    """Its question is published on its topic."""
    binding = MqttBinding(bench.hub, "mqtt://localhost")
    binding._take(A, Caller(bench.hub, A).authenticate())
    await bench.settle()
    asking.ask([device_of(A)])
    await until(lambda: bench.hub.counts["position_asked"])
    replies = [binding._replies.get_nowait() for _ in range(binding._replies.qsize())]
    assert [topic for topic, _ in replies] == [A, A]
    assert replies[-1][1] == framing.encode(0x8201, b"", terminal.phone_bcd(A, "2013"), "2013", 1)


async def test_who_is_not_authenticated_is_not_asked(asking, bench):
    """Nor who has left, was replaced, or is being dropped."""
    stranger, left, old, dropped = bench.caller(A), await bench.known(B), await bench.known(C), await bench.known("139")
    stranger.say(stranger.frame(0x0002))
    left.say(left.frame(0x0003))
    new = await bench.known(C)
    bench.hub.drop(dropped.connection, "idle")
    await bench.settle()
    asking.ask(map(device_of, (A, B, "139", C)))
    await until(lambda: queries(new))
    assert [queries(one) for one in (stranger, left, old, dropped)] == [[], [], [], []]
    assert bench.hub.counts["position_asked"] == 1


async def test_what_is_no_question_is_counted(roles, bench):
    """And the next one is heard."""
    one = await bench.known(A)
    for data in (b"{", orjson.dumps([device_of(A)]), orjson.dumps({"devices": [A]})):
        await roles["worker"].publish(SUBJECT, data)
    await roles["worker"].publish(SUBJECT, position_query.write([device_of(A)]))
    await until(lambda: queries(one))
    assert bench.hub.counts["position_query_malformed"] == 3
