"""Visits and alarms in the database: what a commit makes of presences, whoever found them and in which order."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from geofence.grades import Grade
from geofence.presences import End
from storage import load
from storage.commit import commit
from storage.errors import OffsetMovedError, UnavailableError
from tests.storage.rows import MINUTE, NOON, SECOND, STREAM, ended, page, presence, visits, work

if TYPE_CHECKING:
    from tests.storage.conftest import Scene, Steps

pytestmark = pytest.mark.asyncio


async def test_an_entry_is_one_visit_one_alarm_one_page(scene: Scene, steps: Steps) -> None:
    """Repeated, it changes nothing and says nothing."""
    found = presence(scene.zone, scene.machine)
    (alarm,) = await steps.take(visits(found, pages=(page(found),)))
    again = await steps.take(visits(found, pages=(page(found),)))
    assert again == ()
    assert scene.alarms() == [(f"{scene.machine}-{NOON}", True, True, None, False)]
    assert scene.query("SELECT id, page_reason, notice, late FROM alarm") == [(alarm, "prompt", "page", False)]


async def test_an_exit_is_on_the_visit_and_the_alarm(scene: Scene, steps: Steps) -> None:
    found = presence(scene.zone, scene.machine)
    await steps.take(visits(found))
    assert len(await steps.take(visits(ended(found, 5)))) == 1
    assert scene.query("SELECT exited_at - entered_at = '5 min', exit_reason FROM visit") == [(True, "left")]
    assert scene.query("SELECT exited_at - entered_at = '5 min', exit_reason FROM alarm") == [(True, "left")]


async def test_a_second_terminal_joins_the_visit(scene: Scene, steps: Steps) -> None:
    """Two terminals on one machine are one visit, open until the last of them has left, and one page."""
    one = presence(scene.zone, scene.machine)
    two = presence(scene.zone, scene.machine, device=8, began_at=NOON + MINUTE, entered_at=NOON + MINUTE)
    await steps.take(visits(one, pages=(page(one),)))
    assert await steps.take(visits(two, pages=(page(two),))) == ()
    await steps.take(visits(ended(one, 3)))
    assert scene.alarms() == [(f"{scene.machine}-{NOON}", True, True, None, False)]
    await steps.take(visits(ended(two, 9)))
    assert scene.query("SELECT exited_at - entered_at = '9 min' FROM visit") == [(True,)]


async def test_a_core_zone_inside_leads(scene: Scene, steps: Steps) -> None:
    """The alarm moves to the stricter tier and its district; the machine's own district has a copy."""
    with psycopg.connect(scene.conninfo, autocommit=True) as conn:
        conn.execute("INSERT INTO zone DEFAULT VALUES")
        conn.execute(
            "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
            " valid_from, author) SELECT zone + 1, 1, '外', '371500', 'general', state, doc_no, crs, source, geometry,"
            " rules, valid_from, author FROM zone_version"
        )
        conn.execute("UPDATE ruleset SET epoch = 1")
    outer = presence(scene.zone + 1, scene.machine)
    inner = presence(scene.zone, scene.machine, began_at=NOON + MINUTE, entered_at=NOON + MINUTE)
    (first,) = await steps.take(visits(outer, pages=(page(outer),)))
    assert scene.query("SELECT zone, district, copied_to FROM alarm") == [(scene.zone + 1, "371500", "370102")]
    assert await steps.take(visits(inner, pages=(page(inner),))) == (first,)
    assert scene.query("SELECT zone, district, copied_to FROM alarm") == [(scene.zone, "370102", None)]
    assert scene.alarms() == [(f"{scene.machine}-{NOON}", True, True, None, False)]


async def test_a_grade_rises_and_is_said_once(scene: Scene, steps: Steps) -> None:
    found = presence(scene.zone, scene.machine, grade=Grade.PARKED)
    higher = replace(found, grade=Grade.WORKING, grade_at=NOON + MINUTE, grade_speed=30)
    await steps.take(visits(found))
    assert len(await steps.take(visits(higher))) == 1
    assert await steps.take(visits(higher)) == ()
    assert scene.query("SELECT action, payload ->> 'from', payload ->> 'to', actor FROM alarm_action") == [
        ("grade_rose", "parked", "working", "system")
    ]
    assert scene.value("SELECT document -> 'grade_reason' ->> 'speed_kmh' FROM alarm_view") == "3"


async def test_return_within_the_merge_time_is_the_same_visit(scene: Scene, steps: Steps) -> None:
    """Ten minutes by default, half a day after a lost signal; then it is another one."""
    one = presence(scene.zone, scene.machine)
    await steps.take(visits(ended(one, 5)))
    back = presence(scene.zone, scene.machine, began_at=NOON + 14 * MINUTE, entered_at=NOON + 14 * MINUTE)
    await steps.take(visits(ended(back, 20, End.SIGNAL_LOST)))
    morning = NOON + 8 * 60 * MINUTE
    found = presence(scene.zone, scene.machine, began_at=morning, entered_at=morning, confirmed_at=morning + MINUTE)
    await steps.take(visits(ended(found, 8 * 60 + 30)))
    assert len(scene.alarms()) == 1
    later = morning + 60 * MINUTE
    other = presence(scene.zone, scene.machine, began_at=later, entered_at=later, confirmed_at=later + MINUTE)
    await steps.take(visits(other))
    assert [each[0] for each in scene.alarms()] == [f"{scene.machine}-{NOON}", f"{scene.machine}-{later}"]


async def test_silent_visits_and_allowed_machines(scene: Scene, steps: Steps) -> None:
    """An unknown that is only recorded is a visit without an alarm; an allowed presence is only a presence."""
    silent = presence(scene.zone, scene.machine, verdict="unknown", alarm=False)
    allowed = presence(scene.zone, scene.machine, verdict="allowed", alarm=False, began_at=NOON + SECOND, rule=None)
    assert await steps.take(visits(silent, allowed)) == ()
    assert scene.query("SELECT id, verdict, alarming FROM visit") == [(f"{scene.machine}-{NOON}s", "unknown", False)]
    assert scene.value("SELECT count(*) FROM presence") == 2
    assert scene.value("SELECT count(*) FROM alarm") == 0


@pytest.mark.parametrize(
    ("delay", "after_late", "reason"),
    [(SECOND, False, "prompt"), (SECOND, True, "after_late_data"), (61 * SECOND, True, "delayed")],
)
async def test_a_page_says_why_it_comes_now(
    scene: Scene, steps: Steps, delay: int, reason: str, *, after_late: bool
) -> None:
    found = presence(scene.zone, scene.machine, late=after_late)
    await steps.take(visits(found))
    assert scene.alarms()[0][2] is False
    assert len(await steps.take(visits(pages=(page(found, after_late=after_late),), delay=delay))) == 1
    assert scene.query("SELECT page_reason, late FROM alarm") == [(reason, after_late)]


async def test_the_database_refuses_a_second_open_alarm(scene: Scene, steps: Steps) -> None:
    """Whatever our code does: a machine has one open zone alarm, and its alarming visits never overlap."""
    found = presence(scene.zone, scene.machine)
    await steps.take(visits(found))
    with psycopg.connect(scene.conninfo) as conn:
        columns = "kind, district, machine, device, zone, zone_version, lon, lat, entered_at, confirmed_at, received_at"
        conn.execute(
            "INSERT INTO visit (id, device, machine, zone, zone_version, verdict, machine_snapshot, entered_at,"
            " confirmed_at, last_inside_at, epoch) SELECT 'x', device, machine, zone, zone_version, verdict,"
            " machine_snapshot, entered_at, confirmed_at, last_inside_at, epoch FROM visit"
        )
        with pytest.raises(psycopg.errors.UniqueViolation, match="alarm_one_open"):
            conn.execute(f"INSERT INTO alarm (visit, {columns}) SELECT 'x', {columns} FROM alarm")
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute(
            "INSERT INTO visit (id, alarming, device, machine, zone, zone_version, verdict, machine_snapshot, entered_at,"
            " confirmed_at, last_inside_at, epoch) SELECT 'x', true, device, machine, zone, zone_version, verdict,"
            " machine_snapshot, entered_at + '1 min', confirmed_at, last_inside_at, epoch FROM visit"
        )
        with pytest.raises(psycopg.errors.ExclusionViolation, match="visit_one_at_a_time"):
            conn.commit()


@pytest.mark.plain("several sessions at once")
async def test_eight_workers_and_redelivery(scene: Scene, worker_database: str) -> None:
    """Eight terminals on one machine, eight workers at once, batches repeated and sessions cut: one visit at a time."""
    rng = random.Random(8)  # noqa: S311
    with psycopg.connect(scene.conninfo, autocommit=True) as conn:
        conn.execute("INSERT INTO terminal (device, phone) SELECT n, 'p' || n FROM generate_series(100, 107) n")
        conn.execute("UPDATE ruleset SET epoch = 1")
    stays = {
        device: [
            ended(
                presence(scene.zone, scene.machine, device=device, began_at=begin, entered_at=begin,
                         confirmed_at=begin + SECOND, received=begin + SECOND),
                (begin - NOON) / MINUTE + rng.uniform(1, 12),
            )
            for begin in (NOON + i * 25 * MINUTE + rng.randrange(15 * MINUTE) for i in range(12))
        ]
        for device in range(100, 108)
    }  # fmt: skip

    async def run(number: int, device: int) -> None:
        own = [each for whole in stays[device] for each in (replace(whole, ended_at=None, end=None), whole)]
        at = 0
        while at < len(own):
            async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as conn:
                mine = await load.own_offset(conn, number, STREAM)
                at = mine.sequence
                while at < len(own):
                    changes = visits(own[at], pages=(page(own[at]),))
                    made = work(partition=number, previous=at, sequence=at + 1, visits=changes)
                    try:
                        await commit(conn, made, owner=mine.owner)
                        if rng.random() < 0.2:
                            with pytest.raises(OffsetMovedError):
                                await commit(conn, made, owner=mine.owner)  # delivered once more
                    except UnavailableError:
                        break
                    at += 1
                    if rng.random() < 0.1:
                        break  # the session ends; the offset in the database says how far it came

    await asyncio.gather(*(run(n, device) for n, device in enumerate(stays)))
    spans = sorted((stay.began_at, stay.ended_at) for each in stays.values() for stay in each)
    expected: list[list[int]] = []
    for begin, end in spans:
        if expected and begin <= expected[-1][1] + 600 * SECOND:
            expected[-1][1] = max(expected[-1][1], end)
        else:
            expected.append([begin, end])
    found = scene.query(
        "SELECT us_of(entered_at), us_of(exited_at) FROM visit WHERE merged_into IS NULL AND withdrawn_at IS NULL"
        " ORDER BY 1"
    )
    assert [list(each) for each in found] == expected
    assert scene.query(
        "SELECT count(*), count(DISTINCT visit), count(paged_at) FROM alarm WHERE merged_into IS NULL"
    ) == [(len(expected),) * 3]
