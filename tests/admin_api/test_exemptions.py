"""Exemptions over the API: who may grant which, by two people, and that nothing of them is ever edited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.admin_api.conftest import BRANCH, OTHER

pytestmark = pytest.mark.asyncio
PATH = "/api/v1/exemptions"
BODY = {"from": "2026-01-01T00:00:00+08:00", "to": "2199-01-01T00:00:00+08:00", "approver": "王局长",
        "reason": "应急抢险", "doc_no": "聊环函〔2026〕3号"}  # fmt: skip


async def post(client, facts, status=201, role="city_admin", district=None, **fields):
    body = {name: value for name, value in {**BODY, **fields}.items() if value is not None}
    answer = await client.post(PATH, json=body, headers=facts.bearer(role, district))
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_exemption_is_granted_and_revoked(client, facts):
    """It names who is spared, where, when, on whose word and why; a revocation ends it, keeps it, and cannot be repeated."""
    machine, zone = facts.machine(), facts.zone()
    epoch = facts.run("SELECT epoch FROM ruleset")[0][0]
    made = await post(client, facts, kind="machine", machine=machine, zone=zone)
    assert (made["kind"], made["machine"], made["zone"], made["state"]) == ("machine", machine, zone, "in_force")
    assert (made["approver"], made["created_by"], made["doc_no"]) == ("王局长", "token:test", BODY["doc_no"])
    assert facts.run("SELECT epoch FROM ruleset")[0][0] == epoch + 1
    path = f"{PATH}/{made['id']}"
    assert (await client.get(path, headers=facts.bearer())).json() == made
    revoked = await client.post(path + "/revoke", json={"reason": "抢险结束"}, headers=facts.bearer())
    assert revoked.status_code == 200
    assert (revoked.json()["state"], revoked.json()["revocation"]) == ("revoked", "抢险结束")
    assert revoked.json()["to"] == made["to"]
    assert facts.run("SELECT epoch FROM ruleset")[0][0] == epoch + 2
    again = await client.post(path + "/revoke", json={"reason": "x"}, headers=facts.bearer())
    assert (again.status_code, again.json()["type"]) == (409, "urn:lezgate:problem:exemption-ended")
    for missing in (f"{PATH}/999/revoke", f"{PATH}/999"):
        call = client.post(missing, json={"reason": "x"}, headers=facts.bearer()) if "revoke" in missing else client.get(
            missing, headers=facts.bearer())  # fmt: skip
        assert (await call).status_code == 404
    assert [row[1:3] for row in facts.audits()] == [
        ("exemption.create", f"exemption/{made['id']}"), ("exemption.revoke", f"exemption/{made['id']}"),
    ]  # fmt: skip
    detail = facts.run("SELECT detail FROM audit WHERE action = 'exemption.create'")[0][0]
    assert (detail["approver"], detail["reason"], detail["from"]) == ("王局长", "应急抢险", BODY["from"])


async def test_every_kind_names_one_thing(client, facts):
    """Machine, owner, project or purpose, the one that the kind says; text as the registry spells it."""
    machine = facts.machine()
    for kind, value in (("machine", machine), ("owner", "一建"), ("project", "地铁２号线"), ("purpose", "应急抢险")):
        await post(client, facts, kind=kind, **{kind: value})
    assert facts.run("SELECT project FROM exemption WHERE kind = 'project'") == [("地铁2号线",)]
    for wrong in (
        {"kind": "machine"}, {"kind": "owner", "machine": machine}, {"kind": "owner", "owner": "a", "project": "b"},
        {"kind": "district", "district": BRANCH}, {"kind": "owner", "owner": "  "},
        {"kind": "owner", "owner": "a", "reason": ""}, {"kind": "owner", "owner": "a", "approver": None},
        {"kind": "owner", "owner": "a", "reason": None}, {"kind": "owner", "owner": "a", "from": ""},
        {"kind": "owner", "owner": "a", "to": BODY["from"]}, {"kind": "owner", "owner": "a", "colour": "red"},
    ):  # fmt: skip
        await post(client, facts, 422, **wrong)
    await post(client, facts, 404, kind="machine", machine=999)
    await post(client, facts, 404, kind="owner", owner="a", zone=999)
    assert facts.run("SELECT count(*) FROM exemption") == [(4,)]


async def test_who_enters_it_does_not_approve_it(client, facts):
    """Not by another spelling either."""
    for approver in ("token:test", " TOKEN:test ", "ｔoken:test"):
        problem = await post(client, facts, 422, kind="owner", owner="a", approver=approver)
        assert problem["type"] == "urn:lezgate:problem:second-person"


async def test_a_branch_decides_about_its_own_zones(client, facts):
    """Its own district's zones, to grant and to revoke; every zone, and others', are the city's; handlers decide nothing."""
    own, foreign = facts.zone(BRANCH), facts.zone(OTHER)
    fields = {"kind": "owner", "owner": "一建"}
    made = await post(client, facts, role="branch_admin", district=BRANCH, zone=own, **fields)
    for zone in (foreign, None):
        await post(client, facts, 403, role="branch_admin", district=BRANCH, zone=zone, **fields)
        theirs = await post(client, facts, zone=zone, **fields)
        answer = await client.post(
            f"{PATH}/{theirs['id']}/revoke", json={"reason": "x"}, headers=facts.bearer("branch_admin", BRANCH)
        )
        assert answer.status_code == 403
    answer = await client.post(
        f"{PATH}/{made['id']}/revoke", json={"reason": "x"}, headers=facts.bearer("branch_admin", BRANCH)
    )
    assert answer.status_code == 200
    for role, district in (("branch_handler", BRANCH), ("city_viewer", None), ("operations", None)):
        await post(client, facts, 403, role=role, district=district, zone=own, **fields)


async def test_the_list_is_filtered_and_paged(client, facts):
    """By zone (with those of every zone), machine and state; pages join."""
    machine, zone, other = facts.machine(), facts.zone(), facts.zone()
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for fields in (
        {"kind": "machine", "machine": machine, "zone": zone}, {"kind": "owner", "owner": "a"},
        {"kind": "owner", "owner": "b", "zone": other, "to": "2026-01-02"}, {"kind": "owner", "owner": "c", "from": later},
    ):  # fmt: skip
        await post(client, facts, **fields)

    async def ids(**params):
        answer = await client.get(PATH, params=params, headers=facts.bearer("city_viewer"))
        assert answer.status_code == 200
        return [item["id"] for item in answer.json()["items"]]

    assert await ids() == [1, 2, 3, 4]
    assert await ids(zone=str(zone)) == [1, 2, 4]
    assert await ids(machine=str(machine)) == [1]
    assert [await ids(state=state) for state in ("in_force", "ended", "coming", "revoked")] == [[1, 2], [3], [4], []]
    first = (await client.get(PATH + "?limit=3", headers=facts.bearer())).json()
    assert await ids(limit="3", cursor=first["next_cursor"]) == [4]


async def test_the_database_keeps_what_was_granted(api_database, facts):
    """The api can add and revoke; whom, where, when and why cannot be edited, and no row deleted."""
    facts.run(
        "INSERT INTO exemption (kind, owner, during, approver, reason, created_by)"
        " VALUES ('owner', 'a', '[2026-01-01Z,)', 'x', 'r', 'y')"
    )
    for statement in (
        "UPDATE exemption SET reason = 'other'", "UPDATE exemption SET during = '[2020-01-01Z,)'", "DELETE FROM exemption",
        "UPDATE machine_version SET emission_stage = '4'", "DELETE FROM machine_version",
    ):  # fmt: skip
        with psycopg.connect(api_database) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
