"""What a worker reads of rules and machines: everything once, and after that exactly what has changed."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from storage.ruleset import Changes, epoch, ruleset, settle_machines
from tests.storage.rows import SECOND

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

pytestmark = pytest.mark.asyncio

NEW_YEAR = 1_767_225_600 * SECOND
VERSION = (
    "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
    " valid_from, author) VALUES (%s, %s, '区', '370102', 'core', %s, '1号', 'wgs84', '{}', %s, '[]', %s, 'a')"
)


@pytest.fixture(autouse=True)
def _later(scene: Scene) -> None:
    """The scene sets the epoch back, behind its own marks."""
    run(scene, "UPDATE ruleset SET epoch = 10")


def run(scene: Scene, *statements: str) -> None:
    """Each statement is a transaction."""
    for statement in statements:
        scene.query(statement + " RETURNING 1" if not statement.startswith("SELECT") else statement)


async def test_everything(scene: Scene, worker: AsyncConnection) -> None:
    """Zones, bindings, versions of machines and exemptions with their dates in us, drafts left out."""
    run(
        scene,
        f"INSERT INTO exemption (kind, machine, zone, during, approver, reason, created_by)"
        f" VALUES ('machine', {scene.machine}, {scene.zone}, '[2026-01-01Z,2026-12-01Z)', '局长', '应急抢险', 'b')",
        "INSERT INTO exemption (kind, owner, during, approver, reason, created_by)"
        " VALUES ('owner', '一建', '[2026-01-01Z,)', '局长', '民生', 'b')",
    )
    found = await ruleset(worker)
    assert found.whole
    assert found.epoch == await epoch(worker)
    (zone,) = found.zones
    assert (zone["zone"], zone["version"], zone["name"], zone["counts"]) == (scene.zone, 1, "一号区", True)
    assert (zone["valid_from"], zone["valid_to"], zone["merge_s"], zone["slow_terminals"]) == (
        NEW_YEAR,
        None,
        600,
        "ask",
    )
    assert found.devices == [7]
    assert found.bindings == [
        {"device": 7, "machine": scene.machine, "phone": "13800000007", "since": NEW_YEAR, "until": None}
    ]
    (machine,) = found.machines
    assert (machine["id"], machine["emission_stage"], machine["smoke_class"]) == (scene.machine, "2", "unknown")
    assert (machine["status"], machine["since"]) == ("in_use", None)
    first, second = found.exemptions
    assert (first["kind"], first["value"], first["zone"]) == ("machine", scene.machine, scene.zone)
    assert (first["since"], first["reason"]) == (NEW_YEAR, "应急抢险")
    assert (second["kind"], second["value"], second["zone"], second["until"]) == ("owner", "一建", None, None)


async def test_only_what_changed(scene: Scene, worker: AsyncConnection) -> None:
    """Each edit shows itself and nothing else; of a version that is law already the shape is not read again."""
    at = await epoch(worker)
    assert await ruleset(worker, at) == Changes(at, False, [], [], [], [], [])

    run(scene, f"UPDATE zone_version SET valid_to = now() + interval '1 day' WHERE zone = {scene.zone}")
    found = await ruleset(worker, at)
    assert [(zone["zone"], zone["geometry"], zone["counts"]) for zone in found.zones] == [(scene.zone, None, True)]
    assert found.zones[0]["valid_to"] is not None
    assert (found.devices, found.machines, found.exemptions) == ([], [], [])

    at = found.epoch
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute(VERSION, [scene.zone, 2, "draft", Jsonb({"type": "Polygon"}), None])
    drawn = await ruleset(worker, at)
    assert drawn.zones == []  # a draft
    run(scene, "UPDATE zone_version SET state = 'approved', valid_from = now() + interval '2 days' WHERE version = 2")
    published = await ruleset(worker, drawn.epoch)
    assert [(zone["version"], zone["geometry"]) for zone in published.zones] == [(2, {"type": "Polygon"})]

    run(scene, "UPDATE machine SET emission_stage = '3'")
    changed = await ruleset(worker, published.epoch)
    assert [(each["emission_stage"], each["since"] is None) for each in changed.machines] == [("2", True), ("3", False)]
    assert (changed.zones, changed.devices) == ([], [])
    run(scene, "UPDATE machine SET brand = 'x', owner_phone = '1'")
    assert await epoch(worker) == changed.epoch  # no verdict asks for it

    run(scene, "UPDATE binding SET during = tstzrange(lower(during), now()) WHERE device = 7")
    ended = await ruleset(worker, changed.epoch)
    assert (ended.devices, len(ended.bindings), ended.machines) == ([7], 1, [])
    assert ended.bindings[0]["until"] is not None


async def test_what_ended_long_ago_is_left_out(scene: Scene, worker: AsyncConnection) -> None:
    """A fix that comes late is judged by what was in force at its time; older ends are none of a new worker's business.

    A worker that knew what has become void is told.
    """
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("ALTER TABLE zone_version DISABLE TRIGGER zone_version_guard")  # what time would do
        conn.execute("UPDATE zone_version SET state = 'retired', valid_to = now() - interval '2 days'")
        conn.execute("UPDATE binding SET during = tstzrange('2020-01-01', now() - interval '2 days')")
    found = await ruleset(worker)
    assert (len(found.zones), len(found.bindings)) == (1, 1)
    at = found.epoch
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("UPDATE zone_version SET valid_from = '2020-01-01', valid_to = now() - interval '40 days'")
        conn.execute("UPDATE binding SET during = tstzrange('2020-01-01', now() - interval '40 days')")
    found = await ruleset(worker)
    assert (found.zones, found.bindings) == ([], [])
    told = await ruleset(worker, at)
    assert [(zone["counts"], zone["geometry"]) for zone in told.zones] == [(False, None)]
    assert (told.devices, told.bindings) == ([7], [])


async def test_a_version_that_was_withdrawn_before_it_began_never_counts(scene: Scene, worker: AsyncConnection) -> None:
    """Its end is its beginning: a new worker is not told of it, one that knew it is."""
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("INSERT INTO zone DEFAULT VALUES")
        (zone,) = conn.execute("SELECT max(id) FROM zone").fetchone()
        conn.execute(VERSION, [zone, 1, "approved", Jsonb({}), "2199-01-01Z"])
    at = await epoch(worker)
    run(scene, f"UPDATE zone_version SET state = 'retired', valid_to = valid_from WHERE zone = {zone}")
    assert [one["zone"] for one in (await ruleset(worker)).zones] == [scene.zone]
    assert [(one["zone"], one["counts"]) for one in (await ruleset(worker, at)).zones] == [(zone, False)]


async def test_a_revoked_exemption_ends(scene: Scene, worker: AsyncConnection) -> None:
    """It is told with its new end; one that was revoked before it began has none of its time left."""
    run(
        scene,
        "INSERT INTO exemption (kind, project, during, approver, reason, created_by)"
        " VALUES ('project', '地铁', '[2026-01-01Z,)', 'a', 'r', 'b'), ('purpose', '抢险', '[2199-01-01Z,)', 'a', 'r', 'b')",
    )
    at = await epoch(worker)
    run(scene, "UPDATE exemption SET revoked_at = '2026-02-01Z', revoked_by = 'c', revocation = 'wrong'")
    first, second = (await ruleset(worker, at)).exemptions
    assert first["until"] == NEW_YEAR + 31 * 86_400 * SECOND
    assert second["until"] < second["since"]


async def test_what_was_deleted_or_restored_is_read_anew(scene: Scene, worker: AsyncConnection) -> None:
    """Nothing could say that a row is gone: who knew it reads everything. So does who is ahead of the database."""
    at = await epoch(worker)
    run(scene, "DELETE FROM binding")
    found = await ruleset(worker, at)
    assert (found.whole, found.bindings, len(found.zones)) == (True, [], 1)
    assert not (await ruleset(worker, found.epoch)).whole
    assert (await ruleset(worker, found.epoch + 5)).whole
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute(VERSION, [scene.zone, 2, "draft", Jsonb({}), None])
    run(scene, "DELETE FROM zone_version WHERE state = 'draft'")
    assert not (await ruleset(worker, found.epoch)).whole  # no worker knew the draft


async def test_one_epoch_a_transaction(scene: Scene, worker: AsyncConnection) -> None:
    """However many statements and rows; an edit that is rolled back, whole or to a savepoint, leaves none."""
    at = await epoch(worker)
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("INSERT INTO machine (machine_type) SELECT 'loader' FROM generate_series(1, 500)")
        conn.execute("UPDATE machine SET emission_stage = '4'")
        conn.execute("UPDATE binding SET during = during")
    assert await epoch(worker) == at + 1
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("UPDATE machine SET emission_stage = '1'")
        conn.rollback()
        conn.execute("SAVEPOINT one")
        conn.execute("UPDATE machine SET emission_stage = '1'")
        conn.execute("ROLLBACK TO one")
        conn.execute("UPDATE machine SET emission_stage = '2' WHERE registration_number = 'LJ-1'")
    found = await ruleset(worker, at + 1)
    assert (found.epoch, [each["id"] for each in found.machines]) == (at + 2, [scene.machine] * 3)


@pytest.mark.plain("two sessions at once")
async def test_no_edit_is_missed_by_a_reader(scene: Scene, worker: AsyncConnection) -> None:
    """Editors at once, in transactions of random length: a reader of changes ends with what a new reader reads."""
    with psycopg.connect(scene.conninfo) as conn:
        conn.execute("INSERT INTO machine (machine_type) SELECT 'loader' FROM generate_series(1, 20)")
    faults: list[BaseException] = []

    def edit(seed: int) -> None:
        choose = random.Random(seed)  # noqa: S311 - a walk, no secret
        try:
            with psycopg.connect(scene.conninfo) as conn:
                for _ in range(40):
                    conn.execute(
                        "UPDATE machine SET emission_stage = %s WHERE id = %s",
                        [choose.choice("1234"), scene.machine + 1 + seed * 5 + choose.randrange(5)],
                    )
                    time.sleep(choose.random() * 0.004)
                    if choose.random() < 0.2:
                        conn.rollback()
                    else:
                        conn.commit()
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    editors = [threading.Thread(target=edit, args=[seed]) for seed in range(4)]
    known: dict[int, list[dict[str, Any]]] = {}
    at = 0
    for editor in editors:
        editor.start()
    reads = 0
    while any(editor.is_alive() for editor in editors) or reads < 2:
        reads = reads + 1 if all(not editor.is_alive() for editor in editors) else 0
        found = await ruleset(worker, at)
        at = found.epoch
        for machine in {row["id"] for row in found.machines}:
            known[machine] = [row for row in found.machines if row["id"] == machine]
    assert faults == []
    everything = (await ruleset(worker)).machines
    assert [row for machine in sorted(known) for row in known[machine]] == everything
    assert len(everything) > 50


async def test_a_worker_settles_what_has_come(scene: Scene, worker: AsyncConnection) -> None:
    """In its own role; the epoch, which knew the change before, stays, and so does the history."""
    run(scene, f"SELECT record_machine({scene.machine}, '{{\"emission_stage\": \"4\"}}', '2026-01-01Z')")
    at = await epoch(worker)
    assert scene.value("SELECT emission_stage FROM machine") == "2"
    assert await settle_machines(worker) == 1
    assert await settle_machines(worker) == 0
    assert scene.value("SELECT emission_stage FROM machine") == "4"
    assert (await epoch(worker), scene.value("SELECT count(*) FROM machine_version")) == (at, 2)
