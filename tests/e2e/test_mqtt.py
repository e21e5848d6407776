"""MQTT: a terminal behind a real broker registers, authenticates and reports; the answer means what it means over TCP."""

from __future__ import annotations

import queue
import shutil
import subprocess
import time

import paho.mqtt.client as paho
import pytest

from protocols.jt808 import framing, terminal
from tests.plugins.serve import Gateway, free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if MOSQUITTO is None:
        pytest.skip("no MQTT broker here: install mosquitto")
    port = free_port()
    config = tmp_path_factory.mktemp("mosquitto") / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(10)


class MqttTerminal:
    def __init__(self, port: int, phone: str) -> None:
        self.phone, self.serial = phone, 0
        self.bcd = terminal.phone_bcd(phone, "2013")
        self.replies: queue.Queue[terminal.Reply] = queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"nrmm/v1/{phone}/down")
        self.client.loop_start()

    def _on_message(self, _client, _data, message) -> None:
        for run in message.payload.split(b"\x7e"):
            if run and (reply := terminal.read_reply(run)):
                self.replies.put(reply)

    def ask(self, message: int, body: bytes, *, framed: bool = True) -> terminal.Reply:
        self.serial += 1
        frame = framing.encode(message, body, self.bcd, "2013", self.serial)
        payload = frame if framed else framing.unescape(frame[1:-1])
        self.client.publish(f"nrmm/v1/{self.phone}/up", payload, qos=1).wait_for_publish(10)
        return self.replies.get(timeout=10)

    def close(self) -> None:
        self.client.loop_stop()
        self.client.disconnect()


def test_reports_over_a_broker(broker, gateway_over):
    """Framed or not, a packet in a payload is stored and answered on the terminal's own topic."""
    gateway: Gateway = gateway_over(enrolment="open", mqtt_url=f"mqtt://127.0.0.1:{broker}")
    one = MqttTerminal(broker, "13855550001")
    end = time.monotonic() + 20
    while True:  # the edge subscribes a moment after the gateway is ready
        try:
            registered = one.ask(0x0100, terminal.register("2013"))
            break
        except queue.Empty:
            assert time.monotonic() < end, "no edge reads the topics"
    assert registered.result == 0
    assert one.ask(0x0102, terminal.authenticate("2013", registered.code)).result == 0
    now = time.time_ns() // 1000
    assert one.ask(0x0200, terminal.location(now, 116.1, 36.5)).result == 0
    assert one.ask(0x0200, terminal.location(now + 1_000_000, 116.2, 36.5), framed=False).result == 0
    one.close()
    end = time.monotonic() + 10
    while True:
        track = gateway.get(f"/api/v1/terminals/{one.phone}/track", purpose="test")["items"]
        if {row["longitude"] for row in track} == {116.1, 116.2}:
            break
        assert time.monotonic() < end, track
        time.sleep(0.2)
