"""The fleet as the streams show it: the newest fix of every terminal, and frames of what changed since a tick.

A frame is columnar JSON, one array per field, row i of each is one terminal. The latest fix wins: a reader who missed
ticks gets one frame with the newest of each terminal that changed meanwhile, never a backlog. Field names are those of GET /positions/latest, but for `phones`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

# Partitions flush on their own clocks: a row may be written a little after one that was received later.
_OVERLAP = timedelta(seconds=10)

# Taken from the row as they are; lon and lat are 1e-6 degrees there, speed 0.1 km/h.
_COLUMNS = ("machine_id", "registration_number", "machine_type", "emission_stage", "time")


class Fleet:
    def __init__(self) -> None:
        self.tick = 0
        self._rows: dict[int, tuple[int, dict[str, Any]]] = {}
        self._newest: datetime | None = None
        self._frames: dict[int, bytes | None] = {}

    @property
    def reread_from(self) -> datetime | None:
        """Rows received after this may be new; None: read all."""
        return None if self._newest is None else self._newest - _OVERLAP

    def forget(self) -> None:
        """Nobody watches: the next watcher starts from the database."""
        self._rows.clear()
        self._frames.clear()
        self._newest = None

    def update(self, rows: list[dict[str, Any]]) -> bool:
        """Takes rows in; true where any of them is news."""
        changed = False
        for row in rows:
            kept = self._rows.get(row["device"])
            if kept is not None and kept[1] == row:
                continue
            self._rows[row["device"]] = (self.tick + 1, row)
            changed = True
            if self._newest is None or row["received"] > self._newest:
                self._newest = row["received"]
        if changed:
            self.tick += 1
            self._frames.clear()
        return changed

    def frame(self, since: int, devices: Collection[int] | None = None) -> bytes | None:
        """What changed after tick ``since`` (0: everything known) as server-sent event; None where nothing did."""
        if devices is not None:
            return self._build(since, devices)
        if since not in self._frames:
            self._frames[since] = self._build(since, None)
        return self._frames[since]

    def _build(self, since: int, devices: Collection[int] | None) -> bytes | None:
        rows = [
            row for device, (tick, row) in self._rows.items() if tick > since and (devices is None or device in devices)
        ]
        if not rows:
            return None
        frame: dict[str, Any] = {"phones": [row["phone"] for row in rows]}
        frame["longitude"] = [row["lon"] / 1e6 for row in rows]
        frame["latitude"] = [row["lat"] / 1e6 for row in rows]
        frame["speed_kmh"] = [row["speed"] / 10 for row in rows]
        frame["course_deg"] = [row["course"] for row in rows]
        for name in _COLUMNS:
            frame[name] = [row[name] for row in rows]
        return b"event: position\ndata: %s\n\n" % orjson.dumps(frame)
