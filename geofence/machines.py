"""Machines: what the registry says of a machine from when on, and which machine a terminal sits on at a time.

Both are dated, so a late fix meets the attributes of its own time: a new engine changes a machine's stage from its date
on and not before, and a swapped terminal leaves its old track with the old machine.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from geofence.fence import FOREVER
from geofence.rules.attributes import Classes, attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Machine:
    """One version of a machine: what the registry says of it from ``since`` (us UTC; None: from ever) to the next.

    registration_type: "machinery" or "in_plant"; emission_stage: pre, 1, 2, 3, 4, x, electric or unknown; power_kw:
    rated power; energy: diesel, gasoline, gas, hybrid, electric, other or None; smoke_class: the strictest class of
    GB 36886-2018 that it passed, "1", "2" or "3" (3 is the strictest), "none" where it failed all, or "unknown";
    district: our own code; status: "in_use" or "cancelled".
    """

    id: int
    registration_number: str | None = None
    machine_type: str = ""
    registration_type: str = "machinery"
    emission_stage: str = "unknown"
    power_kw: float | None = None
    energy: str | None = None
    smoke_class: str = "unknown"
    owner: str | None = None
    project: str | None = None
    purpose: str | None = None
    district: str | None = None
    status: str = "in_use"
    since: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The snapshot of attributes that a verdict keeps."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Binding:
    """``device`` sits on the machine of this id during [since, until), us UTC; None is open. phone: the terminal's."""

    device: int
    machine: int
    since: int | None = None
    until: int | None = None
    phone: str | None = None

    def holds_at(self, at: int) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


_Dated = TypeVar("_Dated", Binding, Machine)


class Machines:
    """Bindings and versions by device time. One never changes: ``changed`` makes another."""

    def __init__(self, bindings: Iterable[Binding] = (), versions: Iterable[Machine] = ()) -> None:
        """Bindings of one device must not overlap (the database excludes it); a machine's versions differ in since."""
        bindings_of: dict[int, list[Binding]] = defaultdict(list)
        for binding in bindings:
            bindings_of[binding.device].append(binding)
        versions_of: dict[int, list[Machine]] = defaultdict(list)
        for version in versions:
            versions_of[version.id].append(version)
        # Newest first: nearly every fix is of the present.
        self._bindings = {device: _newest_first(found) for device, found in bindings_of.items()}
        self._versions = {machine: _newest_first(found) for machine, found in versions_of.items()}
        self.classes = Classes.of(attributes(each) for found in self._versions.values() for each in found)
        """What rules can tell apart of all versions, and maybe of some that are gone."""

    @classmethod
    def bound(cls, machines: Mapping[int, Machine]) -> Self:
        """Bindings without dates: device -> machine, at any time."""
        return cls((Binding(device, machine.id) for device, machine in machines.items()), set(machines.values()))

    def __len__(self) -> int:
        """The number of terminals that were ever bound."""
        return len(self._bindings)

    def find(self, device: int, at: int) -> Machine | None:
        """The machine that the terminal sat on at ``at`` (us UTC), as the registry had it then.

        None: it waits for a machine, or the registry says nothing of its machine at that time.
        """
        for binding in self._bindings.get(device, ()):
            if binding.holds_at(at):
                for version in self._versions.get(binding.machine, ()):
                    if version.since is None or version.since <= at:
                        return version
                return None
        return None

    def unchanged_until(self, device: int, at: int) -> int:
        """The first time after ``at`` (us UTC) at which ``find`` may answer otherwise; FOREVER where there is none."""
        until = FOREVER
        for binding in self._bindings.get(device, ()):
            for edge in (binding.since, binding.until):
                if edge is not None and at < edge < until:
                    until = edge
            if binding.holds_at(at):
                for version in self._versions.get(binding.machine, ()):
                    if version.since is not None and at < version.since < until:
                        until = version.since
        return until

    def phone(self, device: int) -> str | None:
        """The phone of the terminal, from its newest binding."""
        found = self._bindings.get(device)
        return found[0].phone if found else None

    def changed(
        self, bindings_of: Mapping[int, Sequence[Binding]], versions_of: Mapping[int, Sequence[Machine]]
    ) -> Self:
        """New Machines; each list replaces all bindings of that device, or all versions of that machine."""
        made = copy(self)
        made._bindings = _replaced(self._bindings, bindings_of)  # noqa: SLF001  another Machines
        made._versions = _replaced(self._versions, versions_of)  # noqa: SLF001
        made.classes = self.classes.further(attributes(each) for found in versions_of.values() for each in found)
        return made


def _newest_first(found: Iterable[_Dated]) -> tuple[_Dated, ...]:
    return tuple(sorted(found, key=lambda each: (each.since is not None, each.since or 0), reverse=True))


def _replaced(
    before: Mapping[int, tuple[_Dated, ...]], lists: Mapping[int, Sequence[_Dated]]
) -> dict[int, tuple[_Dated, ...]]:
    after = {**before, **{key: _newest_first(found) for key, found in lists.items()}}
    for key, found in lists.items():
        if not found:
            del after[key]
    return after
