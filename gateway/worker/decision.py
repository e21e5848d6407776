"""From log messages to a decision and the work that writes it: pure, so that it can be done again with other rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.batch import Batch, BatchError, DeadLetters, decode
from columns.positions import Positions, concatenate
from columns.ragged import Ragged
from columns.ragged import concatenate as concatenate_ragged
from columns.reason import Reason
from gateway.worker import terminal_messages
from gateway.worker.gaps import MOST_BOOTS, Gap, missing, unread
from gateway.worker.signals import tampering_rows
from gateway.worker.visiting import visit_changes
from geofence.presence import Decision, decide
from geofence.presences import CandidateSeen, Page, Presence
from geofence.retracing import retrace
from geofence.walking import fall_silent
from protocols.jt808.items import scan
from storage.work import Event, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.worker.memory import Memory
    from gateway.worker.rules import Rules
    from geofence.late import Rejudged
    from geofence.presences import Change
    from geofence.ruleset import Ruleset
    from geofence.tampering import Followed
    from geofence.walking import Track


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What was read: rows of every batch that is news, in log order."""

    sequence: int
    boots: dict[str, int]
    positions: Positions
    dead_letters: DeadLetters
    sessions: list[dict[str, Any]]
    rejected: dict[str, int]
    gaps: tuple[Gap, ...] = ()
    """Batches that should have come before some of these."""


def gather(messages: Sequence[tuple[int, bytes]], seen: dict[str, int]) -> Gathered:
    """Reads messages (sequence, data); batches whose number was seen from their edge boot are dropped whole."""
    boots = dict(seen)
    batches: list[Batch] = []
    parked: list[bytes] = []
    gaps: list[Gap] = []
    for sequence, data in messages:
        try:
            batch = decode(data)
        except BatchError:
            parked.append(data)
            unread(boots)
            continue
        last = boots.pop(batch.boot, 0)
        if batch.number <= last:
            boots[batch.boot] = last
            continue
        if missing(boots, last, batch.number):
            gaps.append(Gap(sequence, batch.boot, last, batch.number))
        boots[batch.boot] = batch.number  # newest last
        batches.append(batch)
    while len(boots) > MOST_BOOTS:
        del boots[next(iter(boots))]
    rejected: Counter[str] = Counter()
    for batch in batches:
        rejected.update(batch.rejected)
    letters = [batch.dead_letters for batch in batches if len(batch.dead_letters)]
    if parked:  # kept whole: it was acknowledged, so somebody must be able to read it once we can
        rejected[Reason.UNREADABLE_BATCH.name.lower()] += len(parked)
        n = len(parked)
        reasons = np.full(n, Reason.UNREADABLE_BATCH, np.uint8)
        letters.append(DeadLetters(np.zeros(n, np.int64), np.zeros(n, np.int64), reasons, Ragged.of(parked)))
    positions = concatenate([batch.positions for batch in batches if len(batch.positions)])
    if len(positions):
        mileage, satellites = scan(positions.extras)
        positions = positions.with_columns(mileage=mileage, satellites=satellites)
    return Gathered(
        sequence=messages[-1][0],
        boots=boots,
        positions=positions,
        dead_letters=_letters(letters),
        sessions=[record for batch in batches for record in batch.sessions],
        rejected=dict(rejected),
        gaps=tuple(gaps),
    )


def _letters(parts: list[DeadLetters]) -> DeadLetters:
    if not parts:
        return DeadLetters.empty()
    return DeadLetters(
        np.concatenate([part.device for part in parts]),
        np.concatenate([part.received for part in parts]),
        np.concatenate([part.reason for part in parts]),
        concatenate_ragged([part.data for part in parts]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A decision, and what became of the terminals whose rows were late: judged by their trails, or by the caller."""

    decision: Decision
    rejudged: dict[int, Rejudged]

    @property
    def late(self) -> list[int]:
        """The terminals that are still to be judged, with their history."""
        return [device for device in self.decision.late.tolist() if device not in self.rejudged]

    @property
    def changes(self) -> Iterator[Change]:
        yield from self.decision.changes
        for each in self.rejudged.values():
            yield from each.changes


def judge(memory: Memory, rules: Rules, positions: Positions) -> Judged:
    """The decision about rows that are known to be new. A state that knew other rules learns these first."""
    memory.state.adopt(rules.ruleset)
    decision = decide(memory.state, rules.ruleset, positions)
    retraced = retrace(memory.state, rules.ruleset, positions, decision.late) if len(decision.late) else {}
    return Judged(decision, retraced)


def work(
    gathered: Gathered,
    new: Positions,
    judged: Judged,
    rules: Rules,
    *,
    memory: Memory,
    partition: int,
    stream: str,
    previous: int,
    now: int,
    tampering: Followed | None = None,
) -> Work:
    """What one transaction writes of this decision. now: us UTC."""
    changes = list(judged.changes)
    rejudged = judged.rejudged
    return Work(
        partition=partition,
        stream=stream,
        previous=previous,
        sequence=gathered.sequence,
        epoch=rules.epoch,
        boots=gathered.boots,
        positions=new,
        dead_letters=gathered.dead_letters,
        sessions=terminal_messages.read(gathered.sessions),
        duplicate=len(gathered.positions) - len(new),
        rejected=gathered.rejected,
        visits=visit_changes(
            (change for change in changes if isinstance(change, Presence)),
            (presence for each in rejudged.values() for presence in each.before),
            (presence for each in rejudged.values() for presence in each.gone),
            (change for change in changes if isinstance(change, Page)), rules.ruleset, now,
        ),
        signals=() if tampering is None else tampering_rows(tampering.changes, now),
        events=list(_candidates(changes, rules.ruleset)),
        tracks=[
            *memory.state.records(judged.decision.delta),
            *(each.state.track_json() for each in rejudged.values() if each.state is not None),
        ],
    )  # fmt: skip


def remember(memory: Memory, judged: Judged) -> None:
    """After the commit."""
    memory.state.apply(judged.decision.delta)
    for each in judged.rejudged.values():
        if each.state is not None:
            memory.state.take_over(each.state)


@dataclass(frozen=True, slots=True, eq=False)
class Silence:
    """Terminals (slots) that fell silent in a zone, with their tracks, and the ends of their presences."""

    tracks: dict[int, Track]
    ended: list[Presence]


def silence(memory: Memory, rules: Rules, now: int) -> Silence:
    """Who fell silent; now: us UTC."""
    state = memory.state
    state.adopt(rules.ruleset)
    found = Silence({}, [])
    for slot, last in state.silent(now).items():
        track, ends = fall_silent(int(state.device[slot]), state.track(slot), last, rules.ruleset)
        found.tracks[slot] = track
        found.ended.extend(end for end in ends if isinstance(end, Presence))
    return found


def work_of_silence(silent: Silence, rules: Rules, *, memory: Memory, partition: int, stream: str, at: int) -> Work:
    """What a transaction writes of them; the log goes on from where it was, at sequence ``at``."""
    return Work(
        partition=partition, stream=stream, previous=at, sequence=at, epoch=rules.epoch, boots=memory.boots,
        visits=visit_changes(silent.ended, (), (), (), rules.ruleset, 0),
        tracks=[memory.state.track_json(slot, track) for slot, track in silent.tracks.items()],
    )  # fmt: skip


def to_ask(judged: Judged) -> list[int]:
    """Terminals that report too seldom to wait for the fix that would confirm an entry."""
    seen = (change for change in judged.decision.changes if isinstance(change, CandidateSeen))
    return sorted({change.device for change in seen if change.ask})


def _candidates(changes: Iterable[Change], rules: Ruleset) -> Iterable[Event]:
    """疑似进入 is shown at once, and pages nobody; only machines that the zone may ban are worth showing."""
    for change in changes:
        if not isinstance(change, CandidateSeen):
            continue
        zone = rules.fence.zone(change.zone, change.at)
        machine = rules.machines.find(change.device, change.at)
        if zone is None or machine is None or not rules.judge(zone, machine, change.at).alarm:
            continue
        yield Event(
            "terminal",
            {
                "kind": "candidate",
                "terminal_phone": rules.machines.phone(change.device),
                "machine": {
                    "id": machine.id,
                    "registration_number": machine.registration_number,
                    "machine_type": machine.machine_type,
                    "emission_stage": machine.emission_stage,
                },
                "zone": {"id": zone.id, "name": zone.name, "tier": zone.tier},
                "longitude": round(change.lon, 6),
                "latitude": round(change.lat, 6),
                "at_us": change.at,
            },
            zone.district,
        )
