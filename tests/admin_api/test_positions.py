"""Positions and tracks: a purpose and an audit row for every look, dated bindings, formats, pages."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from admin_api.phones import normalise
from tests.admin_api.conftest import TOWNSHIP

pytestmark = pytest.mark.asyncio

TRACK = "/api/v1/terminals/13900000001/track"


async def test_every_look_at_positions_needs_a_purpose(client, facts, yesterday):
    """Without a purpose nothing is given and nothing audited; with one there is one row a query that says who and why."""
    device = facts.terminal()
    machine = facts.machine()
    facts.position(device, yesterday)
    for path in (TRACK, f"/api/v1/machines/{machine}/track", "/api/v1/positions/latest"):
        for query in ("", "?purpose=", "?purpose=%20%20"):
            answer = await client.get(path + query, headers=facts.bearer())
            assert answer.status_code == 422
            assert answer.json()["type"].endswith("purpose-required")
            assert "用途" in answer.json()["detail_zh"]
    assert facts.audits() == []
    assert (await client.get(f"{TRACK}?purpose=核查", headers=facts.bearer())).status_code == 200
    assert (await client.get(f"{TRACK}?purpose=导出&format=csv", headers=facts.bearer())).status_code == 200
    assert (await client.get("/api/v1/positions/latest?purpose=巡查", headers=facts.bearer())).status_code == 200
    assert facts.audits() == [
        ("token:test", "track.read", "terminal/13900000001", "核查"),
        ("token:test", "track.export", "terminal/13900000001", "导出"),
        ("token:test", "positions.read", "positions", "巡查"),
    ]


async def test_a_track_row_carries_the_report(client, facts, yesterday):
    """Units, names of quality and source, unsigned words, China's offset; what was not reported is null."""
    machine = facts.machine()
    device = facts.terminal(machine=machine)
    facts.position(device, yesterday, quality=1 | 16, mileage=-1, satellites=-1, source=2)
    answer = await client.get(TRACK, params={"purpose": "t"}, headers=facts.bearer())
    (row,) = answer.json()["items"]
    assert row["time"].endswith("+08:00")
    assert datetime.fromisoformat(row["time"]) == yesterday
    assert (row["longitude"], row["latitude"], row["speed_kmh"], row["course_deg"]) == (115.95, 36.45, 12.5, 90)
    assert row["quality"] == ["not_fixed", "zero"]
    assert (row["mileage_km"], row["satellites"], row["source"]) == (None, None, "backfill")
    assert (row["alarm"], row["status"], row["serial"], row["machine_id"]) == (4294967295, 3, 7, machine)


async def test_a_track_in_four_formats_and_in_pages(client, facts, yesterday):
    """json and geojson come in pages that join to the whole, ndjson and csv whole; all have the same rows in time order."""
    device = facts.terminal()
    times = [yesterday + timedelta(minutes=i) for i in (3, 1, 1, 2, 0)]
    for at in times:
        facts.position(device, at)
    facts.position(device, yesterday - timedelta(hours=1))
    window = {"purpose": "t", "from": yesterday.isoformat(), "to": (yesterday + timedelta(hours=1)).isoformat()}

    async def get(**more):
        return await client.get(TRACK, params={**window, **more}, headers=facts.bearer())

    rows, cursor = [], None
    while True:
        page = (await get(limit=2, **({"cursor": cursor} if cursor else {}))).json()
        rows += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [datetime.fromisoformat(row["time"]) for row in rows] == sorted(times)
    lines = [orjson.loads(line) for line in (await get(format="ndjson")).text.splitlines()]
    assert lines == rows
    table = list(csv.DictReader(io.StringIO((await get(format="csv")).text)))
    assert [row["time"] for row in table] == [row["time"] for row in rows]
    assert len((await get(format="csv", limit=3)).text.splitlines()) == 4
    collection = (await get(format="geojson")).json()
    assert len(collection["features"]) == 5
    assert collection["features"][0]["geometry"] == {"type": "Point", "coordinates": [115.95, 36.45]}
    assert (await get(format="xml")).status_code == 422
    assert (await get(cursor="bm9uc2Vuc2U")).status_code == 422


async def test_times_without_offset_are_chinas(client, facts):
    """from and to without an offset mean China's clock; nonsense and a reversed window are 422."""
    device = facts.terminal()
    facts.position(device, datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    for start, end, count in (("2026-03-01T08:00", "2026-03-01T09:00", 1), ("2026-03-01T00:00Z", "2026-03-01T01:00Z", 1),
                              ("2026-03-01T00:00", "2026-03-01T01:00", 0), ("2026-03-01T08:00:00 08:00", "2026-03-02", 1)):  # fmt: skip
        answer = await client.get(TRACK, params={"purpose": "t", "from": start, "to": end}, headers=facts.bearer())
        assert len(answer.json()["items"]) == count, start
    for start, end in (("yesterday", "2026-03-01"), ("2026-03-02", "2026-03-01"), ("0001-01-01", "2026-03-01")):
        answer = await client.get(TRACK, params={"purpose": "t", "from": start, "to": end}, headers=facts.bearer())
        assert answer.status_code == 422, start


async def test_phones_with_and_without_leading_zeros_are_one(client, facts, yesterday):
    """A 12-digit and a 20-digit form of one SIM find the same terminal; what is no phone is a 422, an unknown one a 404."""
    facts.position(facts.terminal(), yesterday)
    for phone in ("013900000001", "00000000013900000001", "13900000001"):
        answer = await client.get(f"/api/v1/terminals/{phone}/track?purpose=t", headers=facts.bearer())
        assert len(answer.json()["items"]) == 1
    assert (
        await client.get("/api/v1/terminals/1390000000x/track?purpose=t", headers=facts.bearer())
    ).status_code == 422
    assert (await client.get("/api/v1/terminals/4711/track?purpose=t", headers=facts.bearer())).status_code == 404
    assert [normalise(text) for text in ("000", "0012", "X0AB")] == ["0", "12", "x0ab"]


async def test_a_machines_track_follows_its_terminals(client, facts, yesterday):
    """After a swap the old machine keeps the old part and the new one gets the new, through the terminal's one track."""
    old, new = facts.machine("3-OLD"), facts.machine("3-NEW")
    device = facts.terminal(machine=old)
    swap = yesterday + timedelta(hours=1)
    answer = await client.post(
        "/api/v1/terminals/013900000001/bindings",
        json={"registration_number": "3-NEW", "from": swap.isoformat()},
        headers=facts.bearer(),
    )
    assert answer.status_code == 201
    assert [b["registration_number"] for b in answer.json()["bindings"]] == ["3-NEW", "3-OLD"]
    for minutes in (0, 59, 60, 90):
        facts.position(device, yesterday + timedelta(minutes=minutes))

    async def machines(path):
        params = {"purpose": "t", "from": yesterday.isoformat()}
        return [
            row["machine_id"] for row in (await client.get(path, params=params, headers=facts.bearer())).json()["items"]
        ]

    assert await machines(f"/api/v1/machines/{old}/track") == [old, old]
    assert await machines(f"/api/v1/machines/{new}/track") == [new, new]
    assert await machines(TRACK) == [old, old, new, new]


async def test_the_latest_positions(client, facts):
    """Each terminal once, with the machine that it sits on now; a box, a limit and the silent are told apart."""
    one = facts.terminal("13900000001", facts.machine())
    two = facts.terminal("13900000002")
    facts.last(one)
    facts.last(two, datetime.now(UTC) - timedelta(hours=1), lon=120000000)

    async def latest(**params):
        params["purpose"] = "t"
        return (await client.get("/api/v1/positions/latest", params=params, headers=facts.bearer())).json()

    items = {item["phone"]: item for item in (await latest())["items"]}
    assert (items["13900000001"]["registration_number"], items["13900000001"]["online"]) == ("3-00012345", True)
    assert (items["13900000002"]["machine_id"], items["13900000002"]["online"]) == (None, False)
    assert [item["phone"] for item in (await latest(bbox="115,36,116,37"))["items"]] == ["13900000001"]
    first = await latest(limit=1)
    second = await latest(limit=1, cursor=first["next_cursor"])
    assert {first["items"][0]["phone"], second["items"][0]["phone"]} == set(items)
    for box in ("1,2,3", "a,b,c,d", "116,36,115,37"):
        answer = await client.get(f"/api/v1/positions/latest?purpose=t&bbox={box}", headers=facts.bearer())
        assert answer.status_code == 422


async def test_a_township_sees_only_the_machines_of_its_alarms(client, facts, yesterday):
    """A machine that never had an alarm in the township does not exist for it."""
    machine = facts.machine()
    own, other = facts.terminal("13900000001", machine), facts.terminal("13900000002")
    facts.alarm(TOWNSHIP, device=own, machine=machine)
    for device in (own, other):
        facts.last(device)
        facts.position(device, yesterday)
    headers = facts.bearer("township_handler", TOWNSHIP)
    latest = (await client.get("/api/v1/positions/latest?purpose=t", headers=headers)).json()["items"]
    assert [item["phone"] for item in latest] == ["13900000001"]
    assert (await client.get(f"{TRACK}?purpose=t", headers=headers)).status_code == 200
    assert (await client.get("/api/v1/terminals/13900000002/track?purpose=t", headers=headers)).status_code == 404
    assert (await client.get(f"/api/v1/machines/{machine}/track?purpose=t", headers=headers)).status_code == 200
