"""Dead letters: who may list them, and what a look at the bytes of one takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.admin_api.conftest import Facts

pytestmark = pytest.mark.asyncio

LIST = "/api/v1/dead-letters"


def put(facts: Facts, *reasons: str) -> list[int]:
    device = facts.terminal("13900000001")
    return [
        facts.run(
            "INSERT INTO dead_letter (partition, sequence, device, received, reason, data)"
            " VALUES (1, 5, %s, '2026-03-01T04:00Z', %s, 'abc') RETURNING id",
            device, reason,
        )[0][0]
        for reason in reasons
    ]  # fmt: skip


async def test_the_list_has_no_bytes(client, facts):
    """Newest first, by page; by reason; those that wait and those that were replayed."""
    first, second, third = put(facts, "body", "checksum", "body")
    facts.run(
        "UPDATE dead_letter SET replayed_at = '2026-03-02T04:00Z', replayed_by = 'me', outcome = 'ok' WHERE id = %s",
        first,
    )
    engineer = facts.bearer("engineer")
    page = (await client.get(LIST, params={"limit": 2}, headers=engineer)).json()
    assert [item["id"] for item in page["items"]] == [third, second]
    rest = (await client.get(LIST, params={"cursor": page["next_cursor"]}, headers=engineer)).json()["items"]
    assert rest == [
        {"id": first, "reason": "body", "terminal_phone": "13900000001", "received_at": "2026-03-01T12:00:00+08:00",
         "stored_at": rest[0]["stored_at"], "partition": 1, "sequence": 5, "bytes": 3,
         "replayed_at": "2026-03-02T12:00:00+08:00", "replayed_by": "me", "outcome": "ok"},
    ]  # fmt: skip
    for query, wanted in (
        ({"reason": "checksum"}, [second]),
        ({"replayed": "false"}, [third, second]),
        ({"since": "2099-01-01"}, []),
    ):
        found = (await client.get(LIST, params=query, headers=engineer)).json()["items"]
        assert [item["id"] for item in found] == wanted, query
    assert facts.audits() == []


async def test_a_look_at_bytes_has_a_purpose_and_an_audit_row(client, facts):
    (letter,) = put(facts, "body")
    headers = facts.bearer("operations")
    assert (await client.get(f"{LIST}/{letter}", headers=headers)).status_code == 422
    assert facts.audits() == []
    answer = await client.get(f"{LIST}/{letter}", params={"purpose": "修解码"}, headers=headers)
    assert answer.json()["hex"] == b"abc".hex()
    assert [row[1:] for row in facts.audits()] == [("dead_letter.read", f"dead-letter/{letter}", "修解码")]
    assert (await client.get(f"{LIST}/99", params={"purpose": "x"}, headers=headers)).status_code == 404


async def test_who_may(client, facts):
    """Who keeps the system, and the city's administrator; nobody else, and nobody without a token."""
    (letter,) = put(facts, "body")
    assert (await client.get(LIST)).status_code == 401
    for role, wanted in (("city_admin", 200), ("city_viewer", 403), ("auditor", 403), ("engineer", 200)):
        for path in (LIST, f"{LIST}/{letter}?purpose=x"):
            assert (await client.get(path, headers=facts.bearer(role))).status_code == wanted, (role, path)
