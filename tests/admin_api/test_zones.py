"""Zones: drafts, versions, publishing, retiring, and who may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.admin_api.conftest import BRANCH, OTHER, SQUARE, zone_feature

pytestmark = pytest.mark.asyncio


async def test_a_zone_is_published_by_the_city_with_a_notice(client, facts):
    """publish=true by a city admin with a notice's number puts the zone in force, for the workers to see."""
    epoch = facts.run("SELECT epoch FROM ruleset")[0][0]
    answer = await client.post("/api/v1/zones?publish=true", json=zone_feature(), headers=facts.bearer())
    assert answer.status_code == 201
    feature = answer.json()
    assert answer.headers["location"] == f"/api/v1/zones/{feature['id']}"
    assert (feature["properties"]["state"], feature["properties"]["version"]) == ("active", 1)
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["properties"]["rules"] == [{"any_of": [{"stage_below": "3"}]}]
    assert facts.run("SELECT epoch FROM ruleset")[0][0] > epoch
    assert (await client.get(f"/api/v1/zones/{feature['id']}", headers=facts.bearer())).json() == feature
    assert (await client.get("/api/v1/zones", headers=facts.bearer())).json()["items"] == [feature]
    assert [row[1] for row in facts.audits()] == ["zone.publish"]


async def test_publishing_needs_a_notice_and_the_city(client, facts):
    """No notice: 422 in both languages. A branch: 403, and drafts of its own district only."""
    answer = await client.post("/api/v1/zones?publish=true", json=zone_feature(doc_no=None), headers=facts.bearer())
    assert answer.status_code == 422
    assert "文号" in answer.json()["detail_zh"]
    branch = facts.bearer("branch_admin", BRANCH)
    assert (await client.post("/api/v1/zones?publish=true", json=zone_feature(), headers=branch)).status_code == 403
    assert (await client.post("/api/v1/zones", json=zone_feature(district=OTHER), headers=branch)).status_code == 403
    draft = await client.post("/api/v1/zones", json=zone_feature(), headers=branch)
    assert draft.json()["properties"]["state"] == "draft"
    assert facts.run("SELECT count(*) FROM zone")[0][0] == 1


async def test_only_a_token_publishes_at_once(client, facts):
    """A city admin who is signed in is told to find a second person; a token may, and the audit says how."""
    session = {"Cookie": f"lezgate_session={facts.token(kind='session')}", "X-Lezgate": "1"}
    answer = await client.post("/api/v1/zones?publish=true", json=zone_feature(), headers=session)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:lezgate:problem:second-person-required")
    assert "另一人" in answer.json()["detail_zh"]
    assert facts.run("SELECT count(*) FROM zone")[0][0] == 0
    zone = (await client.post("/api/v1/zones", json=zone_feature(), headers=session)).json()["id"]
    again = await client.put(f"/api/v1/zones/{zone}?publish=true", json=zone_feature(), headers=session)
    assert again.status_code == 403
    published = await client.put(f"/api/v1/zones/{zone}?publish=true", json=zone_feature(), headers=facts.bearer())
    assert (published.json()["properties"]["state"], published.json()["properties"]["direct"]) == ("active", True)
    (detail,) = facts.run("SELECT detail FROM audit WHERE action = 'zone.publish'")[0]
    assert detail == {"version": 2, "doc_no": "聊政发〔2025〕1号", "ended": [1],
                      "note": "published at once by token, no second person"}  # fmt: skip


async def test_a_zone_in_force_is_retired_by_the_city(client, facts):
    """A branch retires its drafts; what is in force, or approved for later, is the city's to end."""
    branch = facts.bearer("branch_admin", BRANCH)
    draft = (await client.post("/api/v1/zones", json=zone_feature(), headers=branch)).json()["id"]
    assert (await client.delete(f"/api/v1/zones/{draft}", headers=branch)).status_code == 204
    for begins in (None, "2099-01-01T00:00:00+08:00"):
        law = await client.post(
            "/api/v1/zones?publish=true", json=zone_feature(valid_from=begins), headers=facts.bearer()
        )
        address = f"/api/v1/zones/{law.json()['id']}"
        # A draft beside it is what such a zone shows: the law behind it counts all the same.
        await client.put(address, json=zone_feature(), headers=branch)
        assert (await client.delete(address, headers=branch)).status_code == 403
        assert law.json() == (await client.get(address + "?version=1", headers=branch)).json()
        assert (await client.delete(address, headers=facts.bearer())).status_code == 204
        states = facts.run("SELECT zone_state(v) FROM zone_version v WHERE zone = %s", law.json()["id"])
        assert states == [("retired",), ("retired",)]
    assert len(facts.audits("zone.retire")) == 3


async def test_the_list_by_state(client, facts):
    """A state's list has the zones with a version in it, also beside one in force; retired is what has nothing else."""
    zone = (await client.post("/api/v1/zones?publish=true", json=zone_feature(), headers=facts.bearer())).json()["id"]
    await client.put(f"/api/v1/zones/{zone}?publish=true", json=zone_feature(), headers=facts.bearer())
    await client.put(f"/api/v1/zones/{zone}", json=zone_feature(), headers=facts.bearer())
    other = (await client.post("/api/v1/zones", json=zone_feature(district=OTHER), headers=facts.bearer())).json()["id"]

    async def shown(query: str) -> list[tuple[int, int]]:
        items = (await client.get(f"/api/v1/zones{query}", headers=facts.bearer())).json()["items"]
        return [(item["id"], item["properties"]["version"]) for item in items]

    assert await shown("") == [(zone, 2), (other, 1)]
    assert await shown("?state=draft") == [(zone, 3), (other, 1)]
    assert await shown("?state=draft&limit=1") == [(zone, 3)]
    assert await shown("?state=draft,active") == [(zone, 2), (other, 1)]
    assert await shown("?state=retired") == []
    assert await shown(f"?district={OTHER}") == [(other, 1)]
    await client.delete(f"/api/v1/zones/{zone}", headers=facts.bearer())
    assert await shown("?state=retired") == [(zone, 3)]
    assert await shown("") == [(other, 1)]
    assert (await client.get("/api/v1/zones?state=law", headers=facts.bearer())).status_code == 422


async def test_the_numbers_of_a_zone_are_kept(client, facts):
    """What a zone says of merging, signal loss and slow terminals comes out as it went in; else the defaults."""
    numbers = {"merge_s": 60, "lost_s": 900.5, "lost_merge_s": 3600, "slow_terminals": "wait"}
    said = (await client.post("/api/v1/zones", json=zone_feature(**numbers), headers=facts.bearer())).json()
    assert {name: said["properties"][name] for name in numbers} == numbers
    silent = (await client.post("/api/v1/zones", json=zone_feature(), headers=facts.bearer())).json()
    assert {name: silent["properties"][name] for name in numbers} == {
        "merge_s": 600, "lost_s": 1800, "lost_merge_s": 43200, "slow_terminals": "ask"
    }  # fmt: skip


async def test_a_new_version_ends_its_predecessor_and_leaves_the_past(client, facts):
    """PUT makes a draft beside the version in force; published, it begins now at the earliest and where the old one ends."""
    first = await client.post(
        "/api/v1/zones?publish=true", json=zone_feature(valid_from="2020-01-01T00:00:00+08:00"), headers=facts.bearer()
    )
    zone = first.json()["id"]
    assert first.json()["properties"]["valid_from"].startswith("2020-01-01T00:00:00")
    again = zone_feature(name="新名", valid_from="2020-01-01T00:00:00+08:00")
    draft = await client.put(f"/api/v1/zones/{zone}", json=again, headers=facts.bearer())
    assert (draft.json()["properties"]["version"], draft.json()["properties"]["state"]) == (2, "draft")
    assert (await client.get(f"/api/v1/zones/{zone}", headers=facts.bearer())).json()["properties"]["name"] == "禁用区"
    await client.put(f"/api/v1/zones/{zone}?publish=true", json=again, headers=facts.bearer())
    versions = (await client.get(f"/api/v1/zones/{zone}/versions", headers=facts.bearer())).json()["items"]
    states = [(v["properties"]["version"], v["properties"]["state"]) for v in versions]
    assert states == [(3, "active"), (2, "retired"), (1, "retired")]
    assert versions[0]["properties"]["valid_from"] == versions[2]["properties"]["valid_to"]
    assert versions[0]["properties"]["valid_from"] > "2020-01-02"
    assert versions[1]["properties"]["valid_from"] == versions[1]["properties"]["valid_to"]
    old = await client.get(f"/api/v1/zones/{zone}?version=1", headers=facts.bearer())
    assert old.json()["properties"]["name"] == "禁用区"


async def test_a_zone_without_a_date_begins_with_the_day(client, facts):
    """A notice that names no date is in force from the day it is published, so a zone begins at midnight in China."""
    made = await client.post("/api/v1/zones?publish=true", json=zone_feature(), headers=facts.bearer())
    begins = datetime.fromisoformat(made.json()["properties"]["valid_from"]).astimezone(timezone(timedelta(hours=8)))
    assert (begins.hour, begins.minute, begins.second) == (0, 0, 0)
    assert timedelta(0) <= datetime.now(UTC) - begins < timedelta(days=1, minutes=1)


async def test_a_retired_zone_is_out_of_force_and_kept(client, facts):
    """DELETE ends it now; the list leaves it out, its versions stay."""
    zone = (await client.post("/api/v1/zones?publish=true", json=zone_feature(), headers=facts.bearer())).json()["id"]
    assert (await client.delete(f"/api/v1/zones/{zone}", headers=facts.bearer())).status_code == 204
    assert (await client.get("/api/v1/zones", headers=facts.bearer())).json()["items"] == []
    (kept,) = (await client.get("/api/v1/zones?state=retired", headers=facts.bearer())).json()["items"]
    assert kept["properties"]["valid_to"] is not None
    assert len((await client.get(f"/api/v1/zones/{zone}/versions", headers=facts.bearer())).json()["items"]) == 1


async def test_what_comes_out_can_go_in_again(client, facts):
    """A zone drawn in GCJ-02 comes out in WGS-84 and says so: handed in again it stays where it is."""
    one = (await client.post("/api/v1/zones", json=zone_feature(crs="gcj02"), headers=facts.bearer())).json()
    assert (one["properties"]["crs"], one["properties"]["source_crs"]) == ("wgs84", "gcj02")
    assert one["geometry"]["coordinates"][0][0] != SQUARE["coordinates"][0][0]
    two = (await client.put(f"/api/v1/zones/{one['id']}", json=one, headers=facts.bearer())).json()
    assert two["geometry"] == one["geometry"]


async def test_a_bad_zone_is_refused_with_its_place(client, facts):
    """A shape or property that cannot be taken is a 422 that says what and where, in both languages."""
    bow = {"type": "Polygon", "coordinates": [[[115, 36], [116, 37], [116, 36], [115, 37], [115, 36]]]}
    for body in ({**zone_feature(), "geometry": bow}, zone_feature(crs=None), zone_feature(crs="mars"),
                 zone_feature(rules=[{"any_of": [{"stage_below": "9"}]}]), {"type": "Point"}):  # fmt: skip
        answer = await client.post("/api/v1/zones", json=body, headers=facts.bearer())
        assert answer.status_code == 422
        document = answer.json()
        assert document["type"].startswith("urn:lezgate:problem:zone-")
        assert document["detail_zh"]
        assert document["errors"][0]["where"].startswith("body")
    assert facts.run("SELECT count(*) FROM zone")[0][0] == 0
    answer = await client.post("/api/v1/zones?crs=cgcs2000", json=zone_feature(crs=None), headers=facts.bearer())
    assert answer.status_code == 201


async def test_a_zones_district_joins_the_tree(client, facts):
    """A district that nobody listed gets a row, so that its accounts' scope holds the zone's alarms."""
    await client.post("/api/v1/zones", json=zone_feature(district="371581003"), headers=facts.bearer())
    listed = (await client.get("/api/v1/districts", headers=facts.bearer())).json()["items"]
    rows = {row["code"]: row for row in listed}
    assert (rows["371581003"]["level"], rows["371581003"]["parent"]) == ("township", "371581")
    assert rows["371581"]["level"] == "branch"
