"""Alarms of other kinds than an entry, and digests: once for each subject, ended when it is over, told to whom it concerns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from storage import contradictions, digests, signals
from storage.commit import commit
from tests.storage.rows import NOON, SECOND, work

if TYPE_CHECKING:
    from storage.work import Row
    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio

MINUTE = 60 * SECOND
HOW = contradictions.Look(silent_minutes=60, silent_allowed=False, listening=0)


def tamper(scene: Scene, minutes: float = 0, kind: str = "power_cut", **changes: Any) -> Row:
    at = NOON + int(minutes * MINUTE)
    return {
        "kind": kind, "subject": "7", "district": "370102", "copied_to": None, "machine": scene.machine, "device": 7,
        "zone": scene.zone, "zone_version": 1, "lon": 117_120_000, "lat": 36_650_000, "at": at, "confirmed_at": at,
        "received": at + SECOND, "paged_at": at + SECOND, "page_reason": "prompt", "late": False,
        "detail": {"bits": [8]}, **changes,
    }  # fmt: skip


def end(minutes: float, kind: str = "power_cut") -> Row:
    return {"kind": kind, "subject": "7", "at": NOON + int(minutes * MINUTE), "reason": "cleared"}


def alarms(scene: Scene, columns: str = "kind, exited_at IS NULL") -> list[tuple[Any, ...]]:
    return scene.query(f"SELECT {columns} FROM alarm ORDER BY id")


def write(scene: Scene, statement: str, *values: Any) -> None:
    with psycopg.connect(scene.conninfo, autocommit=True) as conn:
        conn.execute(statement, values)


class Commits:
    """One commit after the other in one partition."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection, self.at = connection, 0

    async def take(self, *rows: Row) -> tuple[int, ...]:
        self.at += 1
        return (
            await commit(self.connection, work(previous=self.at - 1, sequence=self.at, epoch=1, signals=rows))
        ).alarms


@pytest.fixture
def commits(worker: psycopg.AsyncConnection[Any]) -> Commits:
    return Commits(worker)


# ---- tampering: written by the commit that found it --------------------------------------------------------------


async def test_an_alarm_without_a_visit_is_whole(scene: Scene, commits: Commits) -> None:
    """Its document has the machine, the terminal, the zone, the place and what was found; its event went with it."""
    (alarm,) = await commits.take(tamper(scene))
    document = scene.value("SELECT document FROM alarm_view")
    assert document["id"] == alarm
    assert document["machine"] == {
        "id": scene.machine, "registration_number": "LJ-1", "machine_type": "excavator",
        "registration_type": "machinery", "emission_stage": "2", "district": "370102",
    }  # fmt: skip
    assert (document["kind"], document["terminal_phone"], document["zone"]["name"]) == (
        "power_cut", "13800000007", "一号区",
    )  # fmt: skip
    assert (document["longitude"], document["latitude"], document["detail"]) == (117.12, 36.65, {"bits": [8]})
    assert (document["state"], document["visit"], document["page_reason"]) == ("new", None, "prompt")
    assert scene.query("SELECT kind, district, (data ->> 'id')::bigint FROM event") == [("alarm", "370102", alarm)]


async def test_one_is_open_for_a_terminal_and_kind(scene: Scene, commits: Commits) -> None:
    """Told again it is nothing; another kind is another alarm."""
    await commits.take(tamper(scene))
    assert await commits.take(tamper(scene, 1)) == ()
    assert len(await commits.take(tamper(scene, 2, "displacement"))) == 1
    assert alarms(scene) == [("power_cut", True), ("displacement", True)]


async def test_what_comes_back_soon_is_the_same_alarm(scene: Scene, commits: Commits) -> None:
    """Within ten minutes of its end; afterwards, or once staff have closed it, it is another one."""
    await commits.take(tamper(scene))
    assert len(await commits.take(end(5))) == 1
    assert len(await commits.take(tamper(scene, 14))) == 1
    assert alarms(scene) == [("power_cut", True)]
    await commits.take(end(20), tamper(scene, 40), end(41))
    assert [row[0].total_seconds() / 60 for row in alarms(scene, "exited_at - entered_at")] == [20, 1]
    write(scene, "UPDATE alarm SET state = 'closed'")
    await commits.take(tamper(scene, 45))
    assert alarms(scene) == [("power_cut", False), ("power_cut", False), ("power_cut", True)]


async def test_a_moment_that_was_told_is_not_told_again(scene: Scene, commits: Commits) -> None:
    """Late reports from within an alarm that has ended, even where it is closed."""
    await commits.take(tamper(scene), end(30))
    write(scene, "UPDATE alarm SET state = 'closed'")
    assert await commits.take(tamper(scene, 10, late=True, paged_at=None, page_reason=None)) == ()
    assert alarms(scene) == [("power_cut", False)]


async def test_a_new_owner_knows_what_is_open(
    scene: Scene, commits: Commits, worker: psycopg.AsyncConnection[Any]
) -> None:
    await commits.take(tamper(scene), tamper(scene, 1, "displacement"), end(2, "displacement"))
    assert await signals.open_of(worker, ["power_cut", "displacement"]) == [(7, "power_cut", NOON)]


async def test_a_copy_is_one_event_of_two_districts(scene: Scene, commits: Commits) -> None:
    await commits.take(tamper(scene, copied_to="371521"))
    assert scene.query("SELECT district, copied_to FROM event") == [("370102", "371521")]


# ---- contradictions ----------------------------------------------------------------------------------------------


def last(scene: Scene, device: int = 7, ago: str = "1 minute", lon: int = 117_120_000, **changes: Any) -> None:
    row = {"speed": 0, "course": 0, "status": 3, "quality": 0, "lat": 36_650_000, **changes}
    write(
        scene,
        "INSERT INTO terminal_last (terminal, time, received, lon, lat, speed, course, status, quality)"
        " VALUES (%s, now() - %s::interval, now() - %s::interval, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (terminal) DO UPDATE SET time = excluded.time, received = excluded.received, lon = excluded.lon",
        device, ago, ago, lon, *(row[name] for name in ("lat", "speed", "course", "status", "quality")),
    )  # fmt: skip


def inside(scene: Scene, verdict: str = "violation", device: int = 7) -> None:
    write(
        scene,
        "INSERT INTO presence (device, zone, began_at, entered_at, confirmed_at, last_inside_at, cause, zone_version,"
        " machine, verdict, alarm, machine_snapshot, grade, grade_at, grade_speed, late, lon, lat, received_at, epoch)"
        " SELECT %s, %s, t, t, t, t, 'crossing', 1, %s, %s, true, '{}', 'parked', t, 0, false, 117120000, 36650000, t, 1"
        " FROM (SELECT now() - interval '1 day' AS t)",
        device, scene.zone, scene.machine, verdict,
    )  # fmt: skip


async def test_silence_inside_a_zone(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """Raised once after the hour, with when it was last seen; ended when the terminal speaks."""
    inside(scene)
    last(scene, ago="59 minutes")
    assert await contradictions.look(worker, "silent", HOW) == []
    last(scene, ago="61 minutes")
    (alarm,) = await contradictions.look(worker, "silent", HOW)
    assert await contradictions.look(worker, "silent", HOW) == []
    (found,) = alarms(
        scene, "kind, subject, zone, machine, district, detail ->> 'verdict', now() - entered_at > '1 hour'"
    )
    assert found == ("silent", "7", scene.zone, scene.machine, "370102", "violation", True)
    last(scene, ago="1 second")
    assert await contradictions.look(worker, "silent", HOW) == [alarm]
    assert alarms(scene, "exit_reason") == [("reported",)]
    assert scene.value("SELECT count(*) FROM event") == 2


@pytest.mark.parametrize(("verdict", "raised"), [("violation", 1), ("unknown", 1), ("exempt", 1), ("allowed", 0)])
async def test_silence_of_a_machine_that_is_allowed(
    scene: Scene, worker: psycopg.AsyncConnection[Any], verdict: str, raised: int
) -> None:
    """Is nobody's business, unless the setting says otherwise."""
    inside(scene, verdict)
    last(scene, ago="2 hours")
    assert len(await contradictions.look(worker, "silent", HOW)) == raised
    every = contradictions.Look(60, silent_allowed=True, listening=0)
    assert len(await contradictions.look(worker, "silent", every)) == 1 - raised


async def test_silence_elsewhere_and_of_who_is_gone(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """Outside every zone, of a terminal that was taken off, or revoked, silence says nothing."""
    last(scene, ago="2 hours")
    assert await contradictions.look(worker, "silent", HOW) == []
    inside(scene)
    write(scene, "UPDATE terminal SET state = 'revoked'")
    assert await contradictions.look(worker, "silent", HOW) == []
    write(scene, "UPDATE terminal SET state = 'registered'")
    write(scene, "UPDATE binding SET during = tstzrange(lower(during), now())")
    assert await contradictions.look(worker, "silent", HOW) == []


async def test_our_own_outage_is_nobodys_silence(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """Silence counts from when we listen again; and where most fall silent at once, it is us."""
    inside(scene)
    last(scene, ago="3 hours")
    minute_ago = scene.value("SELECT us_of(now()) - 60000000")
    assert await contradictions.look(worker, "silent", contradictions.Look(60, False, minute_ago)) == []
    for device in range(100, 120):
        write(scene, "INSERT INTO terminal (device, phone) VALUES (%s, %s)", device, str(device))
        write(
            scene,
            "INSERT INTO binding (device, machine, during) VALUES (%s, %s, '[2026-01-01,)')",
            device,
            scene.machine,
        )
        inside(scene, device=device)
        last(scene, device, ago="2 hours")
    assert await contradictions.look(worker, "silent", HOW) == []
    for device in range(200, 221):
        last(scene, device)
    assert len(await contradictions.look(worker, "silent", HOW)) == 21


async def test_a_cancelled_machine_that_reports(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """From the day of its cancellation on, with a live good fix; it ends when the machine is in use again."""
    write(
        scene,
        "INSERT INTO machine_version (machine, valid_from, machine_type, registration_type, emission_stage, smoke_class,"
        " status, district, source, recorded_by) SELECT %s, at, 'excavator', 'machinery', '2', 'unknown', status,"
        " '370102', 'declared', 't' FROM (VALUES ('-infinity'::timestamptz, 'in_use'),"
        " (now() - interval '1 hour', 'cancelled')) AS v (at, status)"
        " ON CONFLICT (machine, valid_from) DO NOTHING",
        scene.machine,
    )
    write(scene, "UPDATE machine SET status = 'cancelled'")
    last(scene, ago="2 hours")
    assert await contradictions.look(worker, "cancelled", HOW) == []
    last(scene, ago="1 minute")
    (alarm,) = await contradictions.look(worker, "cancelled", HOW)
    assert await contradictions.look(worker, "cancelled", HOW) == []
    assert alarms(scene, "subject, machine, zone, district") == [
        (str(scene.machine), scene.machine, None, "370102")
    ]  # fmt: skip
    assert scene.value("SELECT document -> 'detail' ->> 'cancelled_at' IS NOT NULL FROM alarm_view")
    write(scene, "UPDATE machine SET status = 'in_use'")
    assert await contradictions.look(worker, "cancelled", HOW) == [alarm]


async def test_two_places_at_once(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """Two terminals of one machine, ten km apart within a minute: no transport explains that. Together again, it ends."""
    write(scene, "INSERT INTO terminal (device, phone) VALUES (8, '13800000008')")
    write(scene, "INSERT INTO binding (device, machine, during) VALUES (8, %s, '[2026-01-01,)')", scene.machine)
    last(scene, ago="2 minutes")
    last(scene, 8, "1 minute", lon=117_120_000 + 10_000)
    assert await contradictions.look(worker, "two_places", HOW) == []
    last(scene, 8, "1 minute", lon=117_120_000 + 112_000)
    (alarm,) = await contradictions.look(worker, "two_places", HOW)
    assert await contradictions.look(worker, "two_places", HOW) == []
    (detail,) = scene.query("SELECT subject, device, detail FROM alarm")
    assert detail[:2] == (str(scene.machine), 8)
    assert detail[2]["other_terminal"] == "13800000007"
    assert 9_900 < detail[2]["distance_m"] < 10_100
    last(scene, ago="30 seconds", lon=117_120_000 + 112_000)
    assert await contradictions.look(worker, "two_places", HOW) == [alarm]


async def test_what_transport_explains_is_one_place(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """Ten km in nine minutes is a low loader; of two fixes an hour apart nothing can be said, be it raised or ended."""
    write(scene, "INSERT INTO terminal (device, phone) VALUES (8, '13800000008')")
    write(scene, "INSERT INTO binding (device, machine, during) VALUES (8, %s, '[2026-01-01,)')", scene.machine)
    last(scene, ago="9 minutes 30 seconds")
    last(scene, 8, "30 seconds", lon=117_120_000 + 112_000)
    assert await contradictions.look(worker, "two_places", HOW) == []
    last(scene, ago="60 minutes")
    assert await contradictions.look(worker, "two_places", HOW) == []
    last(scene, ago="1 minute")
    assert len(await contradictions.look(worker, "two_places", HOW)) == 1
    write(scene, "UPDATE terminal_last SET time = time - interval '1 hour' WHERE terminal = 7")
    assert await contradictions.look(worker, "two_places", HOW) == []


async def test_a_quarantined_terminal_is_an_alarm(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """Until the quarantine is over, or staff release it."""
    write(scene, "UPDATE terminal SET quarantined_until = now() + interval '1 hour'")
    (alarm,) = await contradictions.look(worker, "identity", HOW)
    assert alarms(scene, "subject, machine, lon, district") == [("7", scene.machine, None, "370102")]
    assert scene.value("SELECT document ->> 'longitude' FROM alarm_view") is None
    write(scene, "UPDATE terminal SET quarantined_until = NULL, released_at = now()")
    assert await contradictions.look(worker, "identity", HOW) == [alarm]


@pytest.mark.plain("two sessions at once")
async def test_several_workers_raise_one(scene: Scene, worker_database: str) -> None:
    """Four look at the same moment, one finds it."""
    write(scene, "UPDATE terminal SET quarantined_until = now() + interval '1 hour'")

    async def one() -> list[int]:
        async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as conn:
            return await contradictions.look(conn, "identity", HOW)

    found = await asyncio.gather(*(one() for _ in range(4)))
    assert sum(len(each) for each in found) == 1
    assert len(alarms(scene)) == 1


# ---- digests -----------------------------------------------------------------------------------------------------


def digested(scene: Scene, count: int, cause: str, district: str = "370102", **changes: Any) -> None:
    for n in range(count):
        row = {
            "subject": f"{cause}{district}{n}",
            "machine": scene.machine,
            "age": "2 minutes",
            "withdrawn": False,
            **changes,
        }
        write(
            scene,
            "INSERT INTO alarm (kind, subject, district, machine, device, zone, zone_version, cause, notice, entered_at,"
            " confirmed_at, received_at, created_at, withdrawn_at) SELECT 'test', %s, %s, %s, 7, %s, 1, %s, 'digest', now(),"
            " now(), now(), now() - %s::interval, CASE WHEN %s THEN now() END",
            row["subject"], district, row["machine"], scene.zone, cause, row["age"], row["withdrawn"],
        )  # fmt: skip


async def test_one_digest_for_each_district(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    """With counts by cause and zone; every alarm is told once, what late data disproved never."""
    digested(scene, 3, "zone_effective")
    digested(scene, 2, "attribute_changed")
    digested(scene, 1, "rule_effective", "371521")
    digested(scene, 1, "exemption_ended", "371521", withdrawn=True)
    assert await digests.digest(worker) == 2
    (first, other) = scene.query("SELECT district, data FROM event WHERE kind = 'digest' ORDER BY district")
    assert first[0] == "370102"
    assert first[1] | {"since": None, "until": None} == {
        "district": "370102", "alarms": 5, "causes": {"zone_effective": 3, "attribute_changed": 2},
        "machines": [scene.machine], "zones": [{"id": scene.zone, "name": "一号区", "alarms": 5}], "since": None,
        "until": None,
    }  # fmt: skip
    assert (other[0], other[1]["causes"]) == ("371521", {"rule_effective": 1})
    assert scene.value("SELECT count(*) FROM alarm WHERE digested_at IS NULL") == 0
    assert await digests.digest(worker) == 0


async def test_a_digest_waits_a_minute_and_then_an_hour(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    digested(scene, 1, "zone_effective", age="50 seconds")
    assert await digests.digest(worker) == 0
    write(scene, "UPDATE alarm SET created_at = created_at - interval '15 seconds'")
    assert await digests.digest(worker) == 1
    digested(scene, 2, "rule_effective")
    assert await digests.digest(worker) == 0
    write(scene, "UPDATE alarm SET digested_at = digested_at - interval '61 minutes'")
    assert await digests.digest(worker) == 1
    (latest,) = scene.query("SELECT data -> 'alarms' FROM event WHERE kind = 'digest' ORDER BY id DESC LIMIT 1")
    assert latest == (2,)


async def test_a_digest_names_a_hundred_machines_at_most(scene: Scene, worker: psycopg.AsyncConnection[Any]) -> None:
    write(scene, "INSERT INTO machine (machine_type) SELECT 'loader' FROM generate_series(1, 120)")
    write(scene, "UPDATE ruleset SET epoch = 1")
    for (machine,) in scene.query("SELECT id FROM machine"):
        digested(scene, 1, "zone_effective", subject=str(machine), machine=machine)
    assert await digests.digest(worker) == 1
    (data,) = scene.query("SELECT data FROM event WHERE kind = 'digest'")[0]
    assert (data["alarms"], len(data["machines"])) == (121, digests.MOST_NAMED)
