"""Rules: the ruleset of one epoch, read from the database and made of the one before, off the loop.

An edit is read alone and changes what it must: a zone the cells around it, a machine its own versions. Everything is
read at the start, and again where the database cannot say what changed. A version, a binding or an exemption that has
ended stays until the worker starts anew: late fixes ask for it, and a city ends a few a day.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from gateway.worker.store import PostgresReads
from geofence.exemptions import Exemption
from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.ruleset import Ruleset
from geofence.zones import Zone
from storage.ruleset import epoch as present_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.worker.store import Reads
    from storage.ruleset import Changes

MOST_EDITS = 64  # an edit is tens of ms, a whole city takes seconds
RETRY_S = 1.0
log = structlog.get_logger()
Granted = dict[int, Exemption]
_NOT_THE_ZONES = {"zone", "geometry", "rules", "counts"}


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What a decision is made with."""

    epoch: int
    ruleset: Ruleset


class RulesCache:
    """One per worker process: its partitions share the ruleset."""

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._granted: Granted = {}
        self._loading = asyncio.Lock()

    @property
    def epoch(self) -> int | None:
        """Of the rules that are loaded."""
        return None if self._rules is None else self._rules.epoch

    async def get(self, store: Reads, epoch: int) -> Rules:
        """The rules that the database had at ``epoch`` or has since; 0: any that were loaded.

        An epoch that is smaller than the loaded one is a database that was restored: it is read again. Nobody who takes
        any waits while newer ones are made.
        """
        if epoch == 0 and self._rules is not None:
            return self._rules
        async with self._loading:
            if self._rules is None or epoch not in {0, self._rules.epoch}:
                self._rules, self._granted = await self._load(store)
            return self._rules

    async def watch(self, database: str) -> None:
        """Loads rules when they change, before the next batch finds out that they did. For ever."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(database, autocommit=True, connect_timeout=5) as own:
                    await own.execute("LISTEN ruleset")
                    while True:
                        await self.get(PostgresReads(own), await present_epoch(own))
                        # The generator holds the connection while it is open: it must end before the next reading.
                        async for _ in own.notifies(stop_after=1):
                            pass
            except Exception as error:  # noqa: BLE001  a partition meets the same fault and says so; this only runs ahead
                log.warning("rules are not watched", error=repr(error))
                await asyncio.sleep(RETRY_S)

    async def _load(self, store: Reads) -> tuple[Rules, Granted]:
        begun = time.monotonic()
        known = self._rules
        found = await store.rules_since(0 if known is None else known.epoch)
        made, granted = await asyncio.to_thread(renewed, None if known is None else known.ruleset, self._granted, found)
        if known is None:
            # These objects stay. A full collection over them stops the loop for 100 ms of CPU with 3,000 zones and 30,000
            # machines, 60 ms with the machines alone, and for less than 1 ms once they are frozen.
            gc.collect()
            gc.freeze()
        log.info("rules loaded", epoch=found.epoch, whole=found.whole, zones=len(found.zones),
                 bindings=len(found.bindings), machines=len(found.machines), exemptions=len(found.exemptions),
                 seconds=round(time.monotonic() - begun, 3))  # fmt: skip
        return Rules(found.epoch, made), granted


def renewed(known: Ruleset | None, granted: Granted, found: Changes) -> tuple[Ruleset, Granted]:
    """The ruleset after these changes of the ``known`` one, and the exemptions in it; None: there is none yet.

    The known one stays as it is: somebody decides with it meanwhile. What did not change is the very same object.
    """
    exemptions = {row["id"]: Exemption(**row) for row in found.exemptions}
    exemptions = exemptions if found.whole else {**granted, **exemptions}
    exemptions = {id_: each for id_, each in exemptions.items() if each.until is None or each.until > each.since}
    bindings = [Binding(**row) for row in found.bindings]
    versions = [Machine(**row) for row in found.machines]
    if known is None or found.whole:
        fence = Fence.compile(list(_zones(found.zones, {}).values()))
        return Ruleset(fence, Machines(bindings, versions), exemptions.values()), exemptions
    bindings_of: dict[int, list[Binding]] = {device: [] for device in found.devices}
    for binding in bindings:
        bindings_of[binding.device].append(binding)
    versions_of: dict[int, list[Machine]] = defaultdict(list)
    for version in versions:
        versions_of[version.id].append(version)
    machines = known.machines.changed(bindings_of, versions_of) if bindings_of or versions_of else known.machines
    return Ruleset(_edited(known.fence, found.zones), machines, exemptions.values()), exemptions


def _edited(fence: Fence, rows: Sequence[Mapping[str, Any]]) -> Fence:
    """The same fence, an edited one, or, where too much changed for that to be cheap, a new one."""
    known = {(zone.id, zone.version): zone for zone in fence.zones}
    gone = [key for row in rows if not row["counts"] and (key := (row["zone"], row["version"])) in known]
    changed = _zones(rows, known)
    if len(gone) + len(changed) > MOST_EDITS:
        kept = {key: zone for key, zone in known.items() if key not in gone}
        return Fence.compile(list((kept | changed).values()))
    for key in gone:
        fence = fence.without(*key)
    for zone in changed.values():
        fence = fence.with_zone(zone)
    return fence


def _zones(rows: Iterable[Mapping[str, Any]], known: Mapping[tuple[int, int], Zone]) -> dict[tuple[int, int], Zone]:
    """The versions that count. Of one that is law already nothing but its end ever changes, and its shape is not read."""
    zones = {}
    for row in rows:
        key = row["zone"], row["version"]
        if row["counts"] and row["geometry"] is None:
            zones[key] = replace(known[key], valid_to=row["valid_to"])
        elif row["counts"]:
            named = {name: value for name, value in row.items() if name not in _NOT_THE_ZONES}
            zones[key] = Zone.stored(id=row["zone"], geometry=row["geometry"], rules=row["rules"], **named)
    return zones
