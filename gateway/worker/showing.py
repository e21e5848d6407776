"""What the map is to be shown next: the newest fix of each terminal since it was last shown.

Between two showings a worker that catches up takes fifty times the reports of a usual second, so they are thinned out as they
come: what waits here is bounded by the terminals, not by the reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from columns.positions import concatenate
from storage.load import newest_of_each

if TYPE_CHECKING:
    from columns.positions import Positions

MOST_ROWS = 16_384
"""2 MB; more than comes in two seconds at 5,000 reports/s, so that usually nothing is thinned out twice."""


class Showing:
    """add() after each commit; rows() are shown, and then clear()ed: a showing that fails is tried again."""

    def __init__(self) -> None:
        self._parts: list[Positions] = []
        self._rows, self._most = 0, MOST_ROWS

    def __len__(self) -> int:
        return self._rows

    def add(self, rows: Positions) -> None:
        if not len(rows):
            return
        self._parts.append(rows)
        self._rows += len(rows)
        if self._rows > self._most:
            thinned = newest_of_each(concatenate(self._parts))
            self._parts, self._rows = [thinned], len(thinned)
            self._most = max(MOST_ROWS, 2 * len(thinned))  # where all are terminals of their own, not every time

    def rows(self) -> Positions:
        """At least the newest fix of each terminal that was added."""
        return concatenate(self._parts)

    def clear(self) -> None:
        self._parts.clear()
        self._rows, self._most = 0, MOST_ROWS
