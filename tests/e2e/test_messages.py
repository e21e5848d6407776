"""What a terminal says besides positions is acknowledged, kept, and read by staff; the worker may die in between."""

from __future__ import annotations

import time

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("gateway", [{"enrolment": "open"}], indirect=True, scope="module"),
]

PHONE = "13800009001"


def kept(gateway, n: int) -> list[dict]:
    """The terminal's messages, when there are n."""
    items: list[dict] = []
    end = time.monotonic() + 30
    while time.monotonic() < end:
        answer = gateway.ask("GET", f"/api/v1/terminals/{PHONE}/messages", params={"purpose": "测试"})
        items = answer.json()["items"] if answer.status_code == 200 else []  # the worker enrols the terminal, too
        if len(items) >= n:
            break
        time.sleep(0.1)
    return items


def test_messages_reach_staff(gateway, terminals):
    """Event, bytes that do not read, an answer to a command; one that is sent again over a new connection is one."""
    one = terminals(gateway, PHONE)
    one.join()
    gateway.kill("worker")
    event = one.frame(0x0301, b"\x03")
    one.socket.sendall(event)
    assert one.read().result == 0
    assert one.ask(0x0302, b"\x01").result == 0
    one.socket.sendall(one.frame(0x0104, (7).to_bytes(2, "big") + b"\x01" + bytes.fromhex("00000001040000003c")))
    one.close()
    one.connect()
    assert one.authenticate() == 0
    one.socket.sendall(event)
    assert one.read().result == 0
    assert one.ask(0x0900, b"\xf0end").result == 0
    shown = kept(gateway, 4)
    assert [item["message_id"] for item in shown] == ["0x0301", "0x0302", "0x0104", "0x0900"]
    assert (shown[0]["body"], shown[0]["error"]) == ({"id": 3}, None)
    assert (shown[1]["body"], shown[1]["hex"]) == (None, "01")
    assert shown[2]["body"]["request_serial"] == 7
    assert shown[3]["body"] == {"type": 0xF0, "content": b"end".hex()}
