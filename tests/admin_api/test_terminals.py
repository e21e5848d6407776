"""Terminals over the API: the queue of those that wait for a machine, codes, trust, quarantine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.admin_api.conftest import BRANCH

pytestmark = pytest.mark.asyncio

API = "/api/v1/terminals"


def refuse(facts, phone, *, plate="鲁P12345", maker="ACME", result=4):
    facts.run(
        "INSERT INTO terminal_refused (phone, maker, plate, result, province, city) VALUES (%s, %s, %s, %s, 37, 1502)",
        phone, maker, plate, result,
    )  # fmt: skip


async def test_a_terminal_is_enrolled_once(client, facts):
    """With or without leading zeros it is one terminal; what is no phone is a 422."""
    made = await client.post(API, json={"phone": "000139", "maker": "ACME"}, headers=facts.bearer())
    assert made.status_code == 201
    assert (made.json()["phone"], made.json()["maker"], made.json()["bound"]) == ("139", "ACME", False)
    assert (await client.post(API, json={"phone": "139"}, headers=facts.bearer())).status_code == 409
    for phone in ("", "13a", "1" * 21, None):
        answer = await client.post(API, json={"phone": phone}, headers=facts.bearer())
        assert answer.status_code == 422, phone


async def test_the_queue_is_one_list_of_one_shape(client, facts):
    """Refused strangers and enrolled terminals without a machine, by phone and page by page; not who is bound or revoked."""
    machine = facts.machine("3-FCB04871")
    facts.terminal("1", facts.machine("3-BOUND"))
    facts.terminal("3")
    facts.terminal("5")
    facts.run("UPDATE terminal SET state = 'revoked' WHERE phone = '5'")
    refuse(facts, "2", plate="环3-fcb04871")
    refuse(facts, "3", result=2)
    refuse(facts, "4", plate="")
    items, cursor = [], None
    while True:
        params = {"state": "unbound", "limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = (await client.get(API, params=params, headers=facts.bearer())).json()
        items += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert [(item["phone"], item["state"], item["enrolled"], item["refusal"]["result"]) for item in items] == [
        ("2", "refused", False, 4), ("3", "registered", True, 2), ("4", "refused", False, 4),
    ]  # fmt: skip
    assert len({tuple(item) for item in items}) == 1
    assert items[0]["refusal"]["machine"]["id"] == machine, "the machine that its plate names, for one step"
    assert items[1]["refusal"]["machine"] is None
    assert items[0]["maker"] == "ACME"
    assert answer["dropped"] == 0

    async def phones(**params):
        found = (await client.get(API, params=params, headers=facts.bearer())).json()["items"]
        return [item["phone"] for item in found]

    assert await phones(state="unbound", q="3") == ["3"]
    assert await phones(state="refused") == ["2", "4"]
    assert await phones(state="bound") == ["1"]
    assert await phones() == ["1", "3", "5"]
    assert (await client.get(API, params={"state": "lost"}, headers=facts.bearer())).status_code == 422


async def test_a_refused_terminal_is_bound_in_one_step(client, facts):
    """Binding it enrols it, with what it said of itself; it waits no more, and the registry that edges read has moved."""
    refuse(facts, "139")
    before = facts.run("SELECT version FROM registry")[0][0]
    machine = facts.machine()
    answer = await client.post(f"{API}/0139/bindings", json={"machine": machine}, headers=facts.bearer())
    assert answer.status_code == 201
    assert (answer.json()["maker"], answer.json()["machine"]["id"]) == ("ACME", machine)
    assert (await client.get(f"{API}?state=unbound", headers=facts.bearer())).json()["items"] == []
    assert facts.run("SELECT version FROM registry")[0][0] > before
    assert facts.run("SELECT data ->> 'event' FROM event") == [("bound",)]


async def test_a_stranger_is_dismissed(client, facts):
    """It leaves the queue for good, however often it asks; an enrolled terminal is not dismissed; it may still be bound."""
    refuse(facts, "139")
    facts.terminal("140")
    assert (await client.post(f"{API}/139/dismiss", headers=facts.bearer())).status_code == 204
    assert (await client.get(f"{API}?state=refused", headers=facts.bearer())).json()["items"] == []
    [item] = (await client.get(f"{API}?state=dismissed", headers=facts.bearer())).json()["items"]
    assert item["refusal"]["dismissed_at"] is not None
    assert (await client.post(f"{API}/140/dismiss", headers=facts.bearer())).status_code == 409
    assert (await client.post(f"{API}/141/dismiss", headers=facts.bearer())).status_code == 404
    machine = facts.machine()
    bound = await client.post(f"{API}/139/bindings", json={"machine": machine}, headers=facts.bearer())
    assert bound.status_code == 201
    assert [row[1:3] for row in facts.audits("terminal.dismiss")] == [("terminal.dismiss", "terminal/139")]


async def test_a_new_generation_revokes_the_code(client, facts):
    """The generation moves, edges hear of it, and who did it is in the audit."""
    facts.terminal("139")
    before = facts.run("SELECT version FROM registry")[0][0]
    answer = await client.post(f"{API}/0139/revoke", headers=facts.bearer())
    assert (answer.status_code, answer.json()["generation"]) == (200, 2)
    assert facts.run("SELECT version FROM registry")[0][0] == before + 1
    assert [row[2] for row in facts.audits("terminal.revoke")] == ["terminal/139"]
    assert (await client.post(f"{API}/140/revoke", headers=facts.bearer())).status_code == 404


async def test_trust_is_the_terminals_own_or_its_makers(client, facts):
    """A maker's terminals follow it, unless one has a trust of its own; what changes nothing is no news for the edges."""
    facts.terminal("139")
    facts.run("UPDATE terminal SET maker = 'AC/ME'")

    async def trust():
        item = (await client.get(f"{API}/139", headers=facts.bearer())).json()
        return item["trust"], item["trust_of"]

    def version():
        return facts.run("SELECT version FROM registry")[0][0]

    assert await trust() == ("strict", "default")
    before = version()
    put = await client.put("/api/v1/makers/AC/ME", json={"trust": "legacy", "note": "旧终端"}, headers=facts.bearer())
    assert (put.json()["maker"], put.json()["trust"], put.json()["terminals"]) == ("AC/ME", "legacy", 1)
    assert await trust() == ("legacy", "maker")
    assert version() > before
    before = version()
    facts.run("UPDATE terminal SET model = 'X'")
    assert version() == before
    facts.run("UPDATE terminal SET maker = 'OTHER'")
    assert version() == before + 1
    facts.run("UPDATE terminal SET maker = 'AC/ME'")
    one = await client.put(f"{API}/139", json={"trust": "strict"}, headers=facts.bearer())
    assert (one.status_code, await trust()) == (200, ("strict", "terminal"))
    await client.put(f"{API}/139", json={"trust": None}, headers=facts.bearer())
    assert await trust() == ("legacy", "maker")
    listed = (await client.get("/api/v1/makers", headers=facts.bearer())).json()["items"]
    assert [(row["maker"], row["trust"]) for row in listed] == [("AC/ME", "legacy")]
    assert (await client.get("/api/v1/makers/NONE", headers=facts.bearer())).status_code == 404
    for bad in ({"trust": "any"}, {}, {"trust": "legacy", "colour": 1}):
        assert (await client.put("/api/v1/makers/X", json=bad, headers=facts.bearer())).status_code == 422
    assert len(facts.audits("maker.update")) == 1


async def test_put_sets_the_state(client, facts):
    """A revoked terminal keeps its bindings and may be taken in again; null is no state."""
    facts.terminal("139")
    for state in ("revoked", "registered"):
        answer = await client.put(f"{API}/139", json={"state": state}, headers=facts.bearer())
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert (await client.put(f"{API}/139", json={"state": None}, headers=facts.bearer())).status_code == 422
    assert (await client.put(f"{API}/139", json={"state": "lost"}, headers=facts.bearer())).status_code == 422
    assert (await client.put(f"{API}/140", json={"state": "revoked"}, headers=facts.bearer())).status_code == 404


async def test_a_quarantine_is_released(client, facts):
    """Who is held back is listed; a release ends it, says so on the stream, and is audited; twice is a 409."""
    facts.terminal("139")
    facts.run("UPDATE terminal SET quarantined_until = %s", datetime.now(UTC) + timedelta(hours=1))
    [item] = (await client.get(f"{API}?state=quarantined", headers=facts.bearer())).json()["items"]
    assert (item["phone"], item["quarantined_until"] is not None) == ("139", True)
    answer = await client.post(f"{API}/139/release", headers=facts.bearer())
    assert (answer.status_code, answer.json()["quarantined_until"]) == (200, None)
    assert facts.run("SELECT data FROM event") == [({"event": "released", "phone": "139"},)]
    assert len(facts.audits("terminal.release")) == 1
    assert (await client.post(f"{API}/139/release", headers=facts.bearer())).status_code == 409
    assert (await client.post(f"{API}/140/release", headers=facts.bearer())).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "139/bindings", {"machine": 1}), ("POST", "139/unbind", {}), ("POST", "139/dismiss", None),
     ("POST", "139/revoke", None), ("POST", "139/release", None), ("PUT", "139", {"trust": "legacy"})],
)  # fmt: skip
async def test_only_who_keeps_terminals_may_change_them(client, facts, method, path, body):
    """Staff who only look at terminals get a 403 and change nothing."""
    facts.terminal("139")
    answer = await client.request(method, f"{API}/{path}", json=body, headers=facts.bearer("branch_handler", BRANCH))
    assert answer.status_code == 403
    assert facts.audits() == []
