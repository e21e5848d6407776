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
STRANGER_S = 60.0  # a terminal registers and authenticates within seconds


async def sweep(hub: Hub) -> None:
    """Closes authenticated connections that were silent for SILENT_S and others for STRANGER_S."""
    while True:
        await asyncio.sleep(SWEEP_S)
        hub.appender.flush_counts()
        if hub.paused:
            continue
        sessions = hub.sessions
        n = len(sessions.connections)
        silence = time.monotonic() - sessions.heard[:n]
        overdue = silence > np.where(sessions.authenticated[:n], SILENT_S, STRANGER_S)
        for slot in np.flatnonzero(overdue).tolist():
            connection = sessions.connections[slot]
            if connection is not None:
                hub.drop(connection, "idle")
