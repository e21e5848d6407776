"""Positions and works for storage tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from storage.work import VisitOpening, Work

SECOND = 1_000_000
NOON = 1_772_366_400 * SECOND
"""2026-03-01 12:00 UTC."""
STREAM = "POS@2026-03-01T00:00:00Z"


def positions(
    n: int, *, start: int = 0, time: int = NOON, device: int = 7, extras: list[bytes] | None = None
) -> Positions:
    """n good fixes of one device, a second apart; ``start`` sets the fingerprints."""
    columns: dict[str, Any] = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
    columns["device"][:] = device
    columns["time"] = time + np.arange(start, start + n) * SECOND
    columns["received"] = columns["time"] + 2 * SECOND
    columns["fingerprint"] = np.arange(start, start + n)
    columns["lon"][:], columns["lat"][:] = 117.12, 36.65
    return Positions(**columns, extras=Ragged.of(extras or [b""] * n))


def work(**changes: Any) -> Work:
    """The first work of partition 0."""
    values: dict[str, Any] = {
        "partition": 0, "stream": STREAM, "previous": 0, "sequence": 10, "epoch": 1, "boots": {"boot": 3},
    }  # fmt: skip
    return Work(**{**values, **changes})


def opening(zone: int, machine: int | None, **changes: Any) -> VisitOpening:
    """A violation of device 7 in version 1 of ``zone``."""
    snapshot = {"id": machine, "registration_number": "LJ-1", "machine_type": "excavator", "emission_stage": "2",
                "registration_type": "machinery", "district": "370102", "phone": "13800000007"}  # fmt: skip
    values: dict[str, Any] = {
        "id": f"7-{zone}-{NOON}", "device": 7, "machine": snapshot, "zone": zone, "zone_version": 1,
        "verdict": "violation", "rule": {"stage_below": "3"}, "entered_at": NOON, "confirmed_at": NOON + 10 * SECOND,
        "last_inside_at": NOON + 10 * SECOND, "lon": 117.12, "lat": 36.65, "received_at": NOON + 11 * SECOND,
        "alarm": True,
    }  # fmt: skip
    return VisitOpening(**{**values, **changes})
