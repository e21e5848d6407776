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
from geofence.presence import Decision, decide
from geofence.visits import CandidateSeen, VisitEnded, VisitOpened
from protocols.jt808.items import scan
from storage.work import Event, VisitChange, VisitOpening, Work

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.worker.memory import Memory
    from gateway.worker.rules import Rules

MOST_BOOTS = 64  # edge boots remembered: a boot that was silent while 64 others came and went has ended
LATE_US = 5 * 60 * 1_000_000  # received - device time: an older fix does not page by itself


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What was read: rows of every batch that is news, in log order."""

    sequence: int
    boots: dict[str, int]
    positions: Positions
    dead_letters: DeadLetters
    sessions: list[dict[str, Any]]
    rejected: dict[str, int]


def gather(messages: Sequence[tuple[int, bytes]], seen: dict[str, int]) -> Gathered:
    """Reads messages (sequence, data); batches whose number was seen from their edge boot are dropped whole."""
    boots = dict(seen)
    batches: list[Batch] = []
    parked: list[bytes] = []
    for _, data in messages:
        try:
            batch = decode(data)
        except BatchError:
            parked.append(data)
            continue
        last = boots.pop(batch.boot, 0)
        if batch.number <= last:
            boots[batch.boot] = last
            continue
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


def judge(memory: Memory, rules: Rules, positions: Positions) -> Decision:
    """The decision about rows that are known to be new. A state that knew another fence learns this one first."""
    if memory.state.generation != rules.fence.generation:
        memory.state.refence(rules.fence)
    return decide(memory.state, rules.fence, rules.machines, positions)


def work(
    gathered: Gathered,
    new: Positions,
    decision: Decision,
    rules: Rules,
    *,
    memory: Memory,
    partition: int,
    stream: str,
    previous: int,
) -> Work:
    """What one transaction writes of this decision."""
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
        opened=[_opening(change) for change in decision.changes if isinstance(change, VisitOpened)],
        changed=[
            VisitChange(change.id, change.last_inside_at, change.exited_at)
            for change in decision.changes
            if isinstance(change, VisitEnded)
        ],
        events=list(_candidates(decision.changes, rules)),
        tracks=memory.state.records(decision.delta),
    )


def _opening(visit: VisitOpened) -> VisitOpening:
    return VisitOpening(
        id=visit.id,
        device=visit.device,
        machine=visit.machine.to_json(),
        zone=visit.zone,
        zone_version=visit.zone_version,
        verdict=visit.verdict,
        rule=visit.rule,
        entered_at=visit.entered_at,
        confirmed_at=visit.confirmed_at,
        last_inside_at=visit.last_inside_at,
        lon=visit.lon,
        lat=visit.lat,
        received_at=visit.received,
        alarm=visit.alarm,
        late=visit.received - visit.confirmed_at > LATE_US,
        cause=visit.cause,
        grade=visit.grade,
    )


def _candidates(changes: Iterable[object], rules: Rules) -> Iterable[Event]:
    """疑似进入 is shown at once, and pages nobody; only machines that the zone may ban are worth showing."""
    for change in changes:
        if not isinstance(change, CandidateSeen):
            continue
        zone = rules.fence.zone(change.zone, change.at)
        machine = rules.machines.find(change.device, change.at)
        if zone is None or machine is None:
            continue
        yield Event(
            "terminal",
            {
                "kind": "candidate",
                "terminal_phone": machine.phone,
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
