"""The presence and visit rules once more, the slow way: a terminal's whole history is looked at, zone by zone.

No state, no grid, no sets: depths come from shapely, entries and exits from looking back and ahead in the list.
"""

from __future__ import annotations

from dataclasses import dataclass

import shapely

from geofence.changes import CandidateSeen, Cause, VisitEnded, VisitOpened
from geofence.nested import nested_shapes
from geofence.rules import Verdict, judge


@dataclass
class Presence:
    zone: object
    entered: int
    confirmed: int
    left: int | None
    exited: int | None
    last_inside: int
    cause: Cause


class Oracle:
    """decide() for the whole history of one terminal at a time."""

    def __init__(self, zones):
        self.zones = zones
        self.nested = {zone.id: nested_shapes(zone) for zone in zones}

    def depth(self, zone, lon, lat):
        halo, border, inner = self.nested[zone.id]
        shapes = ((3, inner), (2, border), (1, halo))
        return next(
            (depth for depth, shape in shapes if shape is not None and shapely.intersects_xy(shape, lon, lat)), 0
        )

    def changes(self, machines, rows):
        """Every change of a terminal's history, as (fix index, change), given its positions in order."""
        rows = _judged(rows)
        device = int(rows.device[0]) if len(rows) else 0
        found, presences = [], []
        for zone in sorted(self.zones, key=lambda zone: zone.id):
            raw = [self.depth(zone, lon, lat) for lon, lat in zip(rows.lon, rows.lat, strict=True)]
            depth = [d if zone.counts_at(int(t)) else 0 for d, t in zip(raw, rows.time, strict=True)]
            stays = list(_presences(zone, raw, depth))
            presences += stays
            for i, d in enumerate(depth):
                present = any(s.confirmed <= i and (s.left is None or i <= s.left) for s in stays)
                if d >= 2 and not present and (i == 0 or depth[i - 1] < 2):
                    seen = CandidateSeen(
                        device, zone.id, int(rows.time[i]), rows.lon[i], rows.lat[i], int(rows.received[i])
                    )
                    found.append((i, seen))
        return found + _visits(device, machines, rows, presences)


def _judged(rows):
    order = rows.time.argsort(kind="stable")
    keep, last = [], None
    for i in order:
        if rows.quality[i] == 0 and (last is None or rows.time[i] > last):
            keep.append(i)
            last = rows.time[i]
    return rows.take(keep) if keep else rows.take([])


def _presences(zone, raw, depth):
    n, i = len(depth), 1
    while i < n:
        if depth[i] == depth[i - 1] == 3:
            left = next((k for k in range(i + 1, n) if depth[k] == depth[k - 1] == 0), None)
            inside = [k for k in range(i, n if left is None else left) if depth[k] >= 2]
            first = i - 1
            while first and depth[first - 1] >= 2:  # where its candidacy began
                first -= 1
            effective = first > 0 and raw[first - 1] >= 2
            cause = Cause.ZONE_EFFECTIVE if effective else Cause.CROSSING
            yield Presence(zone, i - 1, i, left, None if left is None else left - 1, inside[-1], cause)
            if left is None:
                return
            i = left
        i += 1


def _visits(device, machines, rows, presences):
    """Sweeps the fixes: ends first, then what is confirmed, in the order of precedence."""
    found, open_visits = [], []  # visits: {"id", "alarm", "of": presences}
    time = rows.time.tolist()
    for i in range(len(time)):
        for visit in sorted(open_visits, key=lambda visit: not visit["alarm"]):
            if all(presence.left is not None and presence.left <= i for presence in visit["of"]):
                last = max(time[presence.last_inside] for presence in visit["of"])
                exited = max(time[presence.exited] for presence in visit["of"])
                found.append((i, VisitEnded(visit["id"], device, exited, last)))
                open_visits.remove(visit)
        machine = machines.find(device, time[i])
        entering = []
        for presence in presences:
            if presence.confirmed == i and machine is not None:
                judgement = judge(presence.zone.rules, machine)
                alarm = judgement.verdict is Verdict.VIOLATION or presence.zone.unknown_policy == "alarm"
                if judgement.verdict in {Verdict.VIOLATION, Verdict.UNKNOWN}:
                    entering.append((not alarm, presence.zone.tier != "core", presence.zone.id, presence, judgement))
        for silent, _, zone_id, presence, judgement in sorted(entering, key=lambda each: each[:3]):
            hosts = [visit for visit in open_visits if visit["alarm"]] or ([*open_visits] if silent else [])
            if hosts:
                hosts[0]["of"].append(presence)
                continue
            entered = time[presence.entered]
            visit = {"id": f"{device:x}-{zone_id}-{entered}", "alarm": not silent, "of": [presence]}
            open_visits.append(visit)
            zone = presence.zone
            opened = VisitOpened(
                visit["id"], device, machine, zone_id, zone.version, zone.district, judgement.verdict,
                judgement.to_json(), not silent, _grade(rows, i), presence.cause, entered, time[i], time[i],
                rows.lon[i], rows.lat[i], int(rows.received[i]),
            )  # fmt: skip
            found.append((i, opened))
    return found


def _grade(rows, i):
    acc, kmh = bool(rows.status[i] & 1), rows.speed[i] / 10
    if acc and kmh < 40:
        return "working"
    if not acc and kmh == 0:
        return "parked"
    return "transport" if not acc and kmh >= 20 else "unknown"
