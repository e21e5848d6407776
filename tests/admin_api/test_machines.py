"""Machines over the API: values in two languages, their terminals, tables of them."""

from __future__ import annotations

import pytest

from tests.admin_api.conftest import BRANCH

pytestmark = pytest.mark.asyncio


async def test_a_machine_is_created_with_its_terminal(client, facts):
    """Chinese values become the registry's; the phone enrols a terminal that is the machine's from ever."""
    body = {"registration_number": "3-00012345", "machine_type": "挖掘机", "emission_stage": "国Ⅲ", "power_kw": "118",
            "energy": "柴油", "terminal_phone": "013900000001", "district": BRANCH}  # fmt: skip
    answer = await client.post("/api/v1/machines", json=body, headers=facts.bearer())
    assert answer.status_code == 201
    machine = answer.json()
    for name, value in {"registration_number": "3-00012345", "machine_type": "excavator", "emission_stage": "3",
                        "power_kw": 118.0, "energy": "diesel", "terminal_phone": "13900000001",
                        "registration_type": "machinery"}.items():  # fmt: skip
        assert machine[name] == value
    assert facts.run("SELECT lower_inf(during), upper_inf(during) FROM binding") == [(True, True)]
    assert (await client.get(answer.headers["location"], headers=facts.bearer())).json() == machine
    again = await client.post("/api/v1/machines", json=body, headers=facts.bearer())
    assert again.status_code == 409
    for bad in ({"emission_stage": "国九"}, {"power_kw": "much"}, {"colour": "red"}, {"terminal_phone": "12a"}):
        answer = await client.post(
            "/api/v1/machines", json={**body, "registration_number": "X", **bad}, headers=facts.bearer()
        )
        assert answer.status_code == 422, bad
    assert (
        await client.post("/api/v1/machines", json={"machine_type": "loader"}, headers=facts.bearer())
    ).status_code == 422


async def test_put_sets_what_is_given(client, facts):
    """Fields that are left out stay, null empties, another terminal ends the old binding now."""
    machine = facts.machine()
    facts.terminal("13900000001", machine)
    path = f"/api/v1/machines/{machine}"
    answer = await client.put(
        path, json={"emission_stage": "electric", "district": None, "terminal_phone": "2"}, headers=facts.bearer()
    )
    assert answer.status_code == 200
    document = answer.json()
    assert (document["emission_stage"], document["district"], document["machine_type"]) == (
        "electric",
        None,
        "excavator",
    )
    assert document["terminal_phone"] == "2"
    old = (await client.get("/api/v1/terminals/13900000001", headers=facts.bearer())).json()
    assert old["bound"] is False
    assert old["bindings"][0]["to"] is not None
    assert (await client.put(path, json={"emission_stage": None}, headers=facts.bearer())).status_code == 422
    assert (await client.put("/api/v1/machines/999", json={"brand": "x"}, headers=facts.bearer())).status_code == 404


async def test_machines_are_found_by_part_of_what_they_are_known_by(client, facts):
    """q finds by number, phone or owner; pages join."""
    for i in range(3):
        facts.terminal(f"1390000000{i}", facts.machine(f"3-ABC0{i}"))

    async def numbers(**params):
        answer = await client.get("/api/v1/machines", params=params, headers=facts.bearer())
        return [item["registration_number"] for item in answer.json()["items"]]

    assert await numbers(q="abc01") == ["3-ABC01"]
    assert await numbers(q="13900000002") == ["3-ABC02"]
    assert await numbers(q="nothing") == []
    first = (await client.get("/api/v1/machines?limit=2", headers=facts.bearer())).json()
    assert await numbers(limit="2", cursor=first["next_cursor"]) == ["3-ABC02"]


async def test_a_table_is_imported_over_the_api(client, facts):
    """Counts, and one reason a refused row; a dry run writes nothing; a file that is no table is a 422."""
    table = (
        "环保登记号码,终端手机号,机械类型,排放阶段\n3-00012345,013900000001,挖掘机,国三\n3-2,2,装载机,国九\n".encode(
            "gbk"
        )
    )

    async def upload(data, **params):
        return await client.post(
            "/api/v1/machines/import", params=params, files={"file": ("台账.csv", data)}, headers=facts.bearer()
        )

    dry = (await upload(table, dry_run=True)).json()
    assert (dry["rows"], dry["dry_run"]) == (1, True)
    assert facts.run("SELECT count(*) FROM machine")[0][0] == 0
    done = (await upload(table)).json()
    assert (done["created"], done["terminals_bound"]) == (1, 1)
    assert [(row["row"], row["field"]) for row in done["refused"]] == [(3, "emission_stage")]
    assert "国九" in done["refused"][0]["reason_zh"]
    assert (await upload(table)).json()["unchanged"] == 1
    assert (await upload(b"\x00\x01\xff")).status_code == 422
