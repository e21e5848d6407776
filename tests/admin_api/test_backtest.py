"""Back-tests over the API and the command line: who would have been caught, who may ask, and what is written down."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise

import orjson
import pytest
from click.testing import CliRunner

from admin_api import backtest as route
from admin_api import backtesting
from gateway.cli import main
from tests.admin_api.conftest import BRANCH, OTHER, SQUARE, TOWNSHIP, zone_feature

URL = "/api/v1/zones/backtest"
BEGIN = datetime.fromisoformat("2026-03-02T08:00:00+08:00")
RANGE = {"from": "2026-03-01", "to": "2026-03-08", "purpose": "草案测算"}
INSIDE, OUTSIDE = 115_990_000, 116_010_000
HALF = {
    "type": "Polygon",
    "coordinates": [[[115.9, 36.4], [115.97, 36.4], [115.97, 36.5], [115.9, 36.5], [115.9, 36.4]]],
}


def drive(facts, device, *places, begin=BEGIN, **more):
    """One fix a minute at these longitudes (1e-6 degrees)."""
    for n, lon in enumerate(places):
        facts.position(device, begin + timedelta(minutes=n), lon=lon, status=3, speed=30, **more)


@pytest.fixture
def tracks(facts):
    """Machine 1 (stage 2) is in the square twice, machine 2 (unknown) once, machine 3 (stage 3) too, a fourth is far off."""
    machines = [facts.machine(f"3-0001234{n}", stage) for n, stage in enumerate(["2", "unknown", "3", "2"])]
    devices = [facts.terminal(f"1390000000{n}", machine) for n, machine in enumerate(machines)]
    drive(facts, devices[0], OUTSIDE, OUTSIDE, INSIDE, INSIDE, INSIDE, OUTSIDE, OUTSIDE)
    drive(facts, devices[0], INSIDE, INSIDE, begin=BEGIN + timedelta(days=2))
    drive(facts, devices[1], INSIDE, INSIDE, OUTSIDE, OUTSIDE)
    drive(facts, devices[2], INSIDE, INSIDE, OUTSIDE, OUTSIDE)
    drive(facts, devices[3], OUTSIDE, OUTSIDE)
    drive(facts, devices[0], INSIDE, INSIDE, begin=BEGIN + timedelta(days=20))
    return machines


async def ask(client, headers, feature=None, **params):
    return await client.post(URL, params={**RANGE, **params}, json=feature or zone_feature(), headers=headers)


async def test_who_would_have_been_caught(client, facts, tracks):
    """Who, when, how often: times with China's offset, the machine as it was, the rule; nothing is stored but the audit."""
    answer = await ask(client, facts.bearer())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["from"], found["to"]) == ("2026-03-01T00:00:00+08:00", "2026-03-08T00:00:00+08:00")
    assert (found["points"], found["terminals"]) == (19, 4)
    assert found["near"] == {"points": 17, "terminals": 3, "machines": 3}
    assert found["totals"] == {
        "violations": 2, "unknown": 1, "exempt": 0, "visits": 3, "alarms": 2, "machines": 2, "machines_again": 1,
    }  # fmt: skip
    first = next(each for each in found["visits"] if each["verdict"] == "violation")
    assert first["machine"] == {
        "id": tracks[0], "registration_number": "3-00012340", "machine_type": "excavator", "emission_stage": "2"
    }  # fmt: skip
    assert (first["entered_at"], first["exited_at"]) == ("2026-03-02T08:02:00+08:00", "2026-03-02T08:05:00+08:00")
    assert (first["exit_reason"], first["minutes"], first["grade"], first["alarm"]) == ("left", 3.0, "working", True)
    assert first["rule"]["predicate"] == {"stage_below": "3"}
    last = found["visits"][-1]
    assert (last["exited_at"], last["last_inside_at"], last["minutes"]) == (None, "2026-03-04T08:01:00+08:00", 1.0)
    assert [each["entered_at"] for each in found["visits"]] == sorted(each["entered_at"] for each in found["visits"])
    again = found["by_machine"][0]
    assert (again["machine"]["id"], again["visits"], again["violations"], again["minutes"]) == (tracks[0], 2, 2, 4.0)
    assert [(day["day"], day["visits"], day["machines"]) for day in found["by_day"]] == [
        ("2026-03-02", 2, 2), ("2026-03-04", 1, 1),
    ]  # fmt: skip
    assert (found["difference"], found["rules_never_in_force"]) == (None, [])
    assert facts.run("SELECT (SELECT count(*) FROM zone), (SELECT count(*) FROM visit)") == [(0, 0)]
    ((_, action, object_, purpose),) = facts.audits()
    assert (action, object_, purpose) == ("backtest.run", "zone/draft", "草案测算")


async def test_beside_the_version_in_force(client, facts, tracks):
    """The same range with the same code: what the draft would add, what it would drop, what stays."""
    zone = facts.zone()
    narrow = zone_feature() | {"geometry": HALF}
    told = (await ask(client, facts.bearer(), narrow, zone=zone)).json()["difference"]
    assert (told["zone"], told["version"]) == (zone, 1)
    assert (told["only_draft"]["visits"], told["only_current"]["visits"], told["both"]["visits"]) == (0, 2, 0)
    assert {each["machine"]["id"] for each in told["only_current"]["items"]} == {tracks[0]}
    strict = zone_feature(rules=[{"any_of": [{"stage_below": "4"}]}])
    told = (await ask(client, facts.bearer(), strict, zone=zone)).json()["difference"]
    assert told["both"] == {"visits": 2, "machines": 1}
    assert (told["only_draft"]["visits"], told["only_current"]["visits"]) == (1, 0)
    assert told["only_draft"]["items"][0]["machine"]["id"] == tracks[2]
    assert facts.audits()[-1][2] == f"zone/{zone}"
    assert (await ask(client, facts.bearer(), zone=zone + 1)).status_code == 404


async def test_an_exemption_of_the_zone(client, facts, tracks):
    """Counts for the zone's next version, not for a draft of a new one."""
    zone = facts.zone()
    facts.run(
        "INSERT INTO exemption (kind, machine, zone, during, approver, reason, created_by)"
        " VALUES ('machine', %s, %s, '[2026-01-01Z,)', 'a', 'r', 'b')", tracks[0], zone,
    )  # fmt: skip
    assert (await ask(client, facts.bearer(), zone=zone)).json()["totals"]["exempt"] == 2
    assert (await ask(client, facts.bearer())).json()["totals"]["exempt"] == 0


async def test_attributes_and_bindings_of_the_time(client, facts):
    """The terminal sat on a stage 2 machine then, and sits on an electric one now."""
    old, new = facts.machine("3-1", "2"), facts.machine("3-2", "electric")
    device = facts.terminal()
    facts.run(
        "INSERT INTO binding (device, machine, during) VALUES (%s, %s, '[2026-01-01Z,2026-03-03Z)'),"
        " (%s, %s, '[2026-03-03Z,)')", device, old, device, new,
    )  # fmt: skip
    drive(facts, device, INSIDE, INSIDE, OUTSIDE, OUTSIDE)
    drive(facts, device, INSIDE, INSIDE, OUTSIDE, OUTSIDE, begin=BEGIN + timedelta(days=3))
    found = (await ask(client, facts.bearer())).json()
    assert [each["machine"]["id"] for each in found["visits"]] == [old]
    assert found["near"]["machines"] == 2


async def test_the_drafts_dates_are_set_aside(client, facts, tracks):
    """Its own; a rule that is dated outside the range catches nobody, and is named."""
    next_year = zone_feature(valid_from="2027-01-01T00:00:00+08:00", valid_to="2028-01-01T00:00:00+08:00")
    assert (await ask(client, facts.bearer(), next_year)).json()["totals"]["violations"] == 2
    dated = zone_feature(rules=[{"any_of": [{"stage_below": "3"}], "valid_from": "2027-01-01T00:00:00+08:00"}])
    found = (await ask(client, facts.bearer(), dated)).json()
    assert (found["totals"]["visits"], found["rules_never_in_force"]) == (0, [0])


async def test_who_may(client, facts, tracks):
    """City and branch admins, a branch for its own district; a purpose is needed; a refusal leaves no row."""
    for role, district in [("city_viewer", None), ("branch_handler", BRANCH), ("township_handler", TOWNSHIP),
                           ("engineer", None), ("auditor", None), ("operations", None)]:  # fmt: skip
        assert (await ask(client, facts.bearer(role, district))).status_code == 403, role
    assert (await ask(client, facts.bearer("branch_admin", OTHER))).status_code == 403
    answer = await ask(client, facts.bearer(), purpose=" ")
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[1]) == (422, "purpose-required")
    assert (await client.post(URL, json=zone_feature())).status_code == 401
    assert facts.audits() == []
    assert (await ask(client, facts.bearer("branch_admin", BRANCH))).json()["totals"]["visits"] == 3
    other = facts.zone(OTHER)
    assert (await ask(client, facts.bearer("branch_admin", BRANCH), zone=other)).status_code == 403


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"from": "2026-03-08", "to": "2026-03-08"}, "query.from"),
        ({"from": "2025-12-01", "to": "2026-03-08"}, "query.from"),
        ({"to": "soon"}, "query.to"),
    ],
)
async def test_ranges_that_are_none(client, facts, params, where):
    """Empty, longer than 93 days, no time."""
    answer = await ask(client, facts.bearer(), **params)
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, where)


async def test_a_draft_that_does_not_read(client, facts):
    """As when it is drawn: the reason, in both languages, and its place."""
    answer = await ask(client, facts.bearer(), zone_feature(crs=None))
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "body.properties.crs")
    assert answer.json()["detail_zh"]


async def test_the_last_thirty_days_by_default(client, facts):
    """Up to now."""
    answer = await client.post(URL, params={"purpose": "测算"}, json=zone_feature(), headers=facts.bearer())
    begin, end = (datetime.fromisoformat(answer.json()[name]) for name in ("from", "to"))
    assert end - begin == timedelta(days=30)
    assert abs(end - datetime.now(end.tzinfo)) < timedelta(minutes=1)


async def test_too_much_is_refused_before_it_is_read(client, facts, tracks, monkeypatch):
    """With the number, and what to do."""
    monkeypatch.setattr(backtesting, "MOST_POINTS", 16)
    answer = await ask(client, facts.bearer())
    assert (answer.status_code, answer.json()["points"]) == (422, 17)
    assert answer.json()["type"].endswith("too-many-points")


async def test_one_at_a_time(client, facts, tracks, monkeypatch):
    """A second one gets 429 meanwhile; other requests are answered; afterwards the next one may."""
    running, done = asyncio.Event(), asyncio.Event()
    real = route.backtest

    async def held(*args):
        running.set()
        await done.wait()
        return await real(*args)

    monkeypatch.setattr(route, "backtest", held)
    first = asyncio.create_task(ask(client, facts.bearer()))
    await running.wait()
    answer = await ask(client, facts.bearer())
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert answer.json()["type"].endswith("backtest-running")
    assert (await client.get("/api/v1/zones", headers=facts.bearer())).status_code == 200
    done.set()
    assert (await first).status_code == 200
    assert (await ask(client, facts.bearer())).status_code == 200


async def test_one_that_takes_too_long_is_given_up(client, facts, tracks, monkeypatch):
    """And leaves its audit row, and the way free."""
    monkeypatch.setattr(route, "MOST_SECONDS", 0.0)
    answer = await ask(client, facts.bearer())
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[1]) == (422, "backtest-too-long")
    assert len(facts.audits("backtest.run")) == 1
    monkeypatch.undo()
    assert (await ask(client, facts.bearer())).status_code == 200


async def test_the_loop_goes_on_meanwhile(client, facts):
    """A hundred thousand fixes are judged beside it: no pause of the loop is as long as the judging."""
    device = facts.terminal(machine=facts.machine())
    facts.run(
        "INSERT INTO position SELECT %s, '2026-03-02Z'::timestamptz + n * interval '1 second', n, now(),"
        " 115990000 + (n / 5000 %% 2)::int * 11000, 36450000, 0, 30, 0, 0, 3, 0, 0, 0, 0, 0, ''"
        " FROM generate_series(1, 100000) n", device,
    )  # fmt: skip
    beats, stop = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    async def beat():
        while not stop.is_set():
            beats.append(loop.time())
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    begun = loop.time()
    found = (await ask(client, facts.bearer())).json()
    took = loop.time() - begun
    stop.set()
    await beating
    assert found["points"] == 100_000
    assert found["totals"]["violations"] == 10
    assert max(b - a for a, b in pairwise(beats)) < max(0.1, took / 4)


# ---- the command line ------------------------------------------------------------------------------------------


@pytest.fixture
def run(database, monkeypatch, tmp_path):
    monkeypatch.setenv("LEZGATE_DATABASE_URL", database)
    monkeypatch.setenv("LEZGATE_DATA_DIR", str(tmp_path))
    file = tmp_path / "draft.geojson"
    file.write_bytes(orjson.dumps(zone_feature()))

    def command(*words, fails=False, file=file):
        words = ["zones", "backtest", str(file), "--from", RANGE["from"], "--to", RANGE["to"], *map(str, words)]
        result = CliRunner().invoke(main, words)
        assert (result.exit_code != 0) == fails, result.output
        return result

    return command


def test_on_the_command_line(run, facts, tracks):
    """A few lines in both languages, repeaters first; the audit names the file."""
    zone = facts.zone()
    result = run("--purpose", "测算", "--zone", zone)
    lines = result.stdout.splitlines()
    assert "19 positions of 4 terminals, 3 of them near" in lines[0]
    assert "visits 3: violations 2, unknown 1, exempt 0; machines 2" in lines[1]
    assert "违规 2" in lines[1]
    assert "0 more, 0 no more, 2 as before" in lines[2]
    assert lines[3].split("\t")[:4] == ["3-00012340", "excavator", "2", "2"]
    assert "17 of 17 positions" in result.stderr
    ((actor, action, object_, purpose),) = facts.audits()
    assert (actor, action, object_, purpose) == ("command line", "backtest.run", f"zone/{zone}", "测算")
    assert facts.run("SELECT detail->>'file' FROM audit") == [("draft.geojson",)]


def test_json_on_the_command_line(run, facts, tracks):
    """The API's answer, on standard output alone."""
    found = orjson.loads(run("--purpose", "测算", "--json").stdout)
    assert found["totals"]["violations"] == 2
    assert found["visits"][0]["entered_at"] == "2026-03-02T08:00:00+08:00"


def test_what_the_command_refuses(run, facts, tmp_path):
    """No purpose, no such zone, several zones, a shape that does not read: nothing is run or written."""
    assert "--purpose" in run(fails=True).output
    assert "say why" in run("--purpose", " ", fails=True).output
    assert "no such zone" in run("--purpose", "x", "--zone", 99, fails=True).output
    several = tmp_path / "several.geojson"
    several.write_bytes(
        orjson.dumps({"type": "FeatureCollection", "features": [zone_feature(), zone_feature(name="二")]})
    )
    assert "one at a time" in run("--purpose", "x", fails=True, file=several).output
    broken = tmp_path / "broken.geojson"
    bow = {**SQUARE, "coordinates": [[[115, 36], [116, 37], [116, 36], [115, 37], [115, 36]]]}
    broken.write_bytes(orjson.dumps({**zone_feature(), "geometry": bow}))
    assert "自相交" in run("--purpose", "x", fails=True, file=broken).output
    assert "没有" in run("--purpose", "x", "--zone", 99, fails=True).output
    assert facts.audits() == []
