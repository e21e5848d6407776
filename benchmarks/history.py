"""What a worker has stored, in memory: the history that late reports are judged with. Its own CPU is not the worker's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.positions import Positions, concatenate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from storage.ruleset import Changes
    from storage.work import Work


class History:
    """A `gateway.worker.store.Reads`, of one partition. spent: seconds of CPU that looking took here, and PostgreSQL elsewhere."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._rows: list[Positions] = []
        self._presences: dict[tuple[int, int, int], dict[str, Any]] = {}

    def store(self, work: Work) -> None:
        """What a commit would have made durable."""
        self._rows.append(work.positions)
        if work.visits is not None:
            self._presences |= {
                (row["device"], row["zone"], row["began_at"]): dict(row) for row in work.visits.presences
            }
            for key in work.visits.gone:
                self._presences.pop(key, None)

    async def rules_since(self, epoch: int) -> Changes:
        raise NotImplementedError("the rules of a benchmark do not change")

    async def fixes_before(self, device: int, at: int, most: int) -> Positions:
        return self._looked(lambda: self._fixes(device, lambda rows: rows.time < at, slice(-most, None)))

    async def fixes_from(self, device: int, at: int, most: int) -> Positions:
        return self._looked(lambda: self._fixes(device, lambda rows: rows.time >= at, slice(most)))

    async def presences(self, device: int, since: int) -> list[dict[str, Any]]:
        def look() -> list[dict[str, Any]]:
            its = [row for row in self._presences.values() if row["device"] == device]
            its = [row for row in its if row["ended_at"] is None or row["ended_at"] >= since]
            return sorted(its, key=lambda row: (row["began_at"], row["zone"]))

        return self._looked(look)

    def _fixes(self, device: int, wanted: Callable[[Positions], Any], which: slice) -> Positions:
        parts = [rows.take(np.flatnonzero((rows.device == device) & wanted(rows))) for rows in self._rows]
        found = concatenate([part for part in parts if len(part)])
        order = np.lexsort((found.fingerprint, found.time))[which]
        return found.take(order) if len(found) else Positions.empty()

    def _looked(self, look: Callable[[], Any]) -> Any:
        begun = time.process_time()
        found = look()
        self.spent += time.process_time() - begun
        return found


def done(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("nothing here waits")
