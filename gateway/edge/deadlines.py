"""Deadlines and budgets of connections, checked for all of them at once; suspended while reading is paused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub

SWEEP_S = 5.0
SILENT_S = 600.0  # heartbeats come every 30-180 s in the field (parameter 0x0001); three may be lost
STRANGER_S = 60.0  # a terminal registers and authenticates within seconds; saying anything else earns no time
HALF_S = 30.0  # the longest packet has 2 KB, which GPRS carries in a second
BYTES_PER_S = 512 * 1024  # of one connection: eight times what a terminal sends that clears its memory over 4G
PACKET_COST = 512  # so a forwarding platform's 5,000 terminals authenticate within one sweep
STRANGER_COST = 16 * 1024  # 160 packets in a sweep: one who is nobody yet needs three


async def sweep(hub: Hub) -> None:
    """Every SWEEP_S, for ever: sends the counts that wait, closes what is overdue, and slows down who sends too much."""
    while True:
        await asyncio.sleep(SWEEP_S)
        hub.appender.flush_counts()
        if not hub.paused:
            close_overdue(hub, time.monotonic())
            hub.budget.renew()
            hub.assemblies.sweep(hub.now())
            hub.rivals.sweep(hub.now())


def close_overdue(hub: Hub, now: float) -> None:
    """Ends who was silent for SILENT_S, who is a stranger for STRANGER_S, and who owes the end of a packet for HALF_S.

    A connection over which a guest speaks may have no terminal of its own.
    """
    sessions = hub.sessions
    n = len(sessions.connections)
    known = sessions.authenticated[:n]
    overdue = np.where(known, now - sessions.heard[:n] > SILENT_S, now - sessions.since[:n] > STRANGER_S)
    for slot in np.flatnonzero(overdue).tolist():
        connection = sessions.connections[slot]
        if connection is not None and (known[slot] or not connection.guests):
            hub.end(slot, "idle")
    half = sessions.half[:n]
    for slot in np.flatnonzero((half > 0) & (now - half > HALF_S)).tolist():
        connection = sessions.connections[slot]
        if connection is not None:
            hub.drop(connection, "half_frame")


class Budget:
    """What each connection may cost in SWEEP_S: whoever has spent it is not read until the next sweep.

    TCP then slows the sender down; nothing is lost, and nobody else waits. Bytes are what telemetry costs. A packet of the
    conversation is taken by itself, 15 us and more: it counts as PACKET_COST bytes, a stranger's as STRANGER_COST.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: set[Connection] = set()

    def spend(self, hosts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """sizes: bytes that came on each of these slots, or as many as they count for."""
        taken = self._hub.sessions.taken
        np.add.at(taken, hosts, sizes)
        over = taken[hosts] > BYTES_PER_S * SWEEP_S
        if over.any():
            for slot in np.unique(hosts[over]).tolist():
                self._stop(slot)

    def converse(self, hosts: NDArray[np.int64]) -> None:
        """A packet of the conversation came on each of these slots."""
        known = self._hub.sessions.authenticated[hosts]
        self.spend(hosts, np.where(known, PACKET_COST, STRANGER_COST))

    def _stop(self, slot: int) -> None:
        connection = self._hub.sessions.connections[slot]
        if connection is None or connection.dropped or connection in self._waiting:
            return
        self._waiting.add(connection)
        self._hub.counts["throttled"] += 1
        connection.transport.pause_reading()

    def renew(self) -> None:
        """Who waited is read again."""
        self._hub.sessions.taken[:] = 0
        waiting, self._waiting = self._waiting, set()
        for connection in waiting:
            if not connection.dropped and connection.slot >= 0:
                connection.transport.resume_reading()
