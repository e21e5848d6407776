"""One terminal and one zone: the presence machine. All that changes a stay is here.

    from        fix            to          what happens
    ---------   ------------   ---------   -----------------------------------------------------------
    (none)      border         CANDIDATE   appears
    (none)      inner          CANDIDATE   appears; this fix is pending
    CANDIDATE   border         CANDIDATE   nothing is pending any more
    CANDIDATE   inner          CANDIDATE   this fix is pending, if none was
    CANDIDATE   inner          PRESENT     enters, if one was pending: stamped with the pending fix
    CANDIDATE   halo, outside  (none)      vanishes
    PRESENT     border, inner  PRESENT     was inside; the count of fixes outside starts anew
    PRESENT     halo           PRESENT     the count starts anew
    PRESENT     outside        PRESENT     this fix is the first one outside, if none was
    PRESENT     outside        (none)      leaves, if one was: stamped with the first one

Fixes come in ascending device time, no two of the same time, so two fixes are always two moments. A stay is *settled*
where another fix of the same depth would change nothing but the time it was last seen inside; decide() rests on that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from geofence.changes import Cause
from geofence.nested import Depth


class Step(Enum):
    """What a fix did to a stay."""

    NOTHING = "nothing"
    APPEARED = "appeared"
    VANISHED = "vanished"
    ENTERED = "entered"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Stay:
    """A candidate (entered_at is None) or a presence of one terminal in one zone; times int64 us UTC.

    pending: time of the last fix if it was the first inner one; entered_at: of the first confirming fix;
    inside: whether the last fix was within the zone's line; last_inside_at: the last time that one was, true only
    while ``inside`` is false (otherwise it is the time of the terminal's last fix); outside_since: the first fix
    outside the halo; visit: id of the visit it belongs to.
    """

    zone: int
    cause: Cause = Cause.CROSSING
    pending: int | None = None
    entered_at: int | None = None
    inside: bool = True
    last_inside_at: int = 0
    outside_since: int | None = None
    visit: str | None = None

    @property
    def settled(self) -> bool:
        return self.pending is None and self.outside_since is None

    def inside_until(self, last_fix: int) -> int:
        """When it was last seen inside, given the time of the terminal's last fix."""
        return last_fix if self.inside else self.last_inside_at


def step(stay: Stay, depth: int, time: int, previous: int) -> tuple[Stay | None, Step]:
    """The stay after a fix of this depth (0: outside the halo) at ``time``; ``previous``: time of the fix before.

    A stay that left comes back as it was with outside_since set, so that its end can be told.
    """
    if stay.entered_at is None:
        if depth < Depth.BORDER:
            return None, Step.VANISHED
        if depth < Depth.INNER:
            return (stay if stay.pending is None else replace(stay, pending=None)), Step.NOTHING
        if stay.pending is None:
            return replace(stay, pending=time), Step.NOTHING
        return replace(stay, pending=None, entered_at=stay.pending), Step.ENTERED
    if depth >= Depth.BORDER:
        return replace(stay, inside=True, outside_since=None), Step.NOTHING
    outside = replace(stay, inside=False, last_inside_at=stay.inside_until(previous))
    if depth == Depth.HALO:
        return replace(outside, outside_since=None), Step.NOTHING
    if stay.outside_since is None:
        return replace(outside, outside_since=time), Step.NOTHING
    return outside, Step.LEFT


def appear(zone: int, depth: int, time: int, cause: Cause) -> Stay:
    """A new candidate, from its first fix within the zone's line."""
    return Stay(zone, cause, pending=time if depth == Depth.INNER else None)
