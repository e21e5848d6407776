"""Sessions: one row per open connection, as columns, so that a whole linger of packets is checked at once.

A slot is a row number and is used again after its connection has gone; ``generation`` tells the tenants apart, because
an acknowledgement may come back from the log after its connection has closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.edge.connection import Connection


class Sessions:
    """Columns by slot; ``connections[slot]`` is the socket's object or None.

    heard: when it last said anything; since: since when it is not authenticated (monotonic seconds). by_device: the slot
    that speaks for a device; every authenticated slot is there, or was replaced by a newer one.
    """

    def __init__(self) -> None:
        self.connections: list[Connection | None] = []
        self._free: list[int] = []
        self.by_device: dict[int, int] = {}
        self._grow(1024)

    def _grow(self, size: int) -> None:
        def wider(name: str, dtype: str) -> NDArray[Any]:
            old = getattr(self, name, np.empty(0, dtype))
            new = np.zeros(size, dtype)
            new[: len(old)] = old
            return new

        self.generation: NDArray[np.int64] = wider("generation", "<i8")
        self.authenticated: NDArray[np.bool_] = wider("authenticated", "?")
        self.phone_hi: NDArray[np.uint16] = wider("phone_hi", "<u2")
        self.phone_lo: NDArray[np.uint64] = wider("phone_lo", "<u8")
        self.device: NDArray[np.int64] = wider("device", "<i8")
        self.partition: NDArray[np.int32] = wider("partition", "<i4")
        self.serial: NDArray[np.int64] = wider("serial", "<i8")
        self.heard: NDArray[np.float64] = wider("heard", "<f8")
        self.since: NDArray[np.float64] = wider("since", "<f8")

    def open(self, connection: Connection, now: float) -> int:
        """A slot for this connection; ``now`` is monotonic seconds."""
        if self._free:
            slot = self._free.pop()
            self.connections[slot] = connection
        else:
            slot = len(self.connections)
            self.connections.append(connection)
            if slot >= len(self.generation):
                self._grow(2 * len(self.generation))
        self.generation[slot] += 1
        self.authenticated[slot] = False
        self.device[slot] = 0
        self.serial[slot] = 0
        self.heard[slot] = self.since[slot] = now
        return slot

    def close(self, slot: int) -> None:
        self.release(slot)
        self.connections[slot] = None
        self.generation[slot] += 1
        self._free.append(slot)

    def authenticate(self, slot: int, device: int, partition: int, phone_hi: int, phone_lo: int) -> int | None:
        """From now on this slot speaks for the device; returns the slot that did so before, which must be closed."""
        self.release(slot)
        before = self.by_device.get(device)
        self.authenticated[slot] = True
        self.device[slot], self.partition[slot] = device, partition
        self.phone_hi[slot], self.phone_lo[slot] = phone_hi, phone_lo
        self.by_device[device] = slot
        return before

    def release(self, slot: int) -> None:
        """From now on this slot speaks for nobody; its time as a stranger begins with its last word."""
        if not self.authenticated[slot]:
            return
        device = int(self.device[slot])
        if self.by_device.get(device) == slot:  # or a newer connection of the same terminal has it
            del self.by_device[device]
        self.authenticated[slot] = False
        self.device[slot] = 0
        self.since[slot] = self.heard[slot]

    def next_serials(self, slot: int, count: int) -> int:
        """The first of ``count`` consecutive platform serial numbers of this session (JT/T 808 wraps at 65535)."""
        first = int(self.serial[slot])
        self.serial[slot] = (first + count) & 0xFFFF
        return first

    def __len__(self) -> int:
        return len(self.connections) - len(self._free)
