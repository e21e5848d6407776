"""Bindings over the API: dated, exclusive, and decided once however many people decide at the same moment."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from columns.identity import device_of

pytestmark = pytest.mark.asyncio

API = "/api/v1/terminals"


@pytest.fixture
def bind(client, facts):
    async def one(phone, **body):
        body = {"from" if name == "since" else name: value for name, value in body.items()}
        return await client.post(f"{API}/{phone}/bindings", json=body, headers=facts.bearer())

    return one


async def test_bindings_are_dated_and_exclusive(client, facts, bind):
    """A binding ends what the terminal and the machine had; the past is not rewritten; the same binding again is nothing new."""
    one, two = facts.machine("3-ONE"), facts.machine("3-TWO")
    facts.terminal("1", one)
    facts.terminal("2", two)
    assert (await bind("1", machine="3-two", since="2026-01-01T00:00:00+08:00")).status_code == 201
    bound = (await client.get(f"{API}?state=bound", headers=facts.bearer())).json()["items"]
    assert [(item["phone"], item["machine"]["registration_number"]) for item in bound] == [("1", "3-TWO")]
    past = await bind("1", machine_id=one, since="2025-01-01")
    assert past.status_code == 409
    assert "历史" in past.json()["detail_zh"]
    assert past.json()["bindings"][0]["registration_number"] == "3-TWO"
    count = facts.run("SELECT count(*) FROM binding")[0][0]
    assert (await bind("1", registration_number="3-TWO")).status_code == 201
    assert facts.run("SELECT count(*) FROM binding")[0][0] == count
    assert (await bind("3", machine=one)).status_code == 404
    assert (await bind("1", machine="3-NONE")).status_code == 404
    assert (await bind("1")).status_code == 422
    unbound = (await client.get(f"{API}?state=unbound", headers=facts.bearer())).json()["items"]
    assert [item["phone"] for item in unbound] == ["2"]


async def test_a_terminal_moves_now(facts, bind):
    """Without a date it moves at once, as often as somebody says so, one after the other."""
    facts.terminal("1", facts.machine("3-ONE"))
    for number in ("3-TWO", "3-THREE", "3-FOUR"):
        facts.machine(number)
        answer = await bind("1", machine=number)
        assert (answer.status_code, answer.json()["machine"]["registration_number"]) == (201, number)
    assert facts.run("SELECT count(*) FROM binding WHERE during @> now()") == [(1,)]


async def test_two_terminals_beside_each_other(facts, bind):
    """A machine may have several terminals, where somebody says that they are to sit beside each other."""
    machine = facts.machine("3-ONE")
    facts.terminal("1", machine)
    facts.terminal("2")
    assert (await bind("2", machine=machine, beside=True)).status_code == 201
    assert facts.run("SELECT count(*) FROM binding WHERE upper_inf(during)") == [(2,)]
    facts.terminal("3")
    assert (await bind("3", machine=machine)).status_code == 201
    assert facts.run("SELECT count(*) FROM binding WHERE upper_inf(during)") == [(1,)]


async def test_a_time_with_an_end(facts, bind):
    """[from, to): what lies free is taken and nothing is ended; a part that is taken is a 409 in two languages."""
    one, two = facts.machine("3-ONE"), facts.machine("3-TWO")
    facts.terminal("1")
    assert (await bind("1", machine=one, since="2026-02-01", to="2026-03-01")).status_code == 201
    assert (await bind("1", machine=two, since="2026-03-01", to="2026-04-01")).status_code == 201, "to is not included"
    assert (await bind("1", machine=two, since="2026-01-01", to="2026-02-01")).status_code == 201
    answer = await bind("1", machine=two, since="2026-02-10", to="2026-02-11")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("binding-overlap")
    assert "终端" in answer.json()["detail_zh"]
    assert len(answer.json()["bindings"]) == 3
    for bad in ({"to": "2026-05-01"}, {"since": "2026-05-01", "to": "2026-05-01"}):
        assert (await bind("1", machine=one, **bad)).status_code == 422
    assert facts.run("SELECT count(*) FROM binding") == [(3,)]


async def test_the_constraint_is_the_tables(facts):
    """Whoever writes: PostgreSQL itself refuses a second machine for a time that is taken."""
    machine = facts.machine()
    facts.terminal("1", machine)
    with pytest.raises(psycopg.errors.ExclusionViolation):
        facts.run(
            "INSERT INTO binding (device, machine, during) VALUES (%s, %s, '[2026-01-01,2026-01-02)')",
            device_of("1"), machine,
        )  # fmt: skip


@pytest.mark.parametrize("since", [None, "2026-01-01"])
@pytest.mark.parametrize("refused", [True, False])
async def test_of_eight_at_once_one_wins(facts, bind, since, refused):
    """Eight people bind one terminal to eight machines at the same moment: one 201, seven 409, one binding."""
    numbers = [f"3-M{i}" for i in range(8)]
    for number in numbers:
        facts.machine(number)
    if refused:
        facts.run("INSERT INTO terminal_refused (phone) VALUES ('139')")
    else:
        facts.terminal("139")
    more = {} if since is None else {"since": since}
    answers = await asyncio.gather(*(bind("139", machine=number, **more) for number in numbers))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert facts.run("SELECT count(*), count(*) FILTER (WHERE isempty(during)) FROM binding") == [(1, 0)]
    for answer in answers:
        assert answer.status_code == 201 or answer.json()["detail_zh"]


async def test_of_eight_terminals_one_gets_the_machine(facts, bind):
    """Nor do eight terminals end each other on one machine."""
    machine = facts.machine()
    for i in range(8):
        facts.terminal(str(i + 1))
    answers = await asyncio.gather(*(bind(str(i + 1), machine=machine) for i in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert facts.run("SELECT count(*) FROM binding") == [(1,)]


async def test_a_terminal_is_taken_off(client, facts):
    """It waits in the queue again, its track stays with the machine; who sits on nothing cannot be taken off."""
    facts.terminal("1", facts.machine())

    async def unbind(**body):
        return await client.post(f"{API}/1/unbind", json=body, headers=facts.bearer())

    answer = await unbind(at="2026-03-01T00:00:00+08:00")
    assert (answer.status_code, answer.json()["bound"]) == (200, False)
    assert answer.json()["bindings"][0]["to"] == "2026-03-01T00:00:00+08:00"
    assert [i["phone"] for i in (await client.get(f"{API}?state=unbound", headers=facts.bearer())).json()["items"]] == [
        "1"
    ]
    assert (await unbind()).status_code == 409
    assert (await client.post(f"{API}/9/unbind", json={}, headers=facts.bearer())).status_code == 404
    assert len(facts.audits("binding.end")) == 1
