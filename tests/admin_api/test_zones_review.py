"""From draft to law: submitted, reviewed by a second person, in force from its day on; and who comes too late."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from psycopg.rows import dict_row

from admin_api.permissions import ROLES, Permission
from admin_api.zone_states import ACTIONS
from storage.queries import zones
from tests.admin_api.conftest import BRANCH, OTHER, zone_feature

pytestmark = pytest.mark.asyncio


class Staff:
    """One person with an account, signed in."""

    def __init__(self, client, facts, login: str, role: str = "city_admin", district: str | None = None) -> None:
        text = secrets.token_urlsafe(16)
        ((account,),) = facts.run(
            "INSERT INTO account (login, role, district) VALUES (%s, %s, %s) RETURNING id", login, role, district
        )
        facts.run(
            "INSERT INTO token (hash, kind, name, role, district, account) VALUES (%s, 'session', %s, %s, %s, %s)",
            hashlib.sha256(text.encode()).digest(), login, role, district, account,
        )  # fmt: skip
        self.client = client
        self.headers = {"Cookie": f"lezgate_session={text}", "X-Lezgate": "1"}

    async def draw(self, **properties) -> int:
        answer = await self.client.post("/api/v1/zones", json=zone_feature(**properties), headers=self.headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def edit(self, zone: int, **properties):
        return await self.client.put(f"/api/v1/zones/{zone}", json=zone_feature(**properties), headers=self.headers)

    async def step(self, zone: int, action: str, **body):
        content = {"json": body} if body else {}
        return await self.client.post(f"/api/v1/zones/{zone}/{action}", headers=self.headers, **content)

    async def versions(self, zone: int) -> list[dict]:
        answer = await self.client.get(f"/api/v1/zones/{zone}/versions", headers=self.headers)
        return [item["properties"] for item in answer.json()["items"]]


@pytest.fixture
def li(client, facts):
    """Draws zones for a branch."""
    return Staff(client, facts, "li", "branch_admin", BRANCH)


@pytest.fixture
def wang(client, facts):
    return Staff(client, facts, "wang")


@pytest.fixture
def zhao(client, facts):
    return Staff(client, facts, "zhao")


def code(answer) -> tuple[int, str]:
    """Status and problem; a problem speaks both languages."""
    document = answer.json()
    assert document["detail"]
    assert document["detail_zh"]
    return answer.status_code, document["type"].rpartition(":")[2]


async def test_a_draft_becomes_law(li, wang, facts):
    """Drawn and submitted by one, approved by another: in force, with every step, its time and its note in its papers."""
    zone = await li.draw()
    submitted = (await li.step(zone, "submit", note="请审核")).json()["properties"]
    assert (submitted["state"], submitted["author"], submitted["submitted_by"]) == ("in_review", "li", "li")
    answer = await wang.step(zone, "approve", version=1, note="同意")
    law = answer.json()["properties"]
    assert (answer.status_code, law["state"], law["direct"]) == (200, "active", False)
    assert (law["reviewed_by"], law["review_note"]) == ("wang", "同意")
    assert law["submitted_at"] < law["reviewed_at"] == law["published_at"]
    (version,) = await wang.versions(zone)
    assert [(p["action"], p["actor"], p["role"], p["note"]) for p in version["papers"]] == [
        ("draft", "li", "branch_admin", None),
        ("submit", "li", "branch_admin", "请审核"),
        ("approve", "wang", "city_admin", "同意"),
    ]
    assert [p["at"] for p in version["papers"]] == sorted(p["at"] for p in version["papers"])
    assert [row[:3] for row in facts.audits()] == [
        ("li", "zone.draft", f"zone/{zone}"), ("li", "zone.submit", f"zone/{zone}"), ("wang", "zone.approve", f"zone/{zone}")
    ]  # fmt: skip


async def test_nobody_reviews_their_own(client, wang, zhao, facts):
    """Not who drew it, not who submitted it, not with their token either; a third may."""
    zone = await wang.draw()
    assert (await zhao.step(zone, "submit")).status_code == 200
    for person in (wang, zhao):
        for action, more in (("approve", {}), ("reject", {"note": "不同意"})):
            assert code(await person.step(zone, action, **more)) == (403, "second-person-required")
    token = facts.token()
    facts.run("UPDATE token SET account = (SELECT id FROM account WHERE login = 'wang') WHERE hash = %s",
              hashlib.sha256(token.encode()).digest())  # fmt: skip
    own = await client.post(f"/api/v1/zones/{zone}/approve", headers={"Authorization": f"Bearer {token}"})
    assert code(own) == (403, "second-person-required")
    assert (await Staff(client, facts, "qian").step(zone, "approve")).json()["properties"]["state"] == "active"


async def test_without_its_notices_number_nothing_is_submitted(li, wang, facts):
    """The reviewer cannot write it in, so it is asked for before."""
    zone = await li.draw(doc_no=None)
    assert code(await li.step(zone, "submit")) == (422, "doc-no-required")
    facts.run("UPDATE zone_version SET state = 'in_review', submitted_by = 'li', submitted_at = now()")
    assert code(await wang.step(zone, "approve")) == (422, "doc-no-required")
    assert facts.run("SELECT state FROM zone_version") == [("in_review",)]


async def test_a_rejected_version_is_drawn_anew(li, wang):
    """A rejection says why, and is final: the next version goes the whole way. The list shows it until then."""
    zone = await li.draw()
    await li.step(zone, "submit")
    assert code(await wang.step(zone, "reject", note="  ")) == (422, "note-required")
    rejected = (await wang.step(zone, "reject", note="北界有误")).json()["properties"]
    assert (rejected["state"], rejected["review_note"], rejected["published_at"]) == ("rejected", "北界有误", None)
    assert code(await li.step(zone, "submit")) == (409, "not-now")
    assert code(await wang.step(zone, "approve")) == (409, "not-now")
    list_rejected = "/api/v1/zones?state=rejected"
    assert len((await wang.client.get(list_rejected, headers=wang.headers)).json()["items"]) == 1
    assert (await li.edit(zone, name="新名")).json()["properties"]["version"] == 2
    assert (await wang.client.get(list_rejected, headers=wang.headers)).json()["items"] == []
    await li.step(zone, "submit")
    await wang.step(zone, "approve")
    assert [(v["version"], v["state"]) for v in await li.versions(zone)] == [(2, "active"), (1, "rejected")]


async def test_what_is_withdrawn_is_a_draft_again(li, wang):
    """Its submission is undone, but not in its papers."""
    zone = await li.draw()
    await li.step(zone, "submit")
    draft = (await li.step(zone, "withdraw")).json()["properties"]
    assert (draft["state"], draft["submitted_by"], draft["submitted_at"]) == ("draft", None, None)
    assert code(await wang.step(zone, "approve")) == (409, "not-now")
    (version,) = await li.versions(zone)
    assert [paper["action"] for paper in version["papers"]] == ["draft", "submit", "withdraw"]


async def test_nobody_draws_over_a_review(li, wang, zhao, client, facts):
    """An edit waits for the decision. A token that publishes at once does not, and the reviewer finds the version gone."""
    zone = await li.draw()
    await li.step(zone, "submit")
    refused = await zhao.edit(zone)
    assert code(refused) == (409, "in-review")
    assert refused.json()["version"] == 1
    await client.put(f"/api/v1/zones/{zone}?publish=true", json=zone_feature(), headers=facts.bearer())
    gone = await wang.step(zone, "approve", version=1)
    assert code(gone) == (409, "not-now")
    assert (gone.json()["state"], gone.json()["allowed"]) == ("retired", [])
    assert gone.json()["detail_zh"] == "第 1 版为“已停用”，不能“审核通过”。"
    (_, first) = await li.versions(zone)
    assert [(p["action"], p["version"]) for p in first["papers"]] == [("draft", 1), ("submit", 1), ("publish", 2)]


async def test_an_approval_is_of_the_version_that_was_looked_at(li, wang):
    """Who looked at version 1 while version 2 was handed in approves neither."""
    zone = await li.draw()
    await li.step(zone, "submit")
    await li.step(zone, "withdraw")
    await li.edit(zone)
    await li.step(zone, "submit")
    stale = await wang.step(zone, "approve", version=1)
    assert code(stale) == (409, "not-now")
    assert (stale.json()["version"], stale.json()["state"]) == (1, "retired")
    assert code(await wang.step(zone, "approve", version=7)) == (404, "not-found")
    assert (await wang.step(zone, "approve", version=2)).status_code == 200


async def test_of_two_at_once_one_wins(li, wang, zhao):
    """Two approvers, or approver and author: one is answered, the other told what the version is now."""
    for rival in (lambda zone: zhao.step(zone, "approve"), lambda zone: zhao.step(zone, "reject", note="否"),
                  lambda zone: li.step(zone, "withdraw")):  # fmt: skip
        zone = await li.draw()
        await li.step(zone, "submit")
        answers = await asyncio.gather(*(wang.step(zone, "approve") for _ in range(3)), rival(zone))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        (version,) = await li.versions(zone)
        won = next(answer for answer in answers if answer.status_code == 200).json()["properties"]
        assert version["state"] == won["state"]
        assert len(version["papers"]) == 3


async def test_an_approved_version_waits_for_its_day(li, wang, facts):
    """Its predecessor is in force until then; when the day has come both say so, and nothing ran."""
    zone = await li.draw(name="旧", valid_from="2020-01-01T00:00:00+08:00")
    await li.step(zone, "submit")
    await wang.step(zone, "approve")
    day = datetime.now(UTC) + timedelta(seconds=2)
    await li.edit(zone, name="新", valid_from=day.isoformat())
    await li.step(zone, "submit")
    approved = (await wang.step(zone, "approve")).json()["properties"]
    assert (approved["state"], datetime.fromisoformat(approved["valid_from"])) == ("approved", day)

    async def now() -> tuple[str, list[str], list[str]]:
        shown = (await wang.client.get(f"/api/v1/zones/{zone}", headers=wang.headers)).json()["properties"]["name"]
        waiting = (await wang.client.get("/api/v1/zones?state=approved", headers=wang.headers)).json()["items"]
        return shown, [v["state"] for v in await wang.versions(zone)], [i["properties"]["name"] for i in waiting]

    assert await now() == ("旧", ["approved", "active"], ["新"])
    rows = facts.run("SELECT version, state, valid_to, xmin::text FROM zone_version ORDER BY version")
    assert rows[0][2] == day
    await asyncio.sleep(max(0.0, (day - datetime.now(UTC)).total_seconds()) + 0.05)
    assert await now() == ("新", ["active", "retired"], [])
    assert facts.run("SELECT version, state, valid_to, xmin::text FROM zone_version ORDER BY version") == rows


async def test_the_version_approved_last_rules_from_its_day_on(li, wang):
    """One that was to begin later never does, unless it begins when this one is over."""
    zone = await li.draw(valid_from="2020-01-01T00:00:00+08:00")
    for dates in (
        {},
        {"valid_from": "2090-01-01T00:00:00+08:00"},
        {"valid_from": "2080-01-01T00:00:00+08:00", "valid_to": "2085-01-01T00:00:00+08:00"},
        {"valid_from": "2070-01-01T00:00:00+08:00", "valid_to": "2081-01-01T00:00:00+08:00"},
    ):
        if dates:
            await li.edit(zone, **dates)
        await li.step(zone, "submit")
        assert (await wang.step(zone, "approve")).status_code == 200
    spans = [
        (v["version"], v["state"], v["valid_from"][:4], (v["valid_to"] or "")[:4]) for v in await li.versions(zone)
    ]
    assert spans == [
        (4, "approved", "2070", "2081"),
        (3, "retired", "2080", "2080"),
        (2, "approved", "2090", ""),
        (1, "active", "2020", "2070"),
    ]
    assert [paper["version"] for paper in (await li.versions(zone))[1]["papers"]] == [3, 3, 3, 4]


async def test_a_zone_between_two_versions_is_not_over(li, wang, facts):
    """A short version is over, the next has not begun: the zone is the one to come, by its name too."""
    zone = await li.draw(name="来", valid_from="2090-01-01T00:00:00+08:00")
    await li.step(zone, "submit")
    await wang.step(zone, "approve")
    facts.run(
        "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
        " valid_from, valid_to, author) SELECT zone, 2, '临时', district, tier, 'active', doc_no, crs, source, geometry,"
        " rules, '2020-01-01Z', '2020-02-01Z', author FROM zone_version"
    )
    shown = (await wang.client.get(f"/api/v1/zones/{zone}", headers=wang.headers)).json()["properties"]
    assert (shown["name"], shown["state"]) == ("来", "approved")
    async with await psycopg.AsyncConnection.connect(facts.conninfo, row_factory=dict_row) as connection:
        assert (await zones.named(connection, BRANCH, "来"))["version"] == 1
        assert await zones.named(connection, BRANCH, "临时") is None


async def test_a_draft_without_a_date_begins_when_it_is_published(li, wang, facts):
    """自发布之日起: the day of the approval, not the one on which it was drawn."""
    zone = await li.draw()
    assert (await li.versions(zone))[0]["valid_from"] is None
    facts.run("ALTER TABLE zone_version DISABLE TRIGGER zone_version_guard")
    facts.run("UPDATE zone_version SET created_at = now() - interval '9 days'")
    facts.run("ALTER TABLE zone_version ENABLE TRIGGER zone_version_guard")
    await li.step(zone, "submit")
    law = (await wang.step(zone, "approve")).json()["properties"]
    begins = datetime.fromisoformat(law["valid_from"]).astimezone(timezone(timedelta(hours=8)))
    assert (begins.hour, begins.minute, begins.second) == (0, 0, 0)
    assert timedelta(0) <= datetime.now(UTC) - begins < timedelta(days=1, minutes=1)


async def test_a_version_that_would_be_over_is_not_published(li, wang):
    """A successor begins now at the earliest; one whose end has passed by then is a 409, and nothing is changed."""
    zone = await li.draw(valid_from="2020-01-01T00:00:00+08:00")
    await li.step(zone, "submit")
    await wang.step(zone, "approve")
    await li.edit(zone, valid_from="2020-06-01T00:00:00+08:00", valid_to="2021-01-01T00:00:00+08:00")
    await li.step(zone, "submit")
    assert code(await wang.step(zone, "approve")) == (409, "zone-over")
    assert [v["state"] for v in await li.versions(zone)] == ["in_review", "active"]


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_do_which_step(client, facts, li, role):
    """Exactly the roles that the table names, and only in their district."""
    some = Staff(client, facts, "sun", role, BRANCH if ROLES[role].needs_district else None)
    for name, action in ACTIONS.items():
        zone = await li.draw()
        if action.of == "in_review":
            await li.step(zone, "submit")
        answer = await some.step(zone, name, note="说明")
        assert (answer.status_code == 200) == (action.permission in ROLES[role].permissions), (role, name)
        if answer.status_code != 200:
            assert code(answer) == (403, "forbidden")
    if role == "branch_admin":
        elsewhere = await Staff(client, facts, "zhou").draw(district=OTHER)
        assert code(await some.step(elsewhere, "submit")) == (403, "other-district")
    if Permission.ZONES_WRITE in ROLES[role].permissions:
        assert code(await some.step(10**6, "submit")) == (404, "not-found")
