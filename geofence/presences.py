"""What deciding finds out, as values: presences that begin, change and end, candidates, and who is to be told.

A *stay* is a terminal in a zone. A *presence* is a stretch of it under one judgement: where the zone's version, a rule's
hours, an exemption or the machine's stage changes while it stays, one presence ends and the next begins. Which of them
make one visit is decided elsewhere (visits.py), since a visit is a machine's, and a machine may carry two terminals.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geofence.grades import Grade


class Cause(StrEnum):
    """Why a presence began. All but a crossing are digested, not paged: nobody moved."""

    CROSSING = "crossing"
    ZONE_EFFECTIVE = "zone_effective"
    RULE_EFFECTIVE = "rule_effective"
    EXEMPTION_ENDED = "exemption_ended"
    ATTRIBUTE_CHANGED = "attribute_changed"


class End(StrEnum):
    """Why a presence ended."""

    LEFT = "left"
    SIGNAL_LOST = "signal_lost"
    """No fix for longer than the zone's lost_s: it was last seen inside, and where it went nobody knows."""
    ZONE_ENDED = "zone_ended"
    JUDGED_ANEW = "judged_anew"
    """It stays, and the next presence of the same stay begins here."""


@dataclass(frozen=True, slots=True)
class Presence:
    """One presence; (device, zone, began_at) is its key. Times are int64 us UTC.

    entered_at: the stay's first confirming fix; began_at: the same, or when the judgement changed; confirmed_at: the fix
    that confirmed it; last_inside_at: true once it has ended; ended_at: the first of the two fixes outside, the last fix
    inside where the signal was lost, or the moment of the change; None: it goes on.
    machine: id, None where the terminal sat on none: then verdict, rule and snapshot are None too, and alarm is False.
    grade: the highest of its fixes inside, of the fix at grade_at with grade_speed (0.1 km/h).
    late: confirmed by a late fix; lon, lat (degrees WGS-84), received: of the confirming fix.
    """

    device: int
    zone: int
    began_at: int
    entered_at: int
    confirmed_at: int
    last_inside_at: int
    cause: Cause
    zone_version: int
    machine: int | None
    verdict: str | None
    alarm: bool
    rule: dict[str, Any] | None
    snapshot: dict[str, Any] | None
    grade: Grade
    grade_at: int
    grade_speed: int
    late: bool
    lon: float
    lat: float
    received: int
    ended_at: int | None = None
    end: End | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        return self.device, self.zone, self.began_at

    @property
    def reported(self) -> bool:
        """Whether it is part of a visit: allowed machines come and go without one."""
        return self.verdict is not None and self.verdict != "allowed"


@dataclass(frozen=True, slots=True)
class CandidateSeen:
    """A fix inside a zone's line that does not confirm an entry yet (疑似进入). Once per candidacy.

    ask: the terminal reports too seldom to wait for its next fix, so it should be asked for one (0x8201).
    """

    device: int
    zone: int
    at: int
    lon: float
    lat: float
    received: int
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A fresh fix within a confirmed alarming presence: staff are to be told, unless its visit was paged before.

    machine, began_at: the presence's; at: the fix's device time; after_late: the presence had been confirmed by late data
    before this fix came.
    """

    device: int
    machine: int
    zone: int
    began_at: int
    at: int
    received: int
    after_late: bool


Change = Presence | CandidateSeen | Page
