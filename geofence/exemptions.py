"""Exemptions 豁免: who may be in a zone in spite of its rules, from when to when, and on whose word."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from geofence.fence import FOREVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geofence.machines import Machine

ExemptionKind = Literal["machine", "owner", "project", "purpose"]


@dataclass(frozen=True, slots=True)
class Exemption:
    """One exemption, in force during [since, until), us UTC; until None is open.

    value: a machine's id, or the text that its owner, project or purpose must be; zone: id, None is every zone; doc_no:
    the number of the document that grants it.
    """

    id: int
    kind: ExemptionKind
    value: int | str
    zone: int | None
    since: int
    until: int | None
    approver: str
    reason: str
    doc_no: str | None = None


class Exemptions:
    """Exemptions by what they are for."""

    def __init__(self, exemptions: Iterable[Exemption] = ()) -> None:
        self._of: dict[tuple[str, int | str], list[Exemption]] = defaultdict(list)
        for each in sorted(exemptions, key=lambda each: each.id):
            self._of[each.kind, each.value].append(each)

    def find(self, zone_id: int, machine: Machine, at: int) -> tuple[Exemption | None, int, int]:
        """(the exemption in force, since, until): the same at every time in [since, until), us UTC.

        Where several are in force it is the one of the lowest id: the eldest word.
        """
        found, since, until = None, -FOREVER, FOREVER
        names = (machine.id, machine.owner, machine.project, machine.purpose)
        for kind, value in zip(("machine", "owner", "project", "purpose"), names, strict=True):
            for each in self._of.get((kind, value), ()) if value is not None else ():
                if each.zone not in {None, zone_id}:
                    continue
                for edge in (each.since, each.until):
                    if edge is None:
                        continue
                    if edge <= at:
                        since = max(since, edge)
                    else:
                        until = min(until, edge)
                in_force = each.since <= at and (each.until is None or at < each.until)
                if in_force and (found is None or each.id < found.id):
                    found = each
        return found, since, until
