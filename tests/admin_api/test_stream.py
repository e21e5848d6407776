"""The live stream over a real server: order, resumption, scope, frames, and the reader who is too slow."""

from __future__ import annotations

import asyncio
import time

import httpx
import psycopg
import pytest

from admin_api import broadcast
from admin_api.fleet import Fleet
from tests.admin_api.conftest import BRANCH, OTHER, TOWNSHIP, reading

pytestmark = pytest.mark.asyncio


async def in_thread(function, *args, **kwargs):
    return await asyncio.to_thread(function, *args, **kwargs)


async def test_an_alarm_reaches_the_reader_at_once(served, facts):
    """From the commit of an alarm to its event at the reader take well under a second, without waiting for the poll."""
    async with reading(served, facts.bearer()) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        await asyncio.sleep(0.2)
        waits = []
        for _ in range(5):
            alarm = await in_thread(facts.alarm)
            committed = time.perf_counter()
            id_, kind, data = await stream.next()
            waits.append(time.perf_counter() - committed)
            assert (kind, data["id"]) == ("alarm", alarm)
            assert id_ is not None
    assert sorted(waits)[2] < 0.25


async def test_a_reader_resumes_where_it_was(served, facts):
    """With Last-Event-ID, as header or in the query, every later event comes once and in order, then the live ones."""
    first = await in_thread(facts.alarm)
    start = facts.run("SELECT max(id) FROM event")[0][0]
    missed = [await in_thread(facts.alarm) for _ in range(3)]
    for how in ({"headers": {**facts.bearer(), "Last-Event-ID": str(start)}},
                {"headers": facts.bearer(), "last_event_id": str(start)}):  # fmt: skip
        async with reading(served, **how) as stream:
            got = [await stream.next() for _ in missed]
            live = await in_thread(facts.alarm)
            got.append(await stream.next())
        assert [data["id"] for _, _, data in got] == [*missed, live]
        missed.append(live)
    assert first not in missed


async def test_nothing_is_lost_while_events_pour_in(served, facts):
    """Readers that break off and resume in the middle of a flood see every event once, in the order of ids."""
    total = 300

    def flood():
        with psycopg.connect(facts.conninfo, autocommit=True) as connection:
            for i in range(total):
                connection.execute(
                    "SELECT emit_events(jsonb_build_array(jsonb_build_object('kind', 'terminal', 'data',"
                    " jsonb_build_object('n', %s::int))))",
                    (i,),
                )

    flooding = asyncio.create_task(in_thread(flood))
    seen, last = [], "0"
    while len(seen) < total:
        async with reading(served, {**facts.bearer(), "Last-Event-ID": last}) as stream:
            for _ in range(min(60, total - len(seen))):
                id_, _, data = await stream.next()
                assert id_ is not None
                seen.append(data["n"])
                last = id_
    await flooding
    assert seen == list(range(total))


async def test_an_action_is_an_event_too(served, facts):
    """What one handler does, every reader sees: the alarm as it is after the action."""
    alarm = await in_thread(facts.alarm)
    async with reading(served, facts.bearer()) as stream, httpx.AsyncClient(base_url=served) as client:
        answer = await client.post(f"/api/v1/alarms/{alarm}/actions", json={"action": "accept"}, headers=facts.bearer())
        assert answer.status_code == 201
        _, kind, data = await stream.next()
        assert (kind, data["id"], data["state"]) == ("alarm", alarm, "accepted")


async def test_a_new_reader_starts_at_the_newest_and_learns_its_id(served, facts):
    """Without an id nothing old is sent, and the reader is told the id to resume from before its first event."""
    await in_thread(facts.alarm)
    newest = facts.run("SELECT max(id) FROM event")[0][0]
    async with reading(served, facts.bearer()) as stream:
        alarm = await in_thread(facts.alarm)
        _, _, data = await stream.next()
        assert data["id"] == alarm
    async with reading(served, facts.bearer()) as stream:
        with pytest.raises(TimeoutError):
            await stream.next(seconds=0.3)
        assert int(stream.last_id) == newest + 1


async def test_events_stay_in_their_scope(served, facts):
    """A township reads its own alarms only; an engineer terminals only; a branch the whole city."""
    async with (
        reading(served, facts.bearer("township_handler", TOWNSHIP)) as township,
        reading(served, facts.bearer("engineer")) as engineer,
        reading(served, facts.bearer("branch_handler", BRANCH)) as branch,
    ):
        other = await in_thread(facts.alarm, OTHER)
        facts.run('SELECT emit_events(\'[{"kind": "terminal", "data": {"phone": "1"}}]\')')
        own = await in_thread(facts.alarm, TOWNSHIP)
        assert (await township.next())[2]["id"] == own
        assert (await engineer.next())[1] == "terminal"
        assert [(await branch.next())[2].get("id") for _ in range(3)] == [other, None, own]


async def test_a_copied_alarm_is_one_event(served, facts):
    """Both districts' townships get it, another one does not, and who reads the city gets it once."""
    other = f"{OTHER}001"
    facts.run("INSERT INTO district (code, name, level, parent) VALUES (%s, '另一乡镇', 'township', %s)", other, OTHER)
    async with (
        reading(served, facts.bearer("township_handler", TOWNSHIP)) as owner,
        reading(served, facts.bearer("township_handler", other)) as stranger,
        reading(served, facts.bearer()) as city,
    ):
        alarm = await in_thread(facts.alarm, BRANCH)
        assert (await city.next())[2]["id"] == alarm
        facts.run("UPDATE alarm SET copied_to = %s", TOWNSHIP)
        facts.run("SELECT emit_alarms(ARRAY[%s]::bigint[])", alarm)
        assert (await owner.next())[2]["id"] == alarm
        assert (await city.next())[2]["copied_to"] == TOWNSHIP
        last = await in_thread(facts.alarm, other)
        assert (await city.next())[2]["id"] == last
        assert (await stranger.next())[2]["id"] == last


async def test_a_digest_is_for_who_reads_alarms(served, facts):
    """Within its district; an engineer, who reads terminals only, is not told."""
    async with (
        reading(served, facts.bearer("township_handler", TOWNSHIP)) as township,
        reading(served, facts.bearer("engineer")) as engineer,
    ):
        for district in (OTHER, TOWNSHIP):
            facts.run(
                "SELECT emit_events(jsonb_build_array(jsonb_build_object('kind', 'digest', 'district', %s::text, 'data',"
                " jsonb_build_object('district', %s::text))))", district, district,
            )  # fmt: skip
        facts.run('SELECT emit_events(\'[{"kind": "terminal", "data": {"phone": "1"}}]\')')
        assert (await township.next())[1:] == ("digest", {"district": TOWNSHIP})
        assert (await engineer.next())[1] == "terminal"


async def test_a_refused_stream_is_a_problem(served, facts):
    """No token: 401. A role without positions that asks for frames: 403. An id that is no number: 422."""
    async with reading(served, {}) as stream:
        assert stream.response.status_code == 401
    async with reading(served, facts.bearer("engineer"), purpose="x") as stream:
        assert stream.response.status_code == 403
    async with reading(served, facts.bearer(), purpose=" ") as stream:
        assert stream.response.status_code == 422
    async with reading(served, facts.bearer(), last_event_id="x") as stream:
        assert stream.response.status_code == 422


async def test_frames_need_a_purpose_and_leave_one_audit_row(served, facts):
    """With a purpose a first frame holds everybody and later ones what moved; one audit row for the whole stream."""
    machine = facts.machine()
    one, two = facts.terminal("13900000001", machine), facts.terminal("13900000002")
    facts.last(one)
    facts.last(two)
    async with reading(served, facts.bearer(), purpose="巡查") as stream:
        _, _, frame = await stream.next("position")
        assert sorted(frame["phones"]) == ["13900000001", "13900000002"]
        place = frame["phones"].index("13900000001")
        assert frame["registration_number"][place] == "3-00012345"
        assert frame["emission_stage"][place] == "2"
        assert (frame["longitude"][place], frame["speed_kmh"][place]) == (115.95, 12.5)
        facts.last(two, lon=115960000)
        _, _, frame = await stream.next("position")
        assert (frame["phones"], frame["longitude"]) == (["13900000002"], [115.96])
    assert [row[1:] for row in facts.audits()] == [("stream.open", "positions", "巡查")]
    async with reading(served, facts.bearer()) as stream:
        facts.last(one)
        with pytest.raises(TimeoutError):
            await stream.next(seconds=1.5)


async def test_a_township_follows_only_the_machines_of_its_alarms(served, facts):
    """Frames for a township hold no other machine."""
    mine, other = facts.terminal("13900000001", facts.machine()), facts.terminal("13900000002")
    facts.alarm(TOWNSHIP, device=mine, machine=facts.run("SELECT id FROM machine")[0][0])
    facts.last(mine)
    facts.last(other)
    async with reading(served, facts.bearer("township_handler", TOWNSHIP), purpose="处理报警") as stream:
        _, _, frame = await stream.next("position")
        assert frame["phones"] == ["13900000001"]


async def test_the_stream_survives_a_lost_database_connection(served, facts, postgres_server):
    """The listening connection is cut: the stream stays open and the next event arrives."""
    async with reading(served, facts.bearer()) as stream:
        await asyncio.sleep(0.2)
        name = psycopg.conninfo.conninfo_to_dict(facts.conninfo)["dbname"]
        with psycopg.connect(postgres_server.url("superuser", name)) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'lezgate_api'"
            )
        alarm = await in_thread(facts.alarm)
        _, _, data = await stream.next()
        assert data["id"] == alarm


async def test_a_reader_who_is_too_slow_is_cut(monkeypatch):
    """A full queue cuts the subscription and takes no more; what was queued before stays in order."""
    monkeypatch.setattr(broadcast, "QUEUE_EVENTS", 3)
    subscription = broadcast.Subscription(lambda _: True, 0, frames=False)
    for i in range(1, 6):
        event = {"id": i, "kind": "alarm", "data": {}}
        subscription.offer(event, broadcast.encode(event))
    assert subscription.cut
    assert [line for line in subscription.take().split(b"\n") if line.startswith(b"id")] == [
        b"id: 1",
        b"id: 2",
        b"id: 3",
    ]


async def test_a_fleet_gives_the_latest_of_what_changed(yesterday):
    """A reader who missed ticks gets one frame with the newest row of each terminal that changed, and no other."""
    base = {"speed": 0, "course": 0, "machine_id": None, "registration_number": None, "machine_type": None,
            "emission_stage": None, "time": yesterday, "received": yesterday, "lat": 36000000}  # fmt: skip

    def row(device, lon):
        return {**base, "device": device, "phone": str(device), "lon": lon}

    fleet = Fleet()
    assert fleet.update([row(1, 1), row(2, 2)])
    seen = fleet.tick
    assert not fleet.update([row(1, 1)])
    assert fleet.update([row(1, 10)])
    assert fleet.update([row(1, 100)])
    frame = fleet.frame(seen)
    assert frame is not None
    assert b'"phones":["1"]' in frame
    assert b"0.0001" in frame
    assert fleet.frame(fleet.tick) is None
    assert fleet.frame(0, {2}) is not None
    fleet.forget()
    assert fleet.reread_from is None
