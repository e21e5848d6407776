"""Work: what one commit writes, as plain values. The worker builds it; storage knows nothing of fences or terminals.

All times are int64 us since 1970 UTC, positions degrees WGS-84.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from columns.batch import DeadLetters
from columns.positions import Positions, Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUARANTINED = int(Quality.BAD_TIME | Quality.FUTURE | Quality.DISPUTED)


@dataclass(frozen=True, slots=True)
class VisitOpening:
    """A visit that was confirmed and, where ``alarm`` is set, its alarm.

    Repeating an opening is harmless: visit and alarm exist once. One exception is news: an opening with ``late`` False
    for an alarm that was late makes it a fresh one (the machine is still inside) and puts it on the stream again.
    """

    id: str
    device: int
    machine: Mapping[str, Any]
    """The machine as it was judged: id (None where the terminal sits on none), registration_number, machine_type,
    registration_type, emission_stage, district, phone, and whatever else the rule looked at."""
    zone: int
    zone_version: int
    verdict: str
    rule: Any
    """The rule that decided, as JSON, or None."""
    entered_at: int
    confirmed_at: int
    last_inside_at: int
    lon: float
    lat: float
    received_at: int
    """Receipt of the fix that confirmed."""
    alarm: bool
    late: bool = False
    cause: str = "crossing"
    grade: str = "unknown"
    kind: str = "zone_entry"
    district: str | None = None
    """Who handles the alarm; None: the zone's district."""


@dataclass(frozen=True, slots=True)
class VisitChange:
    """What became of a visit: ended (``exited_at``), or open again (None), or joined to another.

    ``grade`` None leaves the alarm's grade alone. An alarm whose exit or grade changes is put on the stream again.
    """

    id: str
    last_inside_at: int
    exited_at: int | None = None
    grade: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the live stream besides alarms, which `commit` puts there itself. kind: `terminal` or `alarm`."""

    kind: str
    data: Mapping[str, Any]
    district: str | None = None
    """Who may see it; None: accounts of the whole city only."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The log from ``previous`` (exclusive) to ``sequence`` (inclusive) of one partition, decided.

    partition, stream   which offset, and the identity of the stream that it counts in
    epoch               of the rules that decided
    boots               edge boot -> last batch number seen; the whole map, it replaces the stored one
    positions           to be stored; rows with a quality bit of ``quarantined`` count as quarantined
    duplicate           reports that the worker dropped as known before it decided
    rejected            reason -> count, new since the last work
    sessions            the batches' session records, `message` ones with their body read; enrolment.py, media.py and
                        terminal_messages.py say which leave something
    tracks              (device, track as JSON) of terminals whose stays or visits changed; None: no track any more
    """

    partition: int
    stream: str
    previous: int
    sequence: int
    epoch: int
    boots: Mapping[str, int]
    positions: Positions = field(default_factory=Positions.empty)
    dead_letters: DeadLetters = field(default_factory=DeadLetters.empty)
    sessions: Sequence[Mapping[str, Any]] = ()
    duplicate: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    opened: Sequence[VisitOpening] = ()
    changed: Sequence[VisitChange] = ()
    events: Sequence[Event] = ()
    tracks: Sequence[tuple[int, Any]] = ()
    quarantined: int = QUARANTINED
    """Mask of the quality bits that keep a row from being judged."""


@dataclass(frozen=True, slots=True)
class Committed:
    """``stored`` counts rows that are new, quarantined ones included; ``duplicate`` those that the database had.

    ``alarms``: ids of the alarms that were raised or became fresh; ``enrolled``: phones of terminals that are new.
    """

    stored: int
    duplicate: int
    alarms: tuple[int, ...] = ()
    enrolled: tuple[str, ...] = ()
