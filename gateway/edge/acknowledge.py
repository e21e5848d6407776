"""Writer: acknowledgements as columns, then one write per terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from protocols.jt808.replies import acknowledge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.outcome import Outcome
    from gateway.edge.hub import Hub
    from protocols.jt808.header import Packets


class Writer:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._sessions = hub.sessions

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
            order = slots.argsort(kind="stable")
            rows, slots = rows[order], slots[order]
        first = np.flatnonzero(np.diff(slots, prepend=-1))
        who = slots[first]
        counts = np.diff(first, append=len(slots))
        before = sessions.serial[who]
        serials = (np.arange(len(slots)) + np.repeat(before - first, counts)) & 0xFFFF
        sessions.serial[who] = (before + counts) & 0xFFFF
        results = np.full(len(rows), outcome, np.uint8)
        frames = acknowledge(packets, rows, results, serials.astype(np.uint16))
        self._send(who, frames.blob.tobytes(), frames.offsets[first].tolist())

    def _send(self, who: NDArray[np.int64], data: bytes, begins: list[int]) -> None:
        """Writes data[begins[k]:begins[k + 1]] to each slot; to a polled socket without a detour."""
        if self._hub.tracer.following:
            self._hub.tracer.sent(data, who.tolist(), begins)
        write = os.write
        stuck: list[int] = []
        ends = begins[1:]
        ends.append(len(data))
        for k, (fd, begin, end) in enumerate(zip(self._sessions.fd[who].tolist(), begins, ends, strict=True)):
            if fd < 0:
                self._put(int(who[k]), data[begin:end])
                continue
            try:
                if write(fd, data[begin:end]) != end - begin:
                    stuck.append(k)
            except BlockingIOError:
                stuck.append(k)
            except OSError:  # it is gone; the reading side hears of it
                continue
        for k in stuck:
            connection = self._sessions.connections[who[k]]
            if connection is not None:
                self._hub.drop(connection, "slow_reader")

    def hand(self, slot: int, data: bytes) -> None:
        """Writes to the connection of this slot, whatever carries it."""
        if self._put(slot, data) and self._hub.tracer.following:
            self._hub.tracer.sent(data, [slot], [0])

    def _put(self, slot: int, data: bytes) -> bool:
        connection = self._sessions.connections[slot]
        if connection is None or connection.dropped:
            return False
        connection.transport.write(data)
        return True

    def write(self, slot: int, generation: int, data: bytes) -> None:
        if self._sessions.generation[slot] == generation:
            self.hand(slot, data)
