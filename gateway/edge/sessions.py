"""Sessions: one row per terminal on an open connection, as columns, so that a linger of packets is checked at once.

A slot is a row number and is used again after its tenant has gone; ``generation`` tells the tenants apart, because an
acknowledgement may come back from the log after its connection has closed. A connection has one slot from the beginning,
for its first terminal, and a guest's slot for each further one that authenticates on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.edge.guests import Guests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.edge.connection import Connection

_COLUMNS = {
    "generation": "<i8",
    "authenticated": "?",
    "v2019": "?",
    "phone_hi": "<u2",
    "phone_lo": "<u8",
    "device": "<i8",
    "partition": "<i4",
    "mark": "<u2",
    "serial": "<i8",
    "heard": "<f8",
    "since": "<f8",
    "half": "<f8",
    "taken": "<i8",
    "fd": "<i8",
}


class Sessions:
    """Columns by slot; ``connections[slot]`` is the connection's object or None.

    v2019      bool     whether the header in which it authenticated was that of 2019: so it is spoken to unasked
    mark       uint16   Quality bits that all its positions get: why their sender is not beyond doubt
    serial     int64    the platform's next serial number for it
    heard      float64  when it last said anything (monotonic seconds)
    since      float64  since when it is not authenticated
    half       float64  since when a packet of the connection has begun and not ended; 0 for none
    taken      int64    bytes that its connection sent since the last sweep
    fd         int64    the polled socket's descriptor, -1 for any other transport

    by_device: the slot that speaks for a device; every authenticated slot is there, or was replaced by a newer one.
    """

    generation: NDArray[np.int64]
    authenticated: NDArray[np.bool_]
    v2019: NDArray[np.bool_]
    phone_hi: NDArray[np.uint16]
    phone_lo: NDArray[np.uint64]
    device: NDArray[np.int64]
    partition: NDArray[np.int32]
    mark: NDArray[np.uint16]
    serial: NDArray[np.int64]
    heard: NDArray[np.float64]
    since: NDArray[np.float64]
    half: NDArray[np.float64]
    taken: NDArray[np.int64]
    fd: NDArray[np.int64]

    def __init__(self) -> None:
        self.connections: list[Connection | None] = []
        self.guests = Guests()
        self.by_device: dict[int, int] = {}
        self._free: list[int] = []
        self._grow(1024)

    def _grow(self, size: int) -> None:
        for name, dtype in _COLUMNS.items():
            old: NDArray[Any] = getattr(self, name, np.empty(0, dtype))
            new = np.zeros(size, dtype)
            new[: len(old)] = old
            setattr(self, name, new)

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
        self.device[slot] = self.serial[slot] = self.taken[slot] = self.mark[slot] = self.half[slot] = 0
        self.heard[slot] = self.since[slot] = now
        self.fd[slot] = -1
        return slot

    def guest(self, connection: Connection, phone_hi: int, phone_lo: int, now: float) -> int:
        """A slot for a further terminal on this connection."""
        host, slot = connection.slot, self.open(connection, now)
        self.fd[slot] = self.fd[host]
        self.guests.add(host, phone_hi, phone_lo, slot)
        return slot

    def speakers(
        self, hosts: NDArray[np.int64], phone_hi: NDArray[np.uint16], phone_lo: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """The slot of each packet: its connection's own, or the guest's who sent it."""
        if not len(self.guests):
            return hosts
        found = self.guests.find(hosts, phone_hi, phone_lo)
        return np.where(found < 0, hosts, found)

    def close(self, slot: int) -> None:
        """The end of a tenant; of a connection's own slot, of its guests as well."""
        if len(self.guests):
            for guest in self.guests.of(slot):
                self.close(guest)
            if self.guests.host(slot) is not None:
                self.guests.remove(slot)
        self.release(slot)
        self.fd[slot] = -1  # its number may be another's soon
        self.connections[slot] = None
        self.generation[slot] += 1
        self._free.append(slot)

    def unplug(self, slot: int) -> None:
        """Nothing can be written to this connection's descriptor any more."""
        self.fd[slot] = -1
        if len(self.guests):
            self.fd[self.guests.of(slot)] = -1

    def authenticate(
        self, slot: int, device: int, partition: int, phone_hi: int, phone_lo: int, *, v2019: bool
    ) -> int | None:
        """From now on this slot speaks for the device; returns the slot that did so before, which must give it up."""
        self.release(slot)
        before = self.by_device.get(device)
        self.authenticated[slot], self.v2019[slot] = True, v2019
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
        self.device[slot] = self.mark[slot] = 0
        self.since[slot] = self.heard[slot]

    def next_serials(self, slot: int, count: int) -> int:
        """The first of ``count`` consecutive platform serial numbers of this session (JT/T 808 wraps at 65535)."""
        first = int(self.serial[slot])
        self.serial[slot] = (first + count) & 0xFFFF
        return first

    @property
    def connected(self) -> int:
        """Open connections."""
        return len(self) - len(self.guests)

    def __len__(self) -> int:
        return len(self.connections) - len(self._free)
