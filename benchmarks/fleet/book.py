"""The visits and alarms of each machine, in memory: what storage keeps in its tables, by the same two pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geofence.fence import FOREVER
from geofence.visits import Known, Visit, ZoneFacts, form, revise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geofence.presences import Page, Presence
    from geofence.zones import Zone

_SECOND = 1_000_000


@dataclass(slots=True)
class Alarm:
    """machine, zone: of its visit; entered, left: device times, int64 us (left is FOREVER while it lasts); paged: received
    time of the fix that paged, None where nobody was. One that was merged or withdrawn later stays as it was last: it
    was raised.
    """

    machine: int
    zone: int
    entered: int
    left: int = FOREVER
    paged: int | None = None


class Book:
    """Alarms by number, in the order in which they were raised."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self.alarms: dict[int, Alarm] = {}
        self._facts = {
            (zone.id, zone.version): ZoneFacts(
                zone.tier, zone.district, int(zone.merge_s * _SECOND), int(zone.lost_merge_s * _SECOND)
            )
            for zone in zones
        }
        self._numbers: dict[str, int] = {}
        self._presences: dict[int, dict[tuple[int, int, int], Presence]] = {}
        self._known: dict[int, dict[str, Known]] = {}

    def of_device(self, device: int, machine: int) -> list[Presence]:
        """The stored presences of a terminal that sits on this machine."""
        return [presence for presence in self._presences.get(machine, {}).values() if presence.device == device]

    def write(self, changed: Iterable[Presence], gone: Iterable[Presence], pages: Iterable[Page]) -> None:
        """One commit's changes."""
        touched = set()
        for presence in gone:
            if presence.machine is not None and self._presences[presence.machine].pop(presence.key, None) is not None:
                touched.add(presence.machine)
        for presence in changed:
            if presence.machine is not None:
                self._presences.setdefault(presence.machine, {})[presence.key] = presence
                touched.add(presence.machine)
        for machine in touched:
            self._revise(machine)
        for page in sorted(pages, key=lambda page: (page.received, page.at)):
            self._page(page)

    def _revise(self, machine: int) -> None:
        known = self._known.get(machine, {})
        formed = form(self._presences[machine].values(), self._facts)
        revision = revise(list(known.values()), formed)
        numbers = {visit: number for number, visit in revision.kept.items()}
        for heir in set(revision.merged_alarms.values()):
            merged = [self.alarms[old].paged for old, new in revision.merged_alarms.items() if new == heir]
            if self.alarms[heir].paged is None:
                self.alarms[heir].paged = min((paged for paged in merged if paged is not None), default=None)
        now = {}
        for visit in formed:
            number = numbers.get(visit.id)
            if number is None and visit.id in known:
                number = known[visit.id].alarm
            if number is None and visit.alarming:
                # A visit that was withdrawn and is one again has its old alarm, as in the table.
                number = self._numbers.setdefault(visit.id, len(self._numbers) + 1)
                self.alarms.setdefault(number, Alarm(machine, visit.zone, visit.entered_at))
            if number is not None:
                self._follow(self.alarms[number], visit)
            now[visit.id] = Known(visit, number)
        self._known[machine] = now

    @staticmethod
    def _follow(alarm: Alarm, visit: Visit) -> None:
        alarm.zone, alarm.entered = visit.zone, visit.entered_at
        alarm.left = FOREVER if visit.exited_at is None else visit.exited_at

    def _page(self, page: Page) -> None:
        for known in self._known.get(page.machine, {}).values():
            visit = known.visit
            if known.alarm is not None and visit.entered_at <= page.at <= (visit.exited_at or FOREVER):
                alarm = self.alarms[known.alarm]
                if alarm.paged is None:
                    alarm.paged = page.received
