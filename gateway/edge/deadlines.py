"""Deadlines of connections, checked for all of them at once; suspended while reading is paused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gateway.edge.hub import Hub

SWEEP_S = 5.0
SILENT_S = 600.0  # heartbeats come every 30-180 s in the field (parameter 0x0001); three may be lost
STRANGER_S = 60.0  # a terminal registers and authenticates within seconds; saying anything else earns no time


async def sweep(hub: Hub) -> None:
    """Every SWEEP_S, for ever: sends the counts that wait, and closes what is overdue."""
    while True:
        await asyncio.sleep(SWEEP_S)
        hub.appender.flush_counts()
        if not hub.paused:
            close_overdue(hub, time.monotonic())


def close_overdue(hub: Hub, now: float) -> None:
    """Closes authenticated connections that were silent for SILENT_S, and those that are strangers for STRANGER_S."""
    sessions = hub.sessions
    n = len(sessions.connections)
    known = sessions.authenticated[:n]
    overdue = np.where(known, now - sessions.heard[:n] > SILENT_S, now - sessions.since[:n] > STRANGER_S)
    for slot in np.flatnonzero(overdue).tolist():
        hub.drop_slot(slot, "idle")
