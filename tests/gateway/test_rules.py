"""Rules: a ruleset that was edited answers like one that is made anew, and edits reach it from the database."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from columns.identity import device_of
from gateway.worker import rules
from gateway.worker.rules import RulesCache, renewed
from gateway.worker.store import PostgresReads
from storage.ruleset import Changes
from storage.ruleset import epoch as present_epoch

if TYPE_CHECKING:
    from geofence.fence import Fence
    from geofence.ruleset import Ruleset

NOW = 1_790_000_000_000_000
NOTHING = Changes(1, whole=False, zones=[], devices=[], bindings=[], machines=[], exemptions=[])


def row(zone: int, version: int = 1, *, west: float = 116.0, **more: Any) -> dict[str, Any]:
    ring = [[west, 36.0], [west + 0.02, 36.0], [west + 0.02, 36.02], [west, 36.02], [west, 36.0]]
    return {
        "zone": zone, "version": version, "name": "区", "district": "371502", "tier": "core",
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "rules": [{"any_of": [{"stage_below": "3"}]}],
        "guard_m": 30.0, "halo_m": 30.0, "unknown_policy": "record", "merge_s": 600.0, "lost_s": 1800.0,
        "lost_merge_s": 43200.0, "slow_terminals": "ask", "valid_from": 0, "valid_to": None, "counts": True, **more,
    }  # fmt: skip


def gone(zone: int, version: int = 1) -> dict[str, Any]:
    return row(zone, version, geometry=None, counts=False)


def machine(id_: int, stage: str, since: int | None = None) -> dict[str, Any]:
    return {"id": id_, "emission_stage": stage, "since": since}


def binding(device: int, machine_: int, until: int | None = None) -> dict[str, Any]:
    return {"device": device, "machine": machine_, "phone": str(device), "since": None, "until": until}


def exemption(id_: int, machine_: int, until: int | None = None) -> dict[str, Any]:
    return {"id": id_, "kind": "machine", "value": machine_, "zone": None, "since": 0, "until": until, "approver": "a",
            "reason": "r", "doc_no": None}  # fmt: skip


def whole(**more: Any) -> Changes:
    return replace(NOTHING, whole=True, **more)


def answers(fence: Fence) -> list[set[tuple[int, int, int]]]:
    lon, lat = (axis.ravel() for axis in np.meshgrid(np.linspace(115.95, 116.2, 60), np.linspace(35.98, 36.04, 20)))
    ids = fence.locate(lon, lat)
    return [
        {(fence.zones[i].id, fence.zones[i].version, int(depth)) for i, depth in fence.depths(one)}
        for one in ids.tolist()
    ]


@pytest.mark.parametrize("most", [0, 64])
def test_zones_are_edited(monkeypatch, most):
    """A new zone, another version, an end, and one that is gone: with edits or without, every point has the same answer."""
    monkeypatch.setattr(rules, "MOST_EDITS", most)
    known, granted = renewed(None, {}, whole(zones=[row(1), row(2, west=116.05), row(3, west=116.1)]))
    edits = [row(2, geometry=None, valid_to=NOW), row(2, 2, west=116.03, valid_from=NOW), gone(3), gone(9),
             row(4, west=116.12)]  # fmt: skip
    edited, _ = renewed(known, granted, replace(NOTHING, zones=edits))
    after = [row(1), row(2, west=116.05, valid_to=NOW), row(2, 2, west=116.03, valid_from=NOW), row(4, west=116.12)]
    anew, _ = renewed(None, {}, whole(zones=after))
    assert answers(edited.fence) == answers(anew.fence)
    ends = {(zone.id, zone.version): zone.valid_to for zone in edited.fence.zones}
    assert ends == {(1, 1): None, (2, 1): NOW, (2, 2): None, (4, 1): None}
    assert {zone.id for zone in known.fence.zones} == {1, 2, 3}  # who decides with it is not disturbed


def test_what_did_not_change_is_the_same_object():
    """A machine's edit leaves the fence, with all that was settled under it; a zone's leaves the machines."""
    known, granted = renewed(None, {}, whole(zones=[row(1)], bindings=[binding(5, 1)], machines=[machine(1, "2")]))
    edited, _ = renewed(known, granted, replace(NOTHING, machines=[machine(1, "2"), machine(1, "3", NOW)]))
    assert edited.fence is known.fence
    again, _ = renewed(edited, granted, replace(NOTHING, zones=[row(2, west=116.05)]))
    assert again.machines is edited.machines
    assert again.fence is not edited.fence


def test_machines_and_bindings_are_replaced_by_device_and_by_machine():
    """An engine change counts from its date; a device whose bindings are all gone waits for a machine again."""
    known, granted = renewed(
        None, {}, whole(bindings=[binding(5, 1), binding(6, 2)], machines=[machine(1, "2"), machine(2, "1")])
    )
    changes = replace(NOTHING, devices=[6], machines=[machine(1, "2"), machine(1, "4", NOW)])
    edited, _ = renewed(known, granted, changes)
    assert [edited.machines.find(5, at).emission_stage for at in (NOW - 1, NOW)] == ["2", "4"]
    assert edited.machines.find(6, NOW) is None
    assert known.machines.find(6, NOW).emission_stage == "1"


def test_exemptions_are_kept_replaced_and_dropped():
    """An edit of one keeps the others; a whole reading keeps none; one without any time of its own is none."""
    known, granted = renewed(
        None, {}, whole(zones=[row(1)], bindings=[binding(5, 1), binding(6, 2)],
                        machines=[machine(1, "2"), machine(2, "1")], exemptions=[exemption(1, 1), exemption(2, 2)]),
    )  # fmt: skip

    def verdicts(of: Ruleset) -> list[str]:
        (zone,) = of.fence.zones
        return [of.judge(zone, of.machines.find(device, NOW), NOW).verdict.value for device in (5, 6)]

    assert verdicts(known) == ["exempt", "exempt"]
    edited, granted = renewed(known, granted, replace(NOTHING, exemptions=[exemption(2, 2, until=NOW - 5)]))
    assert verdicts(edited) == ["exempt", "violation"]
    edited, granted = renewed(edited, granted, replace(NOTHING, exemptions=[exemption(1, 1, until=0)]))
    assert set(granted) == {2}
    assert verdicts(edited) == ["violation", "violation"]
    _, granted = renewed(edited, granted, whole(exemptions=[exemption(3, 1)]))
    assert set(granted) == {3}


def _populate(database: str) -> int:
    with psycopg.connect(database) as conn:
        (zone,) = conn.execute("INSERT INTO zone DEFAULT VALUES RETURNING id").fetchone()
        conn.execute(
            "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
            " valid_from, author) VALUES (%s, 1, '区', '371502', 'core', 'active', '1号', 'wgs84', '{}', %s, %s,"
            " '2020-01-01Z', 'a')",
            [zone, Jsonb(row(1)["geometry"]), Jsonb(row(1)["rules"])],
        )
        conn.execute(
            "INSERT INTO machine (registration_number, machine_type, emission_stage) VALUES ('A', 'loader', '2')"
        )
        conn.execute("INSERT INTO terminal (device, phone) VALUES (%s, '1')", [device_of("1")])
        conn.execute("INSERT INTO binding (device, machine, during) SELECT %s, id, tstzrange(NULL, NULL) FROM machine",
                     [device_of("1")])  # fmt: skip
    return int(zone)


@pytest.mark.asyncio
async def test_edits_reach_every_worker(database, worker_database):
    """By the epoch that a commit met, or by watching; who takes any rules never waits for the making of new ones."""
    zone = _populate(database)
    cache, other = RulesCache(), RulesCache()
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        gc.unfreeze()
        store = PostgresReads(connection)
        first = await cache.get(store, 0)
        assert gc.get_freeze_count()  # what is loaded first is not looked over at every full collection
        gc.unfreeze()
        (known,) = first.ruleset.fence.zones
        assert (known.id, known.merge_s) == (zone, 600)
        assert first.ruleset.machines.phone(device_of("1")) == "1"
        with psycopg.connect(database) as conn:
            conn.execute("UPDATE machine SET emission_stage = '4'")
        assert await cache.get(store, 0) is first
        now = await present_epoch(connection)
        second = await cache.get(store, now)
        assert (second.epoch, second.ruleset.fence) == (now, first.ruleset.fence)
        assert second.ruleset.machines.find(device_of("1"), 2**62).emission_stage == "4"
        assert first.ruleset.machines.find(device_of("1"), 2**62).emission_stage == "2"

        async with cache._loading:
            assert await asyncio.wait_for(cache.get(store, 0), 1) is second

        watching = asyncio.create_task(other.watch(worker_database))
        async with asyncio.timeout(10):
            while (await other.get(store, 0)).epoch != now:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            with psycopg.connect(database) as conn:
                conn.execute("UPDATE zone_version SET valid_to = now() + interval '1 hour'")
            while (await other.get(store, 0)).ruleset.fence.zones[0].valid_to is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
