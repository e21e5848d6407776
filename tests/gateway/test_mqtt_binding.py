"""The MQTT binding without a broker: what dies is noticed, what pauses resumes, and what it needs is asked for."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace

import aiomqtt
import pytest

from columns.identity import device_of
from gateway.edge import mqtt as mqtt_module
from gateway.edge.mqtt import MqttBinding
from tests.plugins.edge import Caller, until

A = "13811111111"


class Broker:
    """Stands in for aiomqtt.Client: ``incoming`` (terminal, payload or an exception to raise), ``published``."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue = asyncio.Queue()
        self.published: asyncio.Queue = asyncio.Queue()
        self.refuses_to_publish: Exception | None = None
        self.connections: list[tuple] = []

    def client(self, host, port, **options):
        self.connections.append((host, port, options["tls_context"]))
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def subscribe(self, topic, qos):
        return None

    async def publish(self, topic, data, qos):
        if self.refuses_to_publish is not None:
            error, self.refuses_to_publish = self.refuses_to_publish, None
            raise error
        self.published.put_nowait((topic, data))

    @property
    async def messages(self):
        while True:
            said = await self.incoming.get()
            if isinstance(said, Exception):
                raise said
            yield SimpleNamespace(topic=f"nrmm/v1/{said[0]}/up", payload=said[1])


@pytest.fixture
def broker(monkeypatch):
    one = Broker()
    monkeypatch.setattr(mqtt_module.aiomqtt, "Client", one.client)
    monkeypatch.setattr(mqtt_module, "RETRY_S", 0.01)
    return one


@pytest.mark.parametrize("error", [aiomqtt.MqttError("gone"), ZeroDivisionError("ours")])
@pytest.mark.parametrize("side", ["reader", "sender"])
async def test_neither_side_dies_unseen(edge_bench, broker, side, error):
    """Whichever of reading and sending ends, and by whatever: both are begun again on a new connection."""
    binding = MqttBinding(edge_bench().hub, "mqtt://localhost")
    task = asyncio.create_task(binding.run())
    await until(lambda: binding.connected)
    if side == "reader":
        broker.incoming.put_nowait(error)
    else:
        broker.refuses_to_publish = error
        binding.reply(A, b"x")
    await until(lambda: len(broker.connections) == 2 and binding.connected)
    binding.reply(A, b"y")
    assert await asyncio.wait_for(broker.published.get(), 5) == (f"nrmm/v1/{A}/down", b"y")
    task.cancel()


async def test_reading_resumes_though_no_topic_is_left(edge_bench, broker):
    """The hub pauses, every topic goes, the hub resumes: what waits at the broker is read."""
    bench = edge_bench()
    binding = MqttBinding(bench.hub, "mqtt://localhost")
    task = asyncio.create_task(binding.run())
    caller = Caller(bench.hub, A)
    broker.incoming.put_nowait((A, caller.authenticate()))
    await until(lambda: binding._connections)
    await bench.settle()
    bench.hub._pause()
    binding.forget(A)
    broker.incoming.put_nowait((A, caller.authenticate() + caller.report()))
    await asyncio.sleep(0.05)
    assert not binding._connections, "not read while paused"
    bench.hub._resume()
    await until(lambda: binding._connections)
    await bench.settle()
    assert bench.log.devices == [device_of(A)]
    task.cancel()


async def test_a_dropped_topic_is_stored_and_forgotten(edge_bench, broker):
    """A topic ends at once when it is dropped; what it said in that linger is stored all the same."""
    bench = edge_bench()
    binding = MqttBinding(bench.hub, "mqtt://localhost")
    caller = Caller(bench.hub, A)
    binding._take(A, caller.authenticate())
    await bench.settle()
    binding._take(A, caller.report())
    bench.hub.drop(binding._connections[A], "idle")
    await bench.settle()
    assert bench.log.devices == [device_of(A)]
    assert not binding._connections


@pytest.mark.parametrize(("url", "port", "tls"), [
    ("mqtt://broker.example", 1883, False), ("mqtts://broker.example", 8883, True), ("mqtts://broker:99", 99, True),
])  # fmt: skip
async def test_the_scheme_says_whether_it_is_tls(edge_bench, broker, url, port, tls):
    """mqtts verifies the broker's certificate and name; each scheme has its own port."""
    binding = MqttBinding(edge_bench().hub, url)
    task = asyncio.create_task(binding.run())
    await until(lambda: binding.connected)
    _, used, context = broker.connections[0]
    assert used == port
    assert (context is not None) == tls
    if tls:
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    task.cancel()


async def test_a_topic_ends_after_the_linger_that_ended_it(edge_bench):
    """Its slot is nobody else's while packets of that linger are still being taken; then it is free."""
    bench = edge_bench()
    binding = MqttBinding(bench.hub, "mqtt://localhost")
    one = Caller(bench.hub, A)
    one.lost()
    binding._take(A, b"\x7e\x01\x02\x7e" * 300 + one.frame(0x0002))
    connection = binding._connections[A]
    bench.hub.flush()
    assert (connection.dropped, connection.slot, A in binding._connections) == (True, 0, False)
    await asyncio.sleep(0)
    assert (connection.slot, len(bench.sessions)) == (-1, 0)
