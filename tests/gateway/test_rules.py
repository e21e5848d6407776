"""Rules: an edited fence answers like one that is compiled anew."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.worker import rules
from geofence.fence import Fence


def row(zone: int, version: int = 1, *, west: float = 116.0) -> dict:
    ring = [[west, 36.0], [west + 0.02, 36.0], [west + 0.02, 36.02], [west, 36.02], [west, 36.0]]
    return {
        "zone": zone, "version": version, "name": "区", "district": "371502", "tier": "core", "state": "active",
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "rules": [{"any_of": [{"stage_below": "3"}]}],
        "guard_m": 30.0, "halo_m": 30.0, "unknown_policy": "record", "valid_from": 0, "valid_to": None,
    }  # fmt: skip


def answers(fence: Fence) -> list[set[tuple[int, int]]]:
    lon, lat = (axis.ravel() for axis in np.meshgrid(np.linspace(115.95, 116.2, 60), np.linspace(35.98, 36.04, 20)))
    ids = fence.locate(lon, lat)
    return [{(fence.zones[i].id, int(depth)) for i, depth in fence.depths(one)} for one in ids.tolist()]


@pytest.mark.parametrize("most", [0, 16])
def test_edits(monkeypatch, most):
    """A new zone, another version and one that is gone: with edits or without, every point has the same answer."""
    monkeypatch.setattr(rules, "MOST_EDITS", most)
    before = {(1, 1): row(1), (2, 1): row(2, west=116.05), (3, 1): row(3, west=116.1)}
    after = {(1, 1): row(1), (2, 2): row(2, 2, west=116.03), (4, 1): row(4, west=116.12)}
    fence = Fence.compile([rules._zone(one) for one in before.values()])
    edited = rules._edited(fence, before, after)
    assert answers(edited) == answers(Fence.compile([rules._zone(one) for one in after.values()]))
    assert {zone.id: zone.version for zone in edited.zones} == {1: 1, 2: 2, 4: 1}


def test_no_change_is_no_work():
    """When only machines changed, the very same fence goes on, and with it what was settled under it."""
    before = {(1, 1): row(1)}
    fence = Fence.compile([rules._zone(one) for one in before.values()])
    assert rules._edited(fence, before, {(1, 1): row(1)}) is fence
