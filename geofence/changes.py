"""What deciding finds out, as values: visits that open and end, and machines that may be about to enter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geofence.machines import Machine
    from geofence.rules import Verdict


class Grade(StrEnum):
    """What the machine was doing when its entry was confirmed."""

    WORKING = "working"
    PARKED = "parked"
    TRANSPORT = "transport"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why a presence began."""

    CROSSING = "crossing"
    ZONE_EFFECTIVE = "zone_effective"
    """The machine was inside already when the zone came into force."""


@dataclass(frozen=True, slots=True)
class VisitOpened:
    """An entry into a zone that bans the machine (or may) was confirmed by its second fix.

    id: "{device:x}-{zone}-{entered_at}", the same in every replay; machine: its attributes then; zone, zone_version,
    district: of the zone that leads; rule: the rule that fired, as JSON, or None; alarm: whether staff are to be told;
    grade, lon, lat (degrees WGS-84), received: of the confirming fix; times: int64 us UTC.
    """

    id: str
    device: int
    machine: Machine
    zone: int
    zone_version: int
    district: str
    verdict: Verdict
    rule: dict[str, Any] | None
    alarm: bool
    grade: Grade
    cause: Cause
    entered_at: int
    confirmed_at: int
    last_inside_at: int
    lon: float
    lat: float
    received: int


@dataclass(frozen=True, slots=True)
class VisitEnded:
    """The last presence of a visit ended. exited_at: the first of the two fixes outside; times: int64 us UTC."""

    id: str
    device: int
    exited_at: int
    last_inside_at: int


@dataclass(frozen=True, slots=True)
class CandidateSeen:
    """A fix inside a zone's line that does not confirm an entry yet (疑似进入). Once per candidacy."""

    device: int
    zone: int
    at: int
    lon: float
    lat: float
    received: int


Change = VisitOpened | VisitEnded | CandidateSeen
