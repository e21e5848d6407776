"""`lezgate trace` against a real gateway: an installer's morning, as the operator sees it."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time

import orjson
import pytest

from protocols.jt808 import framing, terminal
from tests.plugins.serve import LEZGATE

pytestmark = pytest.mark.e2e
PHONE, OTHER = "13877770001", "13877770002"


class Trace:
    """A running `lezgate trace`; its standard output as it comes."""

    def __init__(self, gateway, *words: str) -> None:
        self.process = subprocess.Popen(
            [LEZGATE, "trace", *words],
            env=gateway.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def wait(self, *words: str, seconds: float = 30) -> str:
        """The first line that has all these words."""
        end = time.monotonic() + seconds
        while not (found := [line for line in list(self.lines) if all(word in line for word in words)]):
            assert time.monotonic() < end, f"no {words} in {''.join(self.lines)}"
            time.sleep(0.05)
        return found[0]

    def end(self, number: int | None = signal.SIGINT) -> tuple[int, str]:
        """(exit status, standard error) after a signal, or by itself."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return status, said


@pytest.fixture
def trace(gateway):
    """Starts traces of the gateway; all have ended afterwards."""
    started: list[Trace] = []

    def start(*words: str) -> Trace:
        started.append(Trace(gateway, *words))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.end(None)


def bind(gateway, phone: str) -> None:
    """What staff do in the queue, once the terminal is in it: the worker stores what the edge has told the log."""
    end = time.monotonic() + 20
    while phone not in [one["phone"] for one in gateway.get("/api/v1/terminals", state="unbound")["items"]]:
        assert time.monotonic() < end, "it does not come into the queue"
        time.sleep(0.2)
    machine = gateway.ask("POST", "/api/v1/machines", json={
        "registration_number": "3-FCB07771", "machine_type": "excavator", "registration_type": "machinery",
        "emission_stage": "3", "power_kw": 110, "energy": "diesel", "district": "371502",
    })  # fmt: skip
    assert machine.status_code in {200, 201}, machine.text
    made = gateway.ask("POST", f"/api/v1/terminals/{phone}/bindings", json={"machine": machine.json()["id"]})
    assert made.status_code in {200, 201}, made.text


def test_a_terminal_is_refused_bound_and_comes_in(gateway, terminals, trace):
    """Every frame both ways, the reason with what to do about it, and the end of the connection; audited; no code."""
    seen = trace(PHONE, "--purpose", "installation of an excavator")
    seen.wait("edge", "not in the registry", "未登记")
    other = terminals(gateway, OTHER)
    other.register()
    one = terminals(gateway, "0" + PHONE)
    assert one.register() == 4
    seen.wait("terminal -> 0x0100", "终端注册", framing.unescape(one.frame(0x0100)[1:-1])[4:10].hex())
    seen.wait("refused", "0x0100 #1", "unknown_terminal")
    seen.wait("<- gateway", "0x8100", "result 4", "数据库中无该终端")
    seen.wait("=>", "待绑定终端")
    bind(gateway, PHONE)
    end = time.monotonic() + 20
    while one.register() != 0:
        assert time.monotonic() < end, "the binding does not reach the edge"
        time.sleep(0.5)
    assert one.ask(0x0102, terminal.authenticate("2013", "SOMEBODY-ELSES")).result == 1
    assert one.authenticate() == 0
    assert one.report(116.0, 36.5) == 0
    wrong = bytearray(one.frame(0x0002))
    wrong[-2] ^= 1
    one.socket.sendall(bytes(wrong))
    one.close()
    seen.wait("refused", "0x0102", "bad_code")
    seen.wait("0x8001", '"request_message_id":"0x0102"', "result 0: success | 成功")
    seen.wait("terminal -> 0x0200", '"longitude":116.0')
    seen.wait("0x8001", '"request_message_id":"0x0200"', "result 0")
    seen.wait("terminal ->", "checksum", bytes(wrong[1:-1]).hex())
    seen.wait("closed", "hung_up")
    status, said = seen.end()
    assert status == 0, said
    assert "跟踪结束" in said
    printed = "".join(seen.lines)
    assert OTHER not in printed
    for secret in (one.code, "SOMEBODY-ELSES"):
        assert secret[:2] + "…" in printed
        assert secret[2:] not in printed
        assert secret[2:].encode().hex() not in printed
    rows = [row for row in gateway.get("/api/v1/audit", action="terminal.trace")["items"] if PHONE in row["object"]]
    assert [row["purpose"] for row in rows] == ["installation of an excavator"]


def test_json_for_so_many_seconds(gateway, trace):
    """One object a line; it ends by itself, and follows an edge that starts again meanwhile."""
    seen = trace("13877770003", "--purpose", "test", "--json", "--seconds", "300")
    first = orjson.loads(seen.wait('"kind":"edge"'))
    gateway.kill("edge")
    end = time.monotonic() + 20
    while len(edges := {orjson.loads(line)["edge"] for line in list(seen.lines)}) < 2:
        assert time.monotonic() < end, "the new edge does not hear of it"
        time.sleep(0.1)
    assert first["edge"] in edges
    gateway.wait_ready()
    with socket.create_connection(("127.0.0.1", gateway.jt808_port)) as sock:
        sock.sendall(framing.encode(0x0002, b"", terminal.phone_bcd("13877770003", "2019"), "2019", 1))
        seen.wait('"received"', '"0x0002"', '"edition":"2019"')
        seen.wait('"sent"', '"0x8001"')
    seen.end(signal.SIGINT)
    assert trace("13877770003", "--purpose", "test", "--json", "--seconds", "1").end(None)[0] == 0


def test_a_gateway_that_stops(gateway_over, trace, gateway):
    """Its end is a message, not a silence for ever."""
    other = gateway_over()
    seen = Trace(other, "13877770004", "--purpose", "test")
    seen.wait("edge")
    other.stop()
    status, said = seen.end(None)
    assert status == 1
    assert "the gateway has gone | 网关已停止" in said
    assert "Traceback" not in said
