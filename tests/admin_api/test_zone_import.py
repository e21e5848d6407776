"""Files of zones over the API and the command line: the diff, all or nothing, and what is written down."""

from __future__ import annotations

import asyncio
from copy import deepcopy

import orjson
import pytest
from click.testing import CliRunner

from admin_api.authentication import COOKIE
from gateway.cli import main
from tests.admin_api.conftest import BRANCH, OTHER, RULES, SQUARE, zone_feature
from tests.geofence.map_files import esri, square, zipped

BOW = {"type": "Polygon", "coordinates": [[[115.9, 36.4], [116, 36.5], [116, 36.4], [115.9, 36.5], [115.9, 36.4]]]}


def file_of(*features):
    return orjson.dumps({"type": "FeatureCollection", "features": list(features)})


async def send(client, headers, data, **params):
    rules = {"data": {"rules": params.pop("rules")}} if "rules" in params else {}
    return await client.post(
        "/api/v1/zones/import", params=params, files={"file": ("zones.zip", data)}, headers=headers, **rules
    )


def kinds(answer):
    return [item["change"] for item in answer.json()["items"]]


async def test_a_diff_comes_first(client, facts):
    """Without more the file is only looked at: what is new, and nothing is written."""
    data = zipped(
        [([square(39_410_000, 4_035_000, 1000)], ("东阿核心区", BRANCH, "核心"))], prj=esri(4527), encoding="gbk"
    )
    answer = await send(client, facts.bearer(), data, rules=orjson.dumps(RULES).decode(), doc_no="1号")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["dry_run"], document["format"]) == (True, "shapefile")
    assert document["counts"] == {"new": 1, "changed": 0, "unchanged": 0, "refused": 0}
    (item,) = document["items"]
    assert (item["name"], item["crs"], item["reasons"]) == ("东阿核心区", "epsg:4527", [])
    assert item["area_m2"] == pytest.approx(1e6, rel=1e-3)
    assert "GBK" in document["notes"][0]["message"]
    assert facts.run("SELECT (SELECT count(*) FROM zone), (SELECT count(*) FROM audit)") == [(0, 0)]


async def test_an_import_publishes_and_is_written_down(client, facts):
    """dry_run=false by a city admin's token: the zone is law, each zone has its audit row, and so has the file."""
    answer = await send(client, facts.bearer(), file_of(zone_feature()), dry_run=False, publish=True)
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["items"]
    assert facts.run("SELECT zone, version, state, direct FROM zone_version") == [(item["zone"], 1, "active", True)]
    assert [row[1] for row in facts.audits()] == ["zone.publish", "zone.import"]
    ((note, name, digest),) = facts.run(
        "SELECT a.detail->>'note', b.object, b.detail->>'sha256' FROM audit a, audit b"
        " WHERE a.action = 'zone.publish' AND b.action = 'zone.import'"
    )
    assert "no second person" in note
    assert (name, len(digest)) == ("zones.zip", 64)
    again = await send(client, facts.bearer(), file_of(zone_feature()), dry_run=False, publish=True)
    assert kinds(again) == ["unchanged"]
    assert facts.run("SELECT count(*) FROM zone_version") == [(1,)]


async def test_what_changed_is_told(client, facts):
    """Border, rules, tier, numbers and dates: before, after, and for the border square metres and metres."""
    first = zone_feature(valid_from="2026-01-01T00:00:00+08:00")
    await send(client, facts.bearer(), file_of(first), dry_run=False, publish=True)
    second = deepcopy(first)
    second["geometry"]["coordinates"][0][1][0] += 0.01
    second["geometry"]["coordinates"][0][2][0] += 0.01
    second["properties"] |= {"tier": "general", "guard_m": 20, "rules": [], "valid_to": "2028-01-01T00:00:00+08:00"}
    (item,) = (await send(client, facts.bearer(), file_of(second))).json()["items"]
    found = {each["field"]: each for each in item["differences"]}
    assert set(found) == {"geometry", "tier", "guard_m", "rules", "valid_to"}
    assert (found["tier"]["before"], found["tier"]["after"]) == ("core", "general")
    assert (found["valid_to"]["before"], found["valid_to"]["after"]) == (None, "2028-01-01T00:00:00+08:00")
    assert found["geometry"]["shift_m"] == pytest.approx(897, abs=3)
    assert found["geometry"]["area_m2"] == pytest.approx(897 * 11_096, rel=5e-3)
    assert (item["change"], item["version"]) == ("changed", 1)


async def test_a_draft_that_waits_is_not_drawn_again(client, facts):
    """The same file again finds its own draft; publishing it then is a change of state alone; in review it is left alone."""
    draft = file_of(zone_feature())
    assert kinds(await send(client, facts.bearer(), draft, dry_run=False)) == ["new"]
    assert kinds(await send(client, facts.bearer(), draft, dry_run=False)) == ["unchanged"]
    (item,) = (await send(client, facts.bearer(), draft, publish=True)).json()["items"]
    assert item["differences"] == [{"field": "state", "before": "draft", "after": "active"}]
    zone = item["zone"]
    await client.post(f"/api/v1/zones/{zone}/submit", json={}, headers=facts.bearer())
    assert kinds(await send(client, facts.bearer(), draft)) == ["unchanged"]
    other = await send(client, facts.bearer(), file_of(zone_feature(tier="general")))
    assert [reason["code"] for reason in other.json()["items"][0]["reasons"]] == ["in_review"]
    assert facts.run("SELECT version, state FROM zone_version") == [(1, "in_review")]


async def test_all_or_nothing(client, facts):
    """One zone that is refused keeps the file out; the answer has the whole diff, with reason and place."""
    broken = {**zone_feature(name="二"), "geometry": BOW}
    answer = await send(client, facts.bearer(), file_of(zone_feature(), broken), dry_run=False)
    assert answer.status_code == 422
    document = answer.json()
    assert document["type"].endswith("zone-import-refused")
    assert kinds(answer) == ["new", "refused"]
    (reason,) = document["items"][1]["reasons"]
    assert (reason["code"], reason["repair"]) == ("geometry_invalid", True)
    assert reason["place"] == pytest.approx([115.95, 36.45])
    assert facts.run("SELECT (SELECT count(*) FROM zone), (SELECT count(*) FROM audit)") == [(0, 0)]


async def test_one_zone_twice_and_districts_by_name(client, facts):
    """A district may be named as its row is; the same zone under code and name is there twice."""
    facts.run("UPDATE district SET name = '东昌府区' WHERE code = %s", BRANCH)
    document = (await send(client, facts.bearer(), file_of(zone_feature(district="东昌府区"), zone_feature()))).json()
    assert [item["district"] for item in document["items"]] == [BRANCH, BRANCH]
    assert [[reason["code"] for reason in item["reasons"]] for item in document["items"]] == [[], ["duplicate"]]


async def test_who_may(client, facts):
    """A branch imports drafts of its own district; publishing takes the city's token and the notice's number."""
    branch = facts.bearer("branch_admin", BRANCH)
    answer = await send(client, branch, file_of(zone_feature(), zone_feature(district=OTHER)))
    assert [[reason["code"] for reason in item["reasons"]] for item in answer.json()["items"]] == [
        [],
        ["other_district"],
    ]
    assert (await send(client, branch, file_of(zone_feature()), publish=True)).status_code == 403
    assert (await send(client, facts.bearer("city_viewer"), file_of(zone_feature()))).status_code == 403
    person = {"Cookie": f"{COOKIE}={facts.token(kind='session')}", "X-Lezgate": "1"}
    assert (await send(client, person, file_of(zone_feature()))).status_code == 200
    assert (await send(client, person, file_of(zone_feature()), publish=True)).status_code == 403
    nameless = await send(client, facts.bearer(), file_of(zone_feature(doc_no=None)), publish=True)
    assert [reason["where"] for reason in nameless.json()["items"][0]["reasons"]] == ["properties.doc_no"]


async def test_files_that_do_not_read(client, facts):
    """422 in both languages, for the file and for the rules beside it."""
    for answer in (
        await send(client, facts.bearer(), b"nonsense"),
        await send(client, facts.bearer(), b"Rar!"),
        await send(client, facts.bearer(), file_of(zone_feature()), crs="mars"),
        await send(client, facts.bearer(), file_of(zone_feature()), rules="{"),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail_zh"]


async def test_two_imports_of_one_file_at_once(client, facts):
    """One of them makes the zones, the other finds them."""
    data = file_of(*(zone_feature(name=str(i)) for i in range(5)))
    answers = await asyncio.gather(*(send(client, facts.bearer(), data, dry_run=False) for _ in range(3)))
    assert sorted(answer.json()["counts"]["new"] for answer in answers) == [0, 0, 5]
    assert facts.run("SELECT count(*) FROM zone") == [(5,)]


async def test_a_repair_is_a_preview(client, facts):
    """Areas in square metres before and after, the reason in both languages, and nothing stored."""
    answer = await client.post("/api/v1/zones/repair", json={"geometry": BOW, "crs": "gcj02"}, headers=facts.bearer())
    document = answer.json()
    assert (answer.status_code, document["valid"], document["crs"]) == (200, False, "gcj02")
    assert "自相交" in document["reason_zh"]
    assert document["area_before_m2"] == pytest.approx(0, abs=1)
    assert document["area_after_m2"] == pytest.approx(8967 * 11_096 / 2, rel=5e-3)
    fixed = zone_feature(crs="gcj02") | {"geometry": document["geometry"]}
    assert kinds(await send(client, facts.bearer(), file_of(fixed))) == ["new"]
    whole = await client.post("/api/v1/zones/repair", json={"geometry": SQUARE, "crs": "wgs84"}, headers=facts.bearer())
    assert (whole.json()["valid"], whole.json()["geometry"]) == (True, SQUARE)
    for body in ({"geometry": SQUARE}, {"geometry": SQUARE, "crs": "mars"}, {"geometry": {}, "crs": "wgs84"}):
        assert (await client.post("/api/v1/zones/repair", json=body, headers=facts.bearer())).status_code == 422
    assert facts.run("SELECT count(*) FROM zone") == [(0,)]


@pytest.fixture
def run(database, monkeypatch, tmp_path):
    monkeypatch.setenv("LEZGATE_DATABASE_URL", database)
    monkeypatch.setenv("LEZGATE_DATA_DIR", str(tmp_path))

    def command(*words, fails=False):
        result = CliRunner().invoke(main, ["zones", *map(str, words)])
        assert (result.exit_code != 0) == fails, result.output
        return result

    return command


def test_a_dry_run_on_the_command_line(run, facts, tmp_path):
    """Every zone on a line with its differences below; reasons too, in both languages; nothing is written."""
    file = tmp_path / "zones.bin"
    file.write_bytes(file_of(zone_feature(name="一")))
    run("import", file, "--publish")
    broken = {**zone_feature(name="三"), "geometry": BOW}
    file.write_bytes(file_of(zone_feature(name="一", tier="general"), zone_feature(name="二"), broken))
    said = run("import", file, "--dry-run").output
    assert [line.split("\t")[2] for line in said.splitlines() if "\t" in line] == [
        "changed 变更",
        "new 新增",
        "refused 拒绝",
    ]
    assert 'tier: "core" -> "general" | 级别' in said
    assert "feature 3 三 (geometry.coordinates): the shape is not valid" in said
    assert "lezgate zones repair FILE" in said
    assert "未写入" in said
    assert facts.run("SELECT count(*) FROM zone_version") == [(1,)]
    assert "lezgate zones repair FILE" in run("import", file, fails=True).output
    assert facts.run("SELECT count(*) FROM zone_version") == [(1,)]


def test_what_a_shapefile_lacks_is_given_on_the_command_line(run, facts, tmp_path):
    """District, tier, number, dates and rules for all zones; the notice's last day still counts."""
    file, rules = tmp_path / "zones.zip", tmp_path / "rules.json"
    file.write_bytes(zipped([([square(410_000, 4_035_000, 1000)], ("东阿核心区", "", ""))]))
    rules.write_bytes(orjson.dumps(RULES))
    words = ("import", file, "--crs", "epsg:4548", "--publish")
    said = run(*words, fails=True).output
    assert "properties.district" in said
    assert "properties.rules" in said
    more = ("--district", OTHER, "--tier", "核心", "--doc-no", "2号", "--rules", rules, "--valid-from", "2026-01-01",
            "--valid-to", "2030-12-31")  # fmt: skip
    assert "in force" in run(*words, *more).output
    assert facts.run(
        "SELECT district, tier, doc_no, crs, valid_to = '2031-01-01T00:00:00+08:00', state FROM zone_version"
    ) == [(OTHER, "core", "2号", "epsg:4548", True, "active")]
    assert facts.run("SELECT DISTINCT actor FROM audit") == [("command line",)]


def test_an_export_goes_in_again_unchanged(run, facts, tmp_path):
    """Every property, whatever the zone was drawn in, also of a draft."""
    given = {
        "doc_no": "3号", "guard_m": 12.3456789, "halo_m": 0, "unknown_policy": "alarm", "merge_s": 601.7, "lost_s": 1,
        "lost_merge_s": 2_592_000, "slow_terminals": "wait", "valid_from": "2026-01-01T00:00:00.123456+08:00",
        "valid_to": "2030-01-01T00:00:00+08:00", "crs": "bd09",
    }  # fmt: skip
    file = tmp_path / "zones.json"
    file.write_bytes(file_of(zone_feature(name="一", **given), zone_feature(name="二", crs="gcj02")))
    run("import", file, "--publish")
    file.write_bytes(file_of(zone_feature(name="三", **given)))
    run("import", file)
    file.write_text(run("export").stdout)
    said = run("import", file).output
    assert said.count("unchanged 未变") == 3
    assert "imported" not in said
    again = run("export").stdout
    assert orjson.loads(again) == orjson.loads(file.read_text())


def test_repairs_are_shown_and_can_be_handed_in(run, tmp_path):
    """GeoJSON on standard output that imports, areas on standard error; whole shapes pass as they are."""
    file = tmp_path / "zones.json"
    opened = {
        **zone_feature(name="二"),
        "geometry": {"type": "Polygon", "coordinates": [SQUARE["coordinates"][0][:-1]]},
    }
    file.write_bytes(file_of(zone_feature(name="一"), opened, {**zone_feature(name="三"), "geometry": BOW}))
    result = run("repair", file)
    assert "feature 2 二: the ring is not closed" in result.stderr
    assert "feature 3 三" in result.stderr
    assert "feature 1" not in result.stderr
    assert orjson.loads(result.stdout)["features"][0]["geometry"] == SQUARE
    file.write_text(result.stdout)
    assert run("import", file, "--dry-run").output.count("new 新增") == 3
    file.write_bytes(file_of(zone_feature(crs=None)))
    assert "--crs" in run("repair", file, fails=True).output
