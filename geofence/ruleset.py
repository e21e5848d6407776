"""The ruleset: fence, machines and exemptions of one epoch, and the judgement of a machine in a zone at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from geofence.exemptions import Exemption, Exemptions
from geofence.rules.attributes import attributes
from geofence.rules.compiled import CompiledRules
from geofence.rules.judgement import Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geofence.fence import Fence
    from geofence.machines import Machine, Machines
    from geofence.rules.rule import Rule
    from geofence.zones import Zone

# Judgements that are kept, each some 300 bytes: a province's machines in the zones that they are in.
_MOST_KEPT = 200_000


class Ruleset:
    """What is decided with. It never changes (it only remembers what it found), so a reader swaps one reference."""

    def __init__(self, fence: Fence, machines: Machines, exemptions: Iterable[Exemption] = ()) -> None:
        self.fence = fence
        self.machines = machines
        self._exemptions = Exemptions(exemptions)
        self._lists: dict[tuple[Rule, ...], CompiledRules] = {}
        self._compiled: dict[Zone, CompiledRules] = {}
        # By zone version and machine: the machine's version, the stretch of time that the judgement holds for, and it.
        self._kept: dict[Zone, dict[int, tuple[Machine, int, Judgement]]] = {}
        self._room = _MOST_KEPT

    def judge(self, zone: Zone, machine: Machine, at: int) -> Judgement:
        """The judgement of a version of a machine in a version of a zone at a device time (us UTC).

        Whether the zone is in force then, and the version is that of the time, is for the caller.
        """
        try:
            version, since, judgement = self._kept[zone][machine.id]
        except KeyError:
            return self._judge(zone, machine, at)
        if version is machine and since <= at < judgement.until:
            return judgement
        return self._judge(zone, machine, at)

    def _judge(self, zone: Zone, machine: Machine, at: int) -> Judgement:
        found, since, until = self._rules(zone).judge(attributes(machine), at)
        verdict, exemption = found.verdict, None
        if verdict is not Verdict.ALLOWED:
            exemption, from_, to = self._exemptions.find(zone.id, machine, at)
            since, until = max(since, from_), min(until, to)
        if exemption is not None:
            verdict = Verdict.EXEMPT
        alarm = verdict is Verdict.VIOLATION or (verdict is Verdict.UNKNOWN and zone.unknown_policy == "alarm")
        judgement = replace(
            found, verdict=verdict, exemption=None if exemption is None else exemption.id, alarm=alarm, until=until
        )
        if not self._room:
            self._kept.clear()
            self._room = _MOST_KEPT
        self._room -= 1
        self._kept.setdefault(zone, {})[machine.id] = machine, since, judgement
        return judgement

    def _rules(self, zone: Zone) -> CompiledRules:
        """Zones with the same rules share what was compiled: a city has a handful of different lists."""
        found = self._compiled.get(zone)
        if found is None:
            found = self._lists.get(zone.rules)
            if found is None:
                found = self._lists[zone.rules] = CompiledRules(zone.rules, self.machines.classes)
            self._compiled[zone] = found
        return found
