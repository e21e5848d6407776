"""Late rows: reads a terminal's history around them, as far as it takes, and has them judged with it.

A window begins where the terminal's state is known and ends where nothing that happened in it can matter any more; both
are looked for in pages of growing size, so an ordinary late fix reads some hundred rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from columns.positions import concatenate
from gateway.worker.visiting import presence_of
from geofence.late import Rejudged, end_of, rejudge, start_of

if TYPE_CHECKING:
    from columns.positions import Positions
    from gateway.worker.store import Reads
    from geofence.presences import Presence
    from geofence.ruleset import Ruleset

FIRST_PAGE = 250
LAST_PAGE = 64_000  # three weeks at 30 s; a start that is not found within four such pages is the first row of them
_PAGES_BACK = 12


async def rejudge_late(store: Reads, rules: Ruleset, device: int, arrivals: Positions) -> Rejudged:
    """What the rows ``arrivals`` of one terminal, some of them late, change. They are not stored yet."""
    arrivals = arrivals.take(np.flatnonzero(arrivals.good))
    first, last = int(arrivals.time.min()), int(arrivals.time.max())
    before, start, known = await _back(store, rules, device, first)
    after, whole = await _forth(store, rules, device, first, last)
    history = concatenate([part for part in (before, after) if len(part)])
    return rejudge(rules, history, start, known, arrivals, to_the_end=whole)


async def _back(store: Reads, rules: Ruleset, device: int, at: int) -> tuple[Positions, int | None, list[Presence]]:
    """Fixes before ``at``, where to begin among them (None: with the first there is), and presences from there on."""
    most = FIRST_PAGE
    for page in range(_PAGES_BACK):
        rows = await store.fixes_before(device, at, most)
        found = _one_a_second(rows)
        since = int(found.time[0]) if len(found) else at
        known = [presence_of(row) for row in await store.presences(device, since)]
        start = start_of(rules, found, known, at)
        if start is not None or len(rows) < most or page == _PAGES_BACK - 1:
            return found, start, known
        most = min(4 * most, LAST_PAGE)
    raise AssertionError("the last page returns")


async def _forth(store: Reads, rules: Ruleset, device: int, first: int, last: int) -> tuple[Positions, bool]:
    """Fixes from ``first`` on, and whether they reach to the terminal's last one."""
    most, parts = FIRST_PAGE, []
    at = first
    while True:
        rows = await store.fixes_from(device, at, most)
        parts.append(rows)
        found = _one_a_second(concatenate([part for part in parts if len(part)]))
        end = end_of(rules, found, last)
        if end is not None:
            return found.take(np.arange(end + 1)), False
        if len(rows) < most:
            return found, True
        at, most = int(rows.time[-1]) + 1, min(4 * most, LAST_PAGE)


def _one_a_second(rows: Positions) -> Positions:
    """The good ones, ascending in time: of several in one second the one with the smallest fingerprint."""
    rows = rows.take(np.flatnonzero(rows.good))
    order = np.lexsort((rows.fingerprint, rows.time))
    times = rows.time[order]
    return rows.take(order[np.append(True, times[1:] != times[:-1])] if len(order) else order)
