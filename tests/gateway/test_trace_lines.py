"""The lines of `lezgate trace`: both languages, a word for every reason, and nothing that moves the reader's cursor."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from columns.reason import Reason
from gateway.cli import main
from gateway.commands import _trace_lines as lines
from gateway.edge import hub
from gateway.edge.shown import shown
from protocols.jt808 import framing, terminal
from tests.plugins.serve import free_port

EDGE = Path(hub.__file__).parent
CALLS = re.compile(r'(?:\b(?:drop|end|closed)|_end_sessions)\(.*"(\w+)"\)')
NOT_OF_A_PACKET = {Reason.UNREADABLE_BATCH, Reason.FAILED, Reason.REFUSED}
"""What a worker says of batches and their rows."""


def frame(message: int, body: bytes) -> dict:
    packet = framing.unescape(framing.encode(message, body, terminal.phone_bcd("13811111111", "2013"), "2013", 3)[1:-1])
    return {"time": 1_700_000_000_123_456, "connection": "1.2.3", **shown(packet)}


def test_every_reason_has_its_words():
    """Whatever a packet may be refused for, in two languages, with advice in both or none."""
    assert lines.REASONS.keys() == {reason.name.lower() for reason in Reason if reason not in NOT_OF_A_PACKET}
    for means, advice in [*lines.REASONS.values(), *lines.CLOSED.values()]:
        assert re.search(r"[a-z].* \| .*[\u4e00-\u9fff]", means)
        assert not advice or re.search(r"[a-z].* \| .*[\u4e00-\u9fff]", advice)


def test_every_ending_has_its_words():
    """Each reason for which the edge's code ends a connection or a session."""
    found = {why for path in EDGE.glob("*.py") for why in CALLS.findall(path.read_text(encoding="utf-8"))}
    assert len(found) > 5
    assert found <= lines.CLOSED.keys()


def test_a_refused_registration():
    """What an installer is told: the result, what it means, and where to bind the terminal."""
    event = {"kind": "sent", **frame(0x8100, b"\x00\x01\x04")}
    line, advice = lines.text(event).splitlines()
    assert re.match(r"\d\d:\d\d:\d\d\.123 <- gateway  0x8100 .* \| 终端注册应答 #3 \[1\.2\.3\] 8100", line)
    assert "result 4: no such terminal" in line
    assert "数据库中无该终端" in line
    assert "待绑定终端" in advice
    assert orjson.loads(lines.json(event))["advice"] == advice.strip().removeprefix("=> ")


def test_a_report():
    """Its bytes, which `lezgate decode` takes, and what they say; no advice."""
    event = {"kind": "received", **frame(0x0200, terminal.location(1_700_000_000_000_000, 116.0, 36.5))}
    (line,) = lines.text(event).splitlines()
    assert "terminal -> 0x0200" in line
    assert '"longitude":116.0' in line
    said = orjson.loads(lines.json(event))
    assert datetime.fromisoformat(said["time"]).timestamp() == pytest.approx(1_700_000_000.123)
    result = CliRunner().invoke(main, ["decode", event["hex"]])
    assert orjson.loads(result.stdout)["body"] == event["packet"]["body"]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"kind": "refused", "message_id": "0x0102", "serial": 2, "reason": "bad_code"}, "0x0102 #2 bad_code: .*\n.*trust"),
        ({"kind": "received", "connection": "1.2.3", "hex": "0102", "packet": {}, "reason": "noise"}, "refused.*noise"),
        ({"kind": "closed", "connection": "1.2.3", "reason": "replaced"}, r"closed.*replaced: .*\n.*two devices"),
        ({"kind": "closed", "connection": "1.2.3", "reason": "of a newer edge"}, "closed.*of a newer edge"),
        ({"kind": "left_out", "count": 12}, "… 12 frames left out"),
        ({"kind": "edge", "edge": 1, "registry": "unknown", "speaks_here": False, "quarantined": True, "paused": True},
         r"not in the registry.*not connected.*quarantine.*takes nothing in.*\n.*待绑定终端"),
    ],
)  # fmt: skip
def test_other_lines(event, words):
    """Each kind in two languages, and as JSON."""
    event = {"time": 1_700_000_000_123_456, **event}
    assert re.search(words, lines.text(event))
    assert orjson.loads(lines.json(event))["kind"] == event["kind"]


def test_a_terminal_does_not_turn_a_line_around():
    """A plate with a mark that reverses what follows it is shown as a number, in text and in JSON."""
    plate = "\u202eA12345"
    event = {"kind": "received", **frame(0x0100, terminal.register("2013", plate=plate))}
    for text in (lines.text(event), lines.json(event)):
        assert text.isprintable()
        assert "u202eA12345" in text
    assert orjson.loads(lines.json(event))["packet"]["body"]["plate"] == plate


@pytest.mark.parametrize("environ", [{}, {"LEZGATE_NATS_URL": "nats://127.0.0.1:{port}"}])
def test_without_a_gateway(environ, tmp_path, monkeypatch):
    """It says so and what to do, in two languages, before anything is written down."""
    monkeypatch.setenv("LEZGATE_DATA_DIR", str(tmp_path))
    for name, value in environ.items():
        monkeypatch.setenv(name, value.format(port=free_port()))
    result = CliRunner().invoke(main, ["trace", "13811111111", "--purpose", "test"])
    assert result.exit_code == 1
    assert re.search(
        r"no gateway answers: start `lezgate serve`.* \| 没有运行中的网关：请先运行 lezgate serve", result.stderr
    )
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize(
    "words", [["1381111a"], [""], ["1381"], ["1381", "--purpose", " "], ["1381", "--purpose", "x", "--seconds", "0"]]
)
def test_wrong_arguments(words, tmp_path, monkeypatch):
    """No phone, no purpose, no time: usage, exit status 2."""
    monkeypatch.setenv("LEZGATE_DATA_DIR", str(tmp_path))
    if len(words) == 1 and words[0] != "1381":
        words = [*words, "--purpose", "x"]
    assert CliRunner().invoke(main, ["trace", *words]).exit_code == 2
