"""Rules: the fence and the machines of one epoch, read from the database and compiled off the loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.zones import Zone
from storage.load import ruleset

if TYPE_CHECKING:
    import psycopg

log = structlog.get_logger()
_MACHINE = ("id", "registration_number", "machine_type", "registration_type", "emission_stage", "power_kw", "energy",
            "district", "phone")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What a decision is made with; ``phones`` names devices in events."""

    epoch: int
    fence: Fence
    machines: Machines
    phones: dict[int, str]
    zones: dict[tuple[int, int], Zone]


class RulesCache:
    """One per worker process: its partitions share fence and machines."""

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._zone_rows: list[dict[str, Any]] = []
        self._loading = asyncio.Lock()

    async def get(self, connection: psycopg.AsyncConnection[Any], at_least: int) -> Rules:
        """Rules of epoch ``at_least`` or a newer one."""
        async with self._loading:
            if self._rules is None or self._rules.epoch < at_least:
                self._rules = await self._load(connection)
            return self._rules

    async def _load(self, connection: psycopg.AsyncConnection[Any]) -> Rules:
        begun = time.monotonic()
        found = await ruleset(connection)
        if self._rules is not None and found.zones == self._zone_rows:
            fence, zones = self._rules.fence, self._rules.zones  # only machines changed
        else:
            zones = {(row["zone"], row["version"]): _zone(row) for row in found.zones}
            active = [zones[row["zone"], row["version"]] for row in found.zones if row["state"] == "active"]
            fence = await asyncio.to_thread(Fence.compile, active)
        self._zone_rows = found.zones
        machines = Machines(
            Binding(row["device"], Machine(**{name: row[name] for name in _MACHINE}), row["valid_from"],
                    row["valid_to"])
            for row in found.machines
        )  # fmt: skip
        log.info("rules loaded", epoch=found.epoch, zones=len(zones), bindings=len(found.machines),
                 seconds=round(time.monotonic() - begun, 3))  # fmt: skip
        phones = {row["device"]: row["phone"] for row in found.machines}
        return Rules(found.epoch, fence, machines, phones, zones)


def _zone(row: dict[str, Any]) -> Zone:
    named = {key: row[key] for key in ("version", "name", "district", "tier", "guard_m", "halo_m", "unknown_policy",
                                       "valid_from", "valid_to")}  # fmt: skip
    return Zone.stored(id=row["zone"], geometry=row["geometry"], rules=row["rules"], **named)
