"""Memory: all that a worker remembers of a partition between batches, and its form as a snapshot.

A new owner loads the snapshot, takes in the last fixes of the log from there, and the tracks from the database, and then
knows what the old one knew. What is not here (keys of the newest seconds) is asked of the database instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gateway.worker.duplicates import Recent
from geofence.presence import State
from geofence.tampering import Watch

if TYPE_CHECKING:
    from columns.positions import Positions

VERSION = 2
_LENGTH = 8


@dataclass(slots=True)
class Memory:
    """``boots``: edge boot -> number of its last batch; ``recent``: newest seconds; ``state``: fixes and presences;

    ``watch``: tampering that goes on, read from its alarms by a new owner.
    """

    boots: dict[str, int] = field(default_factory=dict)
    recent: Recent = field(default_factory=Recent)
    state: State = field(default_factory=State)
    watch: Watch = field(default_factory=Watch)

    def to_bytes(self) -> bytes:
        devices, newest = self.recent.newest()
        return len(devices).to_bytes(_LENGTH, "little") + devices.tobytes() + newest.tobytes() + self.state.to_bytes()

    def recall(self, positions: Positions) -> None:
        """Takes in rows that an earlier owner has decided and committed: which of them is the latest is all that counts."""
        self.recent.remember(positions)
        self.state.recall(positions)

    @staticmethod
    def from_bytes(data: bytes, boots: dict[str, int]) -> Memory:
        """Raises ValueError where the bytes are no snapshot of this version."""
        n = int.from_bytes(data[:_LENGTH], "little")
        devices = np.frombuffer(data, "<i8", n, _LENGTH)
        newest = np.frombuffer(data, "<i8", n, _LENGTH + 8 * n)
        memory = Memory(dict(boots), Recent(), State.from_bytes(data[_LENGTH + 16 * n :]))
        memory.recent.restore(devices, newest)
        return memory
