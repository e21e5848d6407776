"""The edge around its hub: whom it lets in, how it is, and that it ends where a part of it fails."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import nats.errors
import pytest

from gateway.config import Settings
from gateway.edge import gate
from gateway.edge.enrolment import check_enrolment, is_loopback
from gateway.edge.main import Edge
from gateway.edge.mqtt import MqttBinding
from tests.plugins.edge import KEY

ANYWHERE = "0.0.0.0"  # noqa: S104  it is what must not be allowed


@pytest.fixture
def edge(tmp_path, edge_bench, monkeypatch):
    """Makes an Edge around a Bench's hub; inside a test that runs in a loop."""
    monkeypatch.setattr(gate, "raise_file_limit", lambda: 1000)

    def make(*, mqtt=False, **settings):
        client = SimpleNamespace(jetstream=lambda timeout: None)
        one = Edge(Settings(data_dir=str(tmp_path), auth_key=KEY.hex(), **settings), client, mqtt=mqtt)
        one.bench = edge_bench()
        one.hub, one.sessions = one.bench.hub, one.bench.sessions
        one.hub.appender._ended = one._ended
        one._joined = True
        return one

    return make


async def test_a_job_that_fails_ends_the_edge(edge):
    """A half-dead edge would acknowledge some and forget others: it stops, with a status that says so."""
    one = edge()

    async def job():
        raise ZeroDivisionError("ours")

    one.keep(job())
    await asyncio.wait_for(one.stopping.wait(), 2)
    assert one.failed


async def test_a_partition_that_fails_ends_the_edge(edge):
    """The same for what appends to the log; stopping then takes no five seconds."""
    one = edge()
    caller = await one.bench.known("13811111111")
    one.bench.log.errors = [ZeroDivisionError("ours")]
    caller.say(caller.report())
    one.hub.flush()
    await asyncio.wait_for(one.stopping.wait(), 2)
    assert one.failed
    assert caller.results(0x0200) == [], "not stored, not acknowledged"
    await asyncio.wait_for(one.stop(), 2)


async def test_jobs_that_end_or_are_cancelled_end_nothing(edge):
    """Nor does an announcement that the log's connection did not take."""
    one = edge()

    async def refuse(*_):
        raise nats.errors.ConnectionClosedError

    one.client.publish = refuse
    one._publish_soon("session.opened", b"{}")
    one.keep(asyncio.sleep(0))
    one.keep(asyncio.sleep(100))
    await asyncio.sleep(0.05)
    await one.stop()
    await asyncio.sleep(0.01)
    assert not one.stopping.is_set()


async def test_an_edge_says_why_it_is_not_ready(edge):
    """In two languages, with words around what a library said."""
    one = edge(enrolment="open", jt808_port=0)
    assert one.status()["reason"] == "not listening yet | 尚未开始监听"
    await one.listen()
    assert one.status()["ready"]
    told = one.status()
    assert told["reports"]["taken"] == told["reports"]["appended"] + told["reports"]["refused"] + told["in_flight"]
    assert told["disk_free_bytes"] > 0
    assert told["disk_floor_bytes"] == 1024**3
    assert (told["paused"], told["paused_s"]) == (False, 0.0)
    one.close()
    one.log._troubles[0] = "TimeoutError()"
    assert one.status()["reason"] == "the log takes no batches (TimeoutError()) | 日志不接收数据，正在重试"
    one.hub.paused = True
    one.log._troubles.clear()
    assert one.status()["reason"] == "reading is paused: the log takes no batches | 日志不接收数据，已暂停接入"
    one.hub.paused = False
    one.mqtt = MqttBinding(one.hub, "mqtt://localhost")
    assert one.status()["reason"].startswith(
        "the MQTT broker is not connected; start it, or check LEZGATE_MQTT_URL | 未连接"
    )
    assert one.status()["connected"] is False
    one.mqtt.connected = True
    assert one.status()["ready"]


@pytest.mark.parametrize(("host", "expected"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
    (ANYWHERE, False), ("::", False), ("10.0.0.1", False), ("", False), ("no.such.host.invalid", False),
])  # fmt: skip
def test_loopback(host, expected):
    """A name is what it stands for; one that stands for nothing is not this machine."""
    assert is_loopback(host) is expected


def test_open_enrolment_stays_at_home():
    """Neither an address nor a broker elsewhere, unless it is forced; names raise no traceback."""
    check_enrolment(Settings(enrolment="open", mqtt_url="mqtt://localhost:1883"))
    check_enrolment(Settings(jt808_host=ANYWHERE, mqtt_url="mqtt://10.0.0.1"))
    check_enrolment(Settings(enrolment="open", jt808_host=ANYWHERE, enrolment_force=True))
    for settings in ({"jt808_host": "no.such.host.invalid"}, {"jt808_host": ""}, {"mqtt_url": "mqtt://10.0.0.1"}):
        with pytest.raises(SystemExit, match=r"loopback.* \| .*开放注册"):
            check_enrolment(Settings(enrolment="open", **settings))
