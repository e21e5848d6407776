"""Telemetry: reports that were read become rows of their own terminals, and parts of batches for the log."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from columns.outcome import Outcome
from columns.reason import Reason
from gateway.edge.part import MAX_BYTES, PACKET_BYTES, ROW_BYTES, Part, pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.positions import Positions
    from gateway.edge.hub import Hub
    from protocols.contract import Intake
    from protocols.jt808.header import Packets


class Senders(NamedTuple):
    """Of some packets: whether an authenticated terminal of their connection sent them, and what is known of it.

    generation: of the slot at that time; a guest's may have another tenant before the linger is over.
    """

    known: NDArray[np.bool_]
    slot: NDArray[np.int64]
    generation: NDArray[np.int64]
    device: NDArray[np.int64]
    partition: NDArray[np.int32]
    mark: NDArray[np.uint16]

    def or_else(self, other: Senders) -> Senders:
        """These, and the other's where these don't know."""
        mine = self.known
        return Senders(
            mine | other.known,
            np.where(mine, self.slot, other.slot),
            np.where(mine, self.generation, other.generation),
            np.where(mine, self.device, other.device),
            np.where(mine, self.partition, other.partition),
            np.where(mine, self.mark, other.mark),
        )

    def only(self, rows: NDArray[np.bool_]) -> Senders:
        return Senders(
            self.known[rows],
            self.slot[rows],
            self.generation[rows],
            self.device[rows],
            self.partition[rows],
            self.mark[rows],
        )


class Telemetry:
    """Hands rows to the appender, each to the partition of its terminal; refuses those of strangers.

    taken, refused: reports that were read, and those of them that were strangers'; all others were handed over.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._sessions = hub.sessions
        self.taken = 0
        self.refused = 0

    def take(
        self, intake: Intake[Packets], hosts: NDArray[np.int64], slots: NDArray[np.int64], senders: Senders,
        received: int, *, acknowledged: bool = True,
    ) -> None:  # fmt: skip
        """What was read, and by whom: refused and answered, or handed over to the log."""
        if len(intake.rejects) or len(intake.malformed):
            self._hub.rejects.take(intake, hosts, slots, received)
        if len(intake.malformed):
            self._answer(intake.packets, intake.malformed, slots, Outcome.MALFORMED)
        if len(intake.telemetry):
            self._rows(intake, slots, senders, acknowledged=acknowledged)

    def senders(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64]) -> Senders:
        sessions, slot = self._sessions, slots[rows]
        known: NDArray[np.bool_] = sessions.authenticated[slot]
        known &= sessions.phone_lo[slot] == packets.phone_lo[rows]
        known &= sessions.phone_hi[slot] == packets.phone_hi[rows]
        return Senders(
            known,
            slot,
            sessions.generation[slot],
            sessions.device[slot],
            sessions.partition[slot],
            sessions.mark[slot],
        )

    def _rows(self, intake: Intake[Packets], slots: NDArray[np.int64], senders: Senders, *, acknowledged: bool) -> None:
        """``senders``: who sent the reports as far as was known before the conversation of the same linger."""
        rows, packets, positions = intake.telemetry, intake.packets, intake.positions
        self.taken += len(positions)
        if not senders.known.all():
            # One linger may bring 0x0102 and the first report, or the last report and 0x0003: heard if either side is.
            senders = senders.or_else(self.senders(packets, rows, slots))
        if not senders.known.all():
            known = senders.known
            self._refuse_strangers(packets, rows[~known], slots)
            heard = np.flatnonzero(known[np.searchsorted(rows, positions.packet)])
            self.refused += len(positions) - len(heard)
            positions = positions.take(heard)
            rows, senders = rows[known], senders.only(known)
            if not len(rows):
                return
        packet = np.searchsorted(rows, positions.packet)
        positions = positions.with_columns(device=senders.device[packet])
        if senders.mark.any():
            positions = positions.with_columns(quality=positions.quality | senders.mark[packet])
        held = PACKET_BYTES + packets.buffer.nbytes // len(rows)  # a row's share of what lives until it is stored
        if not acknowledged:
            self._hub.appender.add(int(senders.partition[0]), Part(positions, size=_size(positions), held=held))
            return
        if self._hub.partitions == 1:
            self._add(0, packets, rows, senders, positions, held)
            return
        for p in range(self._hub.partitions):
            here = senders.partition == p
            if here.any():
                theirs = positions.take(np.flatnonzero(here[packet]))
                self._add(p, packets, rows[here], senders.only(here), theirs, held)

    def _add(
        self, partition: int, packets: Packets, rows: NDArray[np.int64], senders: Senders,
        positions: Positions, held: int,
    ) -> None:  # fmt: skip
        """Hands packets[rows] over, with all that came in them, cut where it is more than a batch may have."""
        slots, generations = senders.slot, senders.generation
        size = _size(positions)
        if size <= MAX_BYTES:
            part = Part(positions, packets, rows, slots, generations, size, held * len(rows))
            self._hub.appender.add(partition, part)
            return
        packet = np.searchsorted(rows, positions.packet)
        sizes = np.bincount(packet, positions.extras.lengths + ROW_BYTES, len(rows)).astype(np.int64)
        first = pieces(sizes)
        at = np.append(np.searchsorted(packet, first), len(positions)).tolist()
        bounds = np.append(first, len(rows)).tolist()
        for k, (begin, end) in enumerate(pairwise(bounds)):
            some = positions.take(np.arange(at[k], at[k + 1]))
            size, memory = int(sizes[begin:end].sum()), held * (end - begin)
            part = Part(some, packets, rows[begin:end], slots[begin:end], generations[begin:end], size, memory)
            self._hub.appender.add(partition, part)

    def _refuse_strangers(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        self._hub.count(Reason.NOT_AUTHENTICATED, len(rows))
        if self._hub.tracer.following:
            self._hub.tracer.strangers(packets, rows)
        self._answer(packets, rows, slots, Outcome.FAILED)

    def _answer(self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64], outcome: Outcome) -> None:
        self._hub.writer.acknowledge(packets, rows, slots[rows], self._sessions.generation[slots[rows]], outcome)


def _size(positions: Positions) -> int:
    """Bytes that these add to a batch."""
    return int(positions.extras.offsets[-1] - positions.extras.offsets[0]) + ROW_BYTES * len(positions)
