"""Positions and works for storage tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from gateway.worker.visiting import visit_changes
from geofence.fence import Fence
from geofence.grades import Grade
from geofence.machines import Machines
from geofence.presences import Cause, End, Page, Presence
from geofence.ruleset import Ruleset
from storage.work import VisitChanges, Work

SECOND = 1_000_000
MINUTE = 60 * SECOND
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


def presence(zone: int, machine: int | None, **changes: Any) -> Presence:
    """A violation of device 7 in version 1 of ``zone``, that goes on."""
    snapshot = {"id": machine, "registration_number": "LJ-1", "machine_type": "excavator", "emission_stage": "2",
                "registration_type": "machinery", "district": "370102"}  # fmt: skip
    values: dict[str, Any] = {
        "device": 7, "zone": zone, "began_at": NOON, "entered_at": NOON, "confirmed_at": NOON + 10 * SECOND,
        "last_inside_at": NOON + 10 * SECOND, "cause": Cause.CROSSING, "zone_version": 1, "machine": machine,
        "verdict": "violation", "alarm": True, "rule": {"index": 0, "predicate": {"stage_below": "3"}},
        "snapshot": snapshot, "grade": Grade.UNKNOWN, "grade_at": NOON, "grade_speed": 0, "late": False, "lon": 117.12,
        "lat": 36.65, "received": NOON + 11 * SECOND,
    }  # fmt: skip
    return Presence(**{**values, **changes})


def ended(of: Presence, minutes: float, end: End = End.LEFT) -> Presence:
    """The presence, ended so long after noon."""
    at = NOON + int(minutes * MINUTE)
    return replace(of, ended_at=at, end=end, last_inside_at=at - 10 * SECOND)


def page(of: Presence, **changes: Any) -> Page:
    """The confirming fix of a presence pages."""
    values = {"device": of.device, "machine": of.machine, "zone": of.zone, "began_at": of.began_at,
              "at": of.confirmed_at, "received": of.received, "after_late": False}  # fmt: skip
    return Page(**{**values, **changes})


def visits(
    *presences: Presence, gone: tuple[Presence, ...] = (), pages: tuple[Page, ...] = (), delay: int = SECOND
) -> VisitChanges | None:
    """What a worker commits of these presences, of zones that merge for half a day at most."""
    received = max([NOON, *(page.received for page in pages)])
    made = visit_changes(presences, (), gone, pages, Ruleset(Fence.compile([]), Machines()), received + delay)
    return made if made is None else replace(made, merge=43_200 * SECOND)
