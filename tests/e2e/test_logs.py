"""What a running gateway writes to its log: JSON lines, the terminal's id, no flood, no position and no code."""

from __future__ import annotations

import json
import re
import time

import pytest

from protocols.jt808 import terminal
from tests.plugins.terminals import Terminal
from tests.town import HEADER

pytestmark = pytest.mark.e2e
MACHINE = HEADER + "2-00000001,013800000002,excavator,machinery,2,120,diesel,371502\n"
STRANGERS = 150
LON, LAT = 116.987654, 36.123456


def test_logs_tell_no_secret_and_make_no_flood(gateway, tmp_path):
    """150 strangers that try twice, a terminal with a wrong code and one that reports, and every process killed once: every
    line is JSON; a stranger is named at most once; no coordinate, code or password is in any line."""
    machines = tmp_path / "machines.csv"
    machines.write_text(MACHINE)
    gateway.command("machines", "import", str(machines))
    known = Terminal(gateway.jt808_port, "13800000002")
    for _ in range(200):
        try:
            if known.register() == 0:  # the edge has heard of it
                break
        except ConnectionError:  # who was refused ten times is sent away
            known.close()
            known.connect()
        time.sleep(0.1)
    assert known.authenticate() == 0
    assert known.report(LON, LAT) == 0
    other = Terminal(gateway.jt808_port, "13800000002")
    other.code = "not-the-code-0815"
    assert other.authenticate() != 0
    for i in range(STRANGERS):
        stranger = Terminal(gateway.jt808_port, f"1391234{i:04d}")
        for _ in range(2):
            stranger.socket.sendall(stranger.frame(0x0100, terminal.register("2013")))
            stranger.read(2)
        stranger.close()
    gateway.kill("worker")
    gateway.kill("postgres")
    gateway.wait_ready()
    known.close()
    other.close()
    gateway.stop()

    text = (gateway.data / "serve.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"serve", "edge", "worker", "api"} >= {line["process"] for line in lines} >= {"serve", "edge", "worker"}
    refused = [line["terminal"] for line in lines if line["event"].startswith("registration refused")]
    assert refused
    assert len(refused) == len(set(refused)), "of one terminal one line a minute"
    assert all(re.fullmatch("1391234[0-9]{4}", one) for one in refused if one != known.phone)
    secrets = [known.code, other.code, *json.loads((gateway.data / "secrets.json").read_text()).values()]
    for word in ("116.98", "116987", "36.12345", "361234", *secrets):
        assert word not in text
    assert len(lines) < 600
