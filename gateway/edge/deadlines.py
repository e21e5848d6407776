"""Deadlines and budgets of connections, checked for all of them at once; suspended while reading is paused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub

SWEEP_S = 5.0
SILENT_S = 600.0  # heartbeats come every 30-180 s in the field (parameter 0x0001); three may be lost
STRANGER_S = 60.0  # a terminal registers and authenticates within seconds; saying anything else earns no time
HALF_S = 30.0  # the longest packet has 2 KB, which GPRS carries in a second
BYTES_PER_S = 512 * 1024  # of one connection: eight times what a terminal sends that clears its memory over 4G


async def sweep(hub: Hub) -> None:
    """Every SWEEP_S, for ever: sends the counts that wait, closes what is overdue, and slows down who sends too much."""
    budget = Budget(hub)
    while True:
        await asyncio.sleep(SWEEP_S)
        hub.appender.flush_counts()
        if not hub.paused:
            close_overdue(hub, time.monotonic())
            budget.enforce()
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
    """Bytes of each connection: who has sent more than BYTES_PER_S since the last sweep is not read until the next.

    TCP then slows the sender down; nothing is lost, and nobody else waits.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: list[Connection] = []

    def enforce(self) -> None:
        sessions = self._hub.sessions
        for connection in self._waiting:
            if not connection.dropped and connection.slot >= 0:
                connection.transport.resume_reading()
        n = len(sessions.connections)
        over = np.flatnonzero(sessions.taken[:n] > BYTES_PER_S * SWEEP_S).tolist()
        sessions.taken[:n] = 0
        self._waiting = [one for slot in over if (one := sessions.connections[slot]) is not None and not one.dropped]
        for connection in self._waiting:
            self._hub.counts["throttled"] += 1
            connection.transport.pause_reading()
