"""Writer: acknowledgements as columns, then one write per connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from protocols.jt808.replies import acknowledge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.outcome import Outcome
    from gateway.edge.sessions import Sessions
    from protocols.jt808.header import Packets


class Writer:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def acknowledge(
        self, packets: Packets, rows: NDArray[np.int64], slots: NDArray[np.int64], generations: NDArray[np.int64],
        outcome: Outcome,
    ) -> None:  # fmt: skip
        """Answers packets[rows], which came in on ``slots``; a slot whose tenant has changed since is left alone."""
        sessions = self._sessions
        live = sessions.generation[slots] == generations
        if not live.all():
            rows, slots = rows[live], slots[live]
        if not len(rows):
            return
        if (slots[1:] < slots[:-1]).any():
            order = np.argsort(slots, kind="stable")
            rows, slots = rows[order], slots[order]
        first = np.flatnonzero(np.diff(slots, prepend=-1))
        who = slots[first]
        counts = np.diff(first, append=len(slots))
        before = sessions.serial[who]
        serials = (np.arange(len(slots)) + np.repeat(before - first, counts)) & 0xFFFF
        sessions.serial[who] = (before + counts) & 0xFFFF
        results = np.full(len(rows), outcome, np.uint8)
        frames = acknowledge(packets, rows, results, serials.astype(np.uint16))
        data = frames.blob.tobytes()
        bounds = frames.offsets[first].tolist()
        bounds.append(len(data))
        connections = sessions.connections
        for k, slot in enumerate(who.tolist()):
            connection = connections[slot]
            if connection is not None:
                connection.transport.write(data[bounds[k] : bounds[k + 1]])

    def write(self, slot: int, generation: int, data: bytes) -> None:
        connection = self._sessions.connections[slot]
        if connection is not None and self._sessions.generation[slot] == generation:
            connection.transport.write(data)
