"""One terminal and one zone: the stay machine. All that a fix's depth does to a stay is here.

    from        fix            to          what happens
    ---------   ------------   ---------   -----------------------------------------------------------
    (none)      border         CANDIDATE   appears
    (none)      inner          CANDIDATE   appears; this fix is pending
    CANDIDATE   border         CANDIDATE   nothing is pending any more
    CANDIDATE   inner          CANDIDATE   this fix is pending, if none was, or if it is a jump
    CANDIDATE   inner          PRESENT     enters, if one was pending: stamped with the pending fix
    CANDIDATE   halo, outside  (none)      vanishes
    PRESENT     border, inner  PRESENT     was inside; the count of fixes outside starts anew
    PRESENT     halo           PRESENT     the count starts anew
    PRESENT     outside        PRESENT     this fix is the first one outside, if none was
    PRESENT     outside        PRESENT     nothing, if one was and this fix is a jump
    PRESENT     outside        (none)      leaves, if one was: stamped with the first one

Fixes come in ascending device time, no two of the same time, so two fixes are always two moments. What ends a stay
besides its fixes (a zone out of force, a lost signal) and how it is judged is walking.py's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from geofence.nested import Depth
from geofence.presences import Cause

if TYPE_CHECKING:
    from geofence.presences import Presence


class Step(Enum):
    """What a fix did to a stay."""

    NOTHING = "nothing"
    ENTERED = "entered"
    VANISHED = "vanished"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Stay:
    """A candidate (presence is None) or a stay of one terminal in one zone; times int64 us UTC.

    cause: of the presence that it may become; pending: time of the last fix if it was the first inner one;
    pending_grade, pending_speed: that fix's;
    inside: whether the last fix was within the zone's line; last_inside_at: the last time that one was, true only
    while ``inside`` is false (otherwise it is the time of the terminal's last fix); outside_since: the first fix
    outside the halo.
    presence: the one that goes on; until: the first time at which it may have to be judged anew; told: whether nobody
    need be paged (any more); lost: the longest gap between two fixes, us; silent: whether its presence was written as
    ended because nothing was heard for that long: the next fix says what is so.
    """

    zone: int
    cause: Cause = Cause.CROSSING
    pending: int | None = None
    pending_grade: int = 0
    pending_speed: int = 0
    inside: bool = True
    last_inside_at: int = 0
    outside_since: int | None = None
    presence: Presence | None = None
    until: int = 0
    told: bool = True
    lost: int = 0
    silent: bool = False

    @property
    def settled(self) -> bool:
        """Whether another fix of the same depth would change nothing but the time it was last seen inside."""
        return self.pending is None and self.outside_since is None and self.told and not self.silent

    def inside_until(self, last_fix: int) -> int:
        """When it was last seen inside, given the time of the terminal's last fix."""
        return last_fix if self.inside else self.last_inside_at


def step(stay: Stay, depth: int, time: int, previous: int, *, jump: bool = False) -> tuple[Stay, Step]:
    """The stay after a fix of this depth (0: outside the halo) at ``time``; ``previous``: time of the fix before.

    A stay that entered still has its ``pending`` time; one that left has outside_since.
    """
    if stay.presence is None:
        if depth < Depth.BORDER:
            return stay, Step.VANISHED
        if depth < Depth.INNER:
            return (stay if stay.pending is None else replace(stay, pending=None)), Step.NOTHING
        if stay.pending is None or jump:
            return replace(stay, pending=time), Step.NOTHING
        return stay, Step.ENTERED
    if depth >= Depth.BORDER:
        return replace(stay, inside=True, outside_since=None), Step.NOTHING
    outside = replace(stay, inside=False, last_inside_at=stay.inside_until(previous))
    if depth == Depth.HALO:
        return replace(outside, outside_since=None), Step.NOTHING
    if stay.outside_since is None:
        return replace(outside, outside_since=time), Step.NOTHING
    return outside, Step.NOTHING if jump else Step.LEFT
