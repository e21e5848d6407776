"""Dated attributes: what a machine was, is and will be, and what a change of one date does to the others."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.admin_api.conftest import BRANCH

PAST, LONG_AGO = "2026-01-01T00:00:00+08:00", "2020-01-01T00:00:00+08:00"


def tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


async def put(client, facts, machine, expected=200, /, **fields):
    answer = await client.put(f"/api/v1/machines/{machine}", json=fields, headers=facts.bearer())
    assert answer.status_code == expected, answer.text
    return answer.json()


async def versions(client, facts, machine):
    answer = await client.get(f"/api/v1/machines/{machine}/versions", headers=facts.bearer())
    return answer.json()["items"]


@pytest.mark.asyncio
async def test_an_engine_change_counts_from_its_date(client, facts):
    """Stage 2 before, 4 after; the machine shows what is so now, with who recorded it and on what ground."""
    machine = facts.machine(stage="2")
    document = await put(client, facts, machine, emission_stage="国四", effective_from=PAST, source="engine_change")
    assert (document["emission_stage"], document["source"]) == ("4", "engine_change")
    assert datetime.fromisoformat(document["effective_from"]) == datetime.fromisoformat(PAST)
    new, old = await versions(client, facts, machine)
    assert (new["emission_stage"], new["source"], new["recorded_by"]) == ("4", "engine_change", "token:test")
    assert (old["emission_stage"], old["effective_from"], old["source"]) == ("2", None, "declared")
    assert facts.run("SELECT emission_stage FROM machine") == [("4",)]
    detail = facts.run("SELECT detail FROM audit WHERE action = 'machine.update'")[0][0]
    assert (detail["dated"], detail["source"]) == ({"emission_stage": "4"}, "engine_change")
    assert detail["effective_from"] == PAST


@pytest.mark.asyncio
async def test_a_change_of_a_later_day_waits_for_it(client, facts):
    """Present values stay until then, and the machine says when; the list shows the new ones at their time by itself."""
    machine = facts.machine(stage="2")
    document = await put(client, facts, machine, emission_stage="3", district="371521", effective_from=tomorrow())
    assert (document["emission_stage"], document["district"]) == ("2", BRANCH)
    assert document["changes_at"] is not None
    assert facts.run("SELECT settle_machines()") == [(0,)]
    with facts.connection.transaction():  # what the coming day does
        facts.run("UPDATE machine_version SET valid_from = now() WHERE valid_from > now()")
    answer = await client.get("/api/v1/machines", params={"district": "371521"}, headers=facts.bearer())
    assert [item["emission_stage"] for item in answer.json()["items"]] == ["3"]
    assert facts.run("SELECT emission_stage FROM machine") == [("2",)]
    epoch = facts.run("SELECT epoch FROM ruleset")
    assert facts.run("SELECT settle_machines()") == [(1,)]
    assert facts.run("SELECT emission_stage, district FROM machine") == [("3", "371521")]
    assert facts.run("SELECT count(*) FROM machine_version") == [(2,)]  # it was known already
    assert facts.run("SELECT epoch FROM ruleset") == epoch


@pytest.mark.asyncio
async def test_a_past_change_goes_on_until_it_was_changed_again(client, facts):
    """An owner of January is the owner since, unless another was recorded for March; other fields are as they were."""
    machine = facts.machine(stage="1")
    await put(client, facts, machine, emission_stage="2", owner_name="三建", effective_from="2026-03-01T00:00:00+08:00")
    await put(client, facts, machine, emission_stage="3", effective_from="2026-05-01T00:00:00+08:00")
    await put(client, facts, machine, owner_name="一建", project="地铁", effective_from="2026-01-01T00:00:00+08:00")
    history = [
        (each["emission_stage"], each["owner_name"], each["project"]) for each in await versions(client, facts, machine)
    ]
    assert history == [("3", "三建", "地铁"), ("2", "三建", "地铁"), ("1", "一建", "地铁"), ("1", None, None)]
    assert facts.run("SELECT owner_name, project, emission_stage FROM machine") == [("三建", "地铁", "3")]


@pytest.mark.asyncio
async def test_what_changes_nothing_is_no_version(client, facts):
    """The same again is none, a brand is none; a ground is given for the same value: it was verified, and that is news."""
    machine = facts.machine(stage="2")
    await put(client, facts, machine, power_kw="118.123456")
    epoch = facts.run("SELECT epoch FROM ruleset")
    await put(
        client, facts, machine, power_kw="118.123456", emission_stage="2", brand="卡特", smoke_tested_on="2026-02-03"
    )
    assert len(await versions(client, facts, machine)) == 2
    assert facts.run("SELECT epoch FROM ruleset") == epoch
    await put(client, facts, machine, emission_stage="2", source="verified")
    assert [each["source"] for each in await versions(client, facts, machine)] == ["verified", "declared", "declared"]


@pytest.mark.asyncio
async def test_a_machine_is_cancelled_and_comes_back(client, facts):
    """Cancelled since the first version that says so without a break."""
    machine = facts.machine()
    assert (await put(client, facts, machine, status="报废", effective_from=PAST))["status"] == "cancelled"
    document = await put(client, facts, machine, project="无")
    assert datetime.fromisoformat(document["cancelled_at"]) == datetime.fromisoformat(PAST)
    assert (await put(client, facts, machine, status="in_use"))["cancelled_at"] is None
    assert (await put(client, facts, machine, status="注销"))["cancelled_at"] > document["cancelled_at"]


@pytest.mark.asyncio
async def test_what_cannot_be_dated_is_refused(client, facts):
    """A date about nothing, a number from a later day, an import's ground, an emptied class; nothing is written."""
    machine = facts.machine()
    for fields in (
        {"brand": "x", "effective_from": PAST}, {"effective_from": PAST}, {"owner_phone": "1", "source": "label"},
        {"registration_number": "3-9", "effective_from": tomorrow()}, {"emission_stage": "3", "source": "import"},
        {"smoke_class": None}, {"status": None}, {"status": "lost"}, {"smoke_class": "4"},
        {"emission_stage": "3", "effective_from": "soon"},
    ):  # fmt: skip
        await put(client, facts, machine, 422, **fields)
    await put(client, facts, 999, 404, emission_stage="3", effective_from=PAST)
    other = facts.machine("3-2")
    await put(client, facts, other, 409, registration_number="3-00012345", effective_from=PAST)
    assert [len(await versions(client, facts, one)) for one in (machine, other)] == [1, 1]
    answer = await client.get("/api/v1/machines/999/versions", headers=facts.bearer())
    assert answer.status_code == 404


def test_history_is_what_its_changes_say(facts, api_database):
    """Any changes in any order: at every time a field is what the latest-dated change of it before then says.

    The oracle knows nothing of versions: it keeps the changes of each field by their dates. Where two changes are of one
    date the one that was made later counts.
    """
    numbers = itertools.count(1)
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 7)]
    one = st.tuples(
        st.sampled_from(days),
        st.dictionaries(st.sampled_from(["emission_stage", "owner_name"]), st.sampled_from("1234"), min_size=1),
    )

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(one, max_size=8))
    def check(changes):
        machine = facts.machine(f"3-{next(numbers)}", stage="1")
        known = {"emission_stage": {}, "owner_name": {}}
        with psycopg.connect(api_database) as connection:
            for at, fields in changes:
                connection.execute("SELECT record_machine(%s, %s, %s)", (machine, Jsonb(fields), at))
                for name, value in fields.items():
                    before = max((day for day in known[name] if day <= at), default=None)
                    now = "1" if name == "emission_stage" else None
                    if value != (now if before is None else known[name][before]):
                        known[name][at] = value
        for at in [*days, days[0] - timedelta(days=1)]:
            (found,) = facts.run(
                "SELECT emission_stage, owner_name FROM machine_version WHERE machine = %s AND valid_from <= %s"
                " ORDER BY valid_from DESC LIMIT 1", machine, at,
            )  # fmt: skip
            expected = []
            for name, first in (("emission_stage", "1"), ("owner_name", None)):
                day = max((day for day in known[name] if day <= at), default=None)
                expected.append(first if day is None else known[name][day])
            assert list(found) == expected

    check()
