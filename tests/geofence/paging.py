"""Who is paged, the slow way: after each packet the whole history is judged anew, and its fresh fixes are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Positions, concatenate
from geofence.presences import Cause, End, Page, Presence
from tests.geofence.oracle import judged_fixes
from tests.geofence.system import Database

if TYPE_CHECKING:
    from tests.geofence.worlds import World


class OracleWorker:
    """Takes packet after packet, in the order of receipt, into a database of its own."""

    def __init__(self, world: World) -> None:
        self.world, self.database = world, Database()
        self.known: dict[int, Positions] = {}
        self.presences: dict[int, dict[tuple[int, int, int], Presence]] = {}

    def take_all(self, rows: Positions) -> None:
        for received in np.unique(rows.received).tolist():
            packets = rows.take(np.flatnonzero(rows.received == received))
            for device in np.unique(packets.device).tolist():
                self._take(device, packets.take(np.flatnonzero(packets.device == device)))

    def _take(self, device: int, packet: Positions) -> None:
        known = concatenate([*([self.known[device]] if device in self.known else []), packet])
        self.known[device] = known
        before = self.presences.get(device, {})
        now = {presence.key: presence for presence in self.world.oracle.presences(device, known)}
        self.presences[device] = now
        changed = [presence for key, presence in now.items() if before.get(key) != presence]
        gone = [presence for key, presence in before.items() if key not in now]
        old = [before[presence.key] for presence in changed if presence.key in before]
        pages = self._pages(device, known, packet, list(now.values()))
        self.database.write(changed, old, gone, pages, self.world.rules)

    def _pages(self, device: int, known: Positions, packet: Positions, presences: list[Presence]) -> list[Page]:
        """Of every fresh fix of the packet that is inside at or after the confirmation of what alarms and was crossed into."""
        news = {(int(time), int(mark)) for time, mark in zip(packet.time, packet.fingerprint, strict=True)}
        found = []
        for fix in judged_fixes(known):
            if fix.late or fix.jump or (fix.time, fix.fingerprint) not in news:
                continue
            for p in presences:
                here = p.confirmed_at <= fix.time and (p.ended_at is None or fix.time <= p.last_inside_at)
                inside = here and self.world.oracle.depth_at(p.zone, fix) >= 2
                if inside and p.alarm and p.machine is not None and _crossed(p, presences):
                    found.append(Page(device, p.machine, p.zone, p.began_at, fix.time, fix.received, p.late))
        return sorted(found, key=lambda page: (page.at, page.zone))


def _crossed(presence: Presence, presences: list[Presence]) -> bool:
    """Whether the alarming pieces of its stay that lead up to it begin with a crossing."""
    if presence.cause is Cause.CROSSING:
        return True
    before = [
        p for p in presences
        if (p.zone, p.entered_at, p.end) == (presence.zone, presence.entered_at, End.JUDGED_ANEW)
        and p.began_at < presence.began_at
    ]  # fmt: skip
    last = max(before, key=lambda p: p.began_at, default=None)
    same = last is not None and last.alarm and last.machine == presence.machine
    return same and _crossed(last, presences)
