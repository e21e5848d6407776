"""Work: what one commit writes, as plain values. The worker builds it; storage knows nothing of fences or terminals.

All times are int64 us since 1970 UTC, positions degrees WGS-84.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from columns.batch import DeadLetters
from columns.positions import Positions, Quality

QUARANTINED = int(Quality.BAD_TIME | Quality.FUTURE | Quality.DISPUTED)


Row = Mapping[str, Any]
"""Columns by name, times as int64 us."""
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Revised:
    """What `VisitChanges.form` finds is to be written of visits and alarms. Nothing is ever deleted.

    visits: new or changed, by the columns of visits.py's statements; ``alarm`` the id of the one that is of this visit
    from now on, None: a new one, where it alarms. merged: id of a visit -> of the one that has its time now; withdrawn:
    ids of visits that late data disproved; merged_alarms: id -> of the one that goes on; withdrawn_alarms: ids;
    annotations: alarm, action, payload, added to the alarms' records.
    """

    visits: Sequence[Row] = ()
    merged: Mapping[str, str] = field(default_factory=dict)
    withdrawn: Sequence[str] = ()
    merged_alarms: Mapping[int, int] = field(default_factory=dict)
    withdrawn_alarms: Sequence[int] = ()
    annotations: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class VisitChanges:
    """Presences that began, changed or were none after all, and what follows for their machines' visits.

    presences: rows, written over what is there; gone: keys (device, zone, began_at); spans: machine -> the time in which
    its presences changed: its visits are formed anew around it; merge: the longest time after which a presence may still
    belong to a visit, us; pages: machine, device time and receipt of the fix (at, received), reason;
    form: (all presences that may be connected with the spans, each with tier, district, merge_s and lost_merge_s of its
    zone; the visits of that time, each with the id of its alarm) -> what to write. It is called inside the transaction.
    """

    form: Callable[[Sequence[Row], Sequence[Row]], Revised]
    presences: Sequence[Row] = ()
    gone: Sequence[tuple[int, int, int]] = ()
    spans: Mapping[int, Span] = field(default_factory=dict)
    merge: int = 0
    pages: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something for the live stream besides alarms, which `commit` puts there itself. kind: `terminal` or `digest`."""

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
    tracks              (device, track as JSON) of terminals whose stays changed; None: no track any more
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
    visits: VisitChanges | None = None
    signals: Sequence[Row] = ()
    """Alarms of other kinds to raise and end, in this order (signals.py)."""
    events: Sequence[Event] = ()
    tracks: Sequence[tuple[int, Any]] = ()
    quarantined: int = QUARANTINED
    """Mask of the quality bits that keep a row from being judged."""


@dataclass(frozen=True, slots=True)
class Committed:
    """``stored`` counts rows that are new, quarantined ones included; ``duplicate`` those that the database had.

    ``alarms``: ids of the alarms that were raised, changed or paged; ``enrolled``: phones of terminals that are new.
    """

    stored: int
    duplicate: int
    alarms: tuple[int, ...] = ()
    enrolled: tuple[str, ...] = ()
