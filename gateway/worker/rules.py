"""Rules: the fence and the machines of one epoch, read from the database and compiled off the loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.zones import Zone
from storage.load import epoch, ruleset

MOST_EDITS = 16  # an edit compiles a few cells (tens of ms), a whole city takes seconds
RETRY_S = 1.0
log = structlog.get_logger()
_MACHINE = ("id", "registration_number", "machine_type", "registration_type", "emission_stage", "power_kw", "energy",
            "district", "phone")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What a decision is made with."""

    epoch: int
    fence: Fence
    machines: Machines


class RulesCache:
    """One per worker process: its partitions share fence and machines."""

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._rows: dict[int, dict[str, Any]] = {}
        self._loading = asyncio.Lock()

    async def get(self, connection: psycopg.AsyncConnection[Any], at_least: int) -> Rules:
        """Rules of epoch ``at_least`` or a newer one."""
        async with self._loading:
            if self._rules is None or self._rules.epoch < at_least:
                self._rules = await self._load(connection)
            return self._rules

    async def watch(self, database: str) -> None:
        """Loads rules when they change, before the next batch finds out that they did. For ever."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(database, autocommit=True, connect_timeout=5) as own:
                    await own.execute("LISTEN ruleset")
                    while True:
                        await self.get(own, await epoch(own))
                        # The generator holds the connection while it is open: it must end before the next reading.
                        async for _ in own.notifies(stop_after=1):
                            pass
            except psycopg.Error as error:
                log.warning("rules are not watched", error=str(error).strip())
                await asyncio.sleep(RETRY_S)

    async def _load(self, connection: psycopg.AsyncConnection[Any]) -> Rules:
        begun = time.monotonic()
        found = await ruleset(connection)
        rows = {row["zone"]: row for row in found.zones if row["state"] == "active"}
        if self._rules is None:
            fence = await asyncio.to_thread(Fence.compile, [_zone(row) for row in rows.values()])
        else:
            fence = await asyncio.to_thread(_edited, self._rules.fence, self._rows, rows)
        self._rows = rows
        machines = Machines(
            Binding(row["device"], Machine(**{name: row[name] for name in _MACHINE}), row["valid_from"],
                    row["valid_to"])
            for row in found.machines
        )  # fmt: skip
        log.info("rules loaded", epoch=found.epoch, zones=len(rows), bindings=len(found.machines),
                 seconds=round(time.monotonic() - begun, 3))  # fmt: skip
        return Rules(found.epoch, fence, machines)


def _edited(fence: Fence, before: dict[int, dict[str, Any]], rows: dict[int, dict[str, Any]]) -> Fence:
    """The fence of ``rows``: the same one, an edited one, or, where too much changed for that to be cheap, a new one."""
    gone = before.keys() - rows.keys()
    changed = [row for zone, row in rows.items() if before.get(zone) != row]
    if len(gone) + len(changed) > MOST_EDITS:
        return Fence.compile([_zone(row) for row in rows.values()])
    for zone in gone:
        fence = fence.without(zone)
    for row in changed:
        fence = fence.with_zone(_zone(row))
    return fence


def _zone(row: dict[str, Any]) -> Zone:
    named = {key: row[key] for key in ("version", "name", "district", "tier", "guard_m", "halo_m", "unknown_policy",
                                       "valid_from", "valid_to")}  # fmt: skip
    return Zone.stored(id=row["zone"], geometry=row["geometry"], rules=row["rules"], **named)
