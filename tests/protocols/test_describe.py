"""`describe` and `lezgate decode`: worked examples, spellings of hex, and frames that do not read."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands.decode import decode
from protocols.jt808 import framing, terminal
from protocols.jt808.describe import describe, describe_all
from tests.protocols.frames import mangled, packets, resealed

EXAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "fixtures/frames/worked-examples.jsonl").read_text("utf-8").splitlines()
]
REPORT = next(example["hex"] for example in EXAMPLES if example["name"] == "report 2013")
relaxed = settings(deadline=None, max_examples=50)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["name"] for example in EXAMPLES])
def test_worked_example(example):
    """Everything that the example expects is said, exactly; a good frame has no error and a bad one has."""
    got = describe(example["hex"])
    assert {name: got.get(name) for name in example["expect"]} == example["expect"]
    assert ("error" in got) == ("reason" in example["expect"])


def test_a_message_has_its_names():
    """English and Chinese, of the message or of the range that its id lies in; also where the body is not taken apart."""
    said = {example["name"]: describe(example["hex"]) for example in EXAMPLES}
    assert (said["report 2013"]["name"], said["report 2013"]["name_zh"]) == ("position report", "位置信息汇报")
    assert said["part of a sub-packaged message"]["name_zh"] == "多媒体数据上传"
    assert said["vendor message"]["name"] == "the vendor's, from the platform"


def test_an_encrypted_body_stays_hex():
    """Nobody here has the key."""
    frame = resealed(bytes.fromhex(REPORT), b2=0x04)
    got = describe(frame.hex())
    assert (got["encrypted"], list(got["body"]), "error" in got) == (True, ["hex"], False)


def test_a_body_of_another_edition_than_its_header():
    """`edition` is the header's, `body_edition` the body's; where they agree there is one."""
    body = terminal.authenticate("2019", "AUTH0001")
    got = describe(framing.encode(0x0102, body, bytes(6), "2013", 1).hex())
    assert (got["edition"], got["body_edition"], got["body"]["code"]) == ("2013", "2019", "AUTH0001")
    assert "body_edition" not in describe(REPORT)


def test_an_error_names_the_field():
    """In both languages, with the byte where it stands."""
    got = describe(framing.encode(0x8604, bytes(7), bytes(6), "2013", 1).hex())
    assert got["error"].startswith("vertices at byte 6: 2 bytes needed, 1 left | vertices(第 6 字节)")
    assert (got["reason"], got["body"]) == ("body", {"hex": "00" * 7})


@pytest.mark.parametrize(
    "spelling",
    [
        REPORT.upper(),
        REPORT[2:-2],
        " ".join(REPORT[i : i + 2] for i in range(0, len(REPORT), 2)),
        "0x" + REPORT,
        "-".join(REPORT[i : i + 2] for i in range(0, len(REPORT), 2)),
        f"  {REPORT}\n",
        "7e" + REPORT,
    ],
)
def test_spellings(spelling):
    """Case, spaces and flags do not matter."""
    assert describe(spelling) == describe(REPORT)


@given(packets())
@relaxed
def test_without_flags_escaped_or_not(frame):
    """A packet copied without its flags is read whether it was copied before or after unescaping."""
    run = frame[1:-1]
    assert describe(run.hex()) == describe(frame.hex())
    assert describe(framing.unescape(run).hex()) == describe(frame.hex())


@given(st.one_of(mangled(), st.binary(max_size=80)))
@relaxed
def test_anything_is_described(frame):
    """Never an exception; what cannot be read says so in two languages."""
    for got in describe_all(frame.hex()):
        assert "message_id" in got or " | " in got["error"]
        orjson.dumps(got)


def test_a_stream_is_one_dict_per_packet():
    """describe_all reads a capture of several packets; describe wants one, and says so."""
    found = list(describe_all(REPORT + EXAMPLES[0]["hex"] + "7e0102"))
    assert [each.get("message_id", each.get("reason")) for each in found] == ["0x0200", "0x0002", "noise"]
    assert "more than one" in describe(REPORT * 2)["error"]


def test_an_odd_number_of_digits_is_said():
    """A digit lost in copying is not "not hexadecimal"."""
    assert "odd number" in describe("7e 020")["error"]
    assert "odd number" not in describe("7e 02 0x")["error"]


@pytest.mark.parametrize("text", ["zz", "7e7", "", "7e7e", "报文"])
def test_not_a_packet(text):
    """What is no hex, or holds no packet, is an error too."""
    assert " | " in describe(text)["error"]


def test_command_takes_arguments_and_lines():
    """One JSON object per packet; `-` reads standard input; bad frames keep the exit status at 0."""
    ran = CliRunner().invoke(decode, [REPORT, "-", "zz"], input=f"{EXAMPLES[0]['hex']}\n\n{REPORT}{REPORT}\n")
    said = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [each.get("message_id") for each in said] == ["0x0200", "0x0002", "0x0200", "0x0200", None]
    assert (ran.exit_code, said[-1]["error"]) == (0, "not hexadecimal | 不是十六进制")


def test_command_reads_standard_input_when_given_nothing():
    """Lines of hex, in any number."""
    ran = CliRunner().invoke(decode, [], input=REPORT)
    assert (ran.exit_code, json.loads(ran.stdout)["terminal"]) == (0, "13812345678")
