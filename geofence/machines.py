"""Machines: what the registry says of a machine, and which machine a terminal sits on at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Machine:
    """One registered machine.

    registration_type: "machinery" or "in_plant"; emission_stage: pre, 1, 2, 3, 4, x, electric or unknown;
    power_kw: rated power; district: our own code; phone: the terminal's.
    """

    id: int
    registration_number: str | None = None
    machine_type: str = ""
    registration_type: str = "machinery"
    emission_stage: str = "unknown"
    power_kw: float | None = None
    energy: str | None = None
    district: str | None = None
    phone: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The snapshot of attributes that a visit keeps."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Binding:
    """``device`` sits on ``machine`` during [since, until), us UTC; None is open."""

    device: int
    machine: Machine
    since: int | None = None
    until: int | None = None


class Machines:
    """Which machine a terminal sat on, by device time: a swapped terminal leaves its old track with the old machine."""

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        """Bindings of one device must not overlap (the database excludes it)."""
        self._bindings: dict[int, list[Binding]] = {}
        for binding in bindings:
            self._bindings.setdefault(binding.device, []).append(binding)

    @classmethod
    def bound(cls, machines: Mapping[int, Machine]) -> Self:
        """Bindings without dates: device -> machine, at any time."""
        return cls(Binding(device, machine) for device, machine in machines.items())

    def __len__(self) -> int:
        """The number of terminals that were ever bound."""
        return len(self._bindings)

    def find(self, device: int, at: int) -> Machine | None:
        """The machine that the terminal sat on at ``at`` (us UTC), or None: it waits for one."""
        for binding in self._bindings.get(device, ()):
            started = binding.since is None or binding.since <= at
            if started and (binding.until is None or at < binding.until):
                return binding.machine
        return None
