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
from storage.load import epoch as present_epoch
from storage.load import ruleset

MOST_EDITS = 16  # an edit compiles a few cells (tens of ms), a whole city takes seconds
RETRY_S = 1.0
log = structlog.get_logger()
Rows = dict[tuple[int, int], dict[str, Any]]
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
        self._rows: Rows = {}
        self._loading = asyncio.Lock()

    async def get(self, connection: psycopg.AsyncConnection[Any], epoch: int) -> Rules:
        """The rules that the database had at ``epoch`` or has since; 0: any that were loaded.

        An epoch that is smaller than the loaded one is a database that was restored: it is read again.
        """
        async with self._loading:
            if self._rules is None or epoch not in {0, self._rules.epoch}:
                self._rules = await self._load(connection)
            return self._rules

    async def watch(self, database: str) -> None:
        """Loads rules when they change, before the next batch finds out that they did. For ever."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(database, autocommit=True, connect_timeout=5) as own:
                    await own.execute("LISTEN ruleset")
                    while True:
                        await self.get(own, await present_epoch(own))
                        # The generator holds the connection while it is open: it must end before the next reading.
                        async for _ in own.notifies(stop_after=1):
                            pass
            except Exception as error:  # noqa: BLE001  a partition meets the same fault and says so; this only runs ahead
                log.warning("rules are not watched", error=repr(error))
                await asyncio.sleep(RETRY_S)

    async def _load(self, connection: psycopg.AsyncConnection[Any]) -> Rules:
        begun = time.monotonic()
        found = await ruleset(connection)
        # Versions that have ended too: reports from before the end may still come. A withdrawn draft was never in force.
        rows = {
            (row["zone"], row["version"]): row
            for row in found.zones
            if row["valid_to"] is None or row["valid_to"] > row["valid_from"]
        }
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


def _edited(fence: Fence, before: Rows, rows: Rows) -> Fence:
    """The fence of ``rows``: the same one, an edited one, or, where too much changed for that to be cheap, a new one."""
    gone = before.keys() - rows.keys()
    changed = [row for version, row in rows.items() if before.get(version) != row]
    if len(gone) + len(changed) > MOST_EDITS:
        return Fence.compile([_zone(row) for row in rows.values()])
    for zone, version in gone:
        fence = fence.without(zone, version)
    for row in changed:
        fence = fence.with_zone(_zone(row))
    return fence


def _zone(row: dict[str, Any]) -> Zone:
    named = {key: row[key] for key in ("version", "name", "district", "tier", "guard_m", "halo_m", "unknown_policy",
                                       "valid_from", "valid_to")}  # fmt: skip
    return Zone.stored(id=row["zone"], geometry=row["geometry"], rules=row["rules"], **named)
