"""Messages of terminals: who may see which, a purpose and an audit row for every look, and pages that join."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.types.json import Jsonb

from tests.admin_api.conftest import OTHER, TOWNSHIP

if TYPE_CHECKING:
    from tests.admin_api.conftest import Facts

pytestmark = pytest.mark.asyncio

PHONE = "13900000001"
LIST = f"/api/v1/terminals/{PHONE}/messages"
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
DAY = {"from": "2026-03-01T00:00", "to": "2026-03-02T00:00", "purpose": "核查"}


def put(facts: Facts, device: int, *, at: datetime = NOON, **more: Any) -> None:
    """A row as a worker writes it."""
    row = {"device": device, "message": 0x0301, "serial": 7, "received": at, "edition": "2013", "body": b"\x03",
           "said": Jsonb({"id": 3}), "reason": None, **more}  # fmt: skip
    facts.run(f"INSERT INTO terminal_message ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())


async def test_a_message_is_shown(client, facts):
    """Its values and its bytes, or why there are no values; the machine of then; an audit row with what was asked."""
    machine = facts.machine()
    device = facts.terminal(PHONE, machine)
    put(facts, device)
    put(facts, device, at=NOON + timedelta(minutes=1), message=0xE001, body=b"\xff", said=None, reason="short | 太短")
    first, second = (await client.get(LIST, params=DAY, headers=facts.bearer())).json()["items"]
    assert first == {
        "id": first["id"], "message_id": "0x0301", "edition": "2013", "serial": 7,
        "received_at": "2026-03-01T12:00:00+08:00", "body": {"id": 3}, "hex": "03", "error": None, "machine_id": machine,
    }  # fmt: skip
    assert (second["message_id"], second["body"], second["hex"], second["error"]) == (
        "0xe001",
        None,
        "ff",
        "short | 太短",
    )
    assert facts.audits() == [("token:test", "message.list", f"terminal/{PHONE}", "核查")]
    assert facts.run("SELECT detail FROM audit") == [
        ({"from": "2026-03-01T00:00:00+08:00", "to": "2026-03-02T00:00:00+08:00"},)
    ]


async def test_every_look_needs_a_purpose_and_a_sign_in(client, facts):
    """Without a purpose 422, without a token 401, without the permission 403: no row, and nothing given away."""
    put(facts, facts.terminal(PHONE))
    for query in ("", "?purpose=%20"):
        answer = await client.get(LIST + query, headers=facts.bearer())
        assert (answer.status_code, answer.json()["type"].rsplit(":")[-1]) == (422, "purpose-required")
    assert (await client.get(LIST, params=DAY)).status_code == 401
    for role in ("operations", "engineer", "auditor"):
        assert (await client.get(LIST, params=DAY, headers=facts.bearer(role))).status_code == 403
    assert facts.audits() == []


async def test_a_township_sees_the_terminals_of_its_alarms(client, facts):
    """Another's does not exist for it, as one that nobody knows does not; a city sees all."""
    machine = facts.machine()
    device = facts.terminal(PHONE, machine)
    put(facts, device)
    facts.alarm(OTHER, device=device, machine=machine)
    township = facts.bearer("township_handler", TOWNSHIP)
    assert (await client.get(LIST, params=DAY, headers=township)).status_code == 404
    unknown = "/api/v1/terminals/13900000099/messages"
    assert (await client.get(unknown, params=DAY, headers=facts.bearer())).status_code == 404
    assert facts.audits() == []
    assert (await client.get(LIST, params=DAY, headers=facts.bearer("city_viewer"))).status_code == 200
    facts.run("UPDATE alarm SET exited_at = now()")  # it leaves the other district
    facts.alarm(TOWNSHIP, device=device, machine=machine)
    answer = await client.get(LIST, params=DAY, headers=township)
    assert [item["hex"] for item in answer.json()["items"]] == ["03"]


async def test_pages_join_to_the_whole(client, facts):
    """In the order of receipt, ties too; `to` is not included; another terminal's are not among them."""
    device = facts.terminal(PHONE)
    put(facts, facts.terminal("13900000002"), serial=99)
    for serial, minutes in enumerate((5, 0, 0, 12 * 60, 3, 0)):
        put(facts, device, serial=serial, at=NOON + timedelta(minutes=minutes))
    got, cursor = [], None
    while True:
        page = (await client.get(LIST, params={**DAY, "limit": 2, **({"cursor": cursor} if cursor else {})},
                                 headers=facts.bearer())).json()  # fmt: skip
        got += [item["serial"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert got == [1, 2, 5, 4, 0]


async def test_one_id_alone(client, facts):
    """`message` is an id as we show it, in either case; the audit says that it was asked for."""
    device = facts.terminal(PHONE)
    for message in (0x0301, 0x0A00, 0x0301):
        put(facts, device, message=message, serial=message)
    for text in ("0x0A00", "0x0a00"):
        answer = await client.get(LIST, params={**DAY, "message": text}, headers=facts.bearer())
        assert [item["message_id"] for item in answer.json()["items"]] == ["0x0a00"]
    assert facts.run("SELECT detail ->> 'message' FROM audit ORDER BY id") == [("0x0A00",), ("0x0a00",)]


@pytest.mark.parametrize(
    "bad", [{"message": "0702"}, {"message": "0x10000"}, {"limit": 101}, {"cursor": "bm9uc2Vuc2U"}, {"from": "soon"}]
)
async def test_what_is_no_question_is_refused(client, facts, bad):
    """422, and no audit row, since nothing was shown."""
    facts.terminal(PHONE)
    answer = await client.get(LIST, params={**DAY, **bad}, headers=facts.bearer())
    assert answer.status_code == 422
    assert facts.audits() == []
