"""Guests: the further terminals of connections that carry several, as a forwarding platform's do.

Most connections carry one terminal, whose slot is the connection's own. Each further one has a slot of its own, with its
own device, serial numbers and generation, and is found by (the connection's slot, phone), a whole linger at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = tuple[int, int, int]
_SLOT, _HI = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class Guests:
    """Slots by (connection's slot, phone_hi, phone_lo)."""

    def __init__(self) -> None:
        self._slots: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._columns: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]] | None
        self._columns = None

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, host: int, phone_hi: int, phone_lo: int, slot: int) -> None:
        key = (host, phone_hi, phone_lo)
        self._slots[key] = slot
        self._keys[slot] = key
        self._columns = None

    def remove(self, slot: int) -> None:
        del self._slots[self._keys.pop(slot)]
        self._columns = None

    def host(self, slot: int) -> int | None:
        """The slot of the connection that a guest's slot is on; None where it is no guest's."""
        key = self._keys.get(slot)
        return None if key is None else key[0]

    def of(self, host: int) -> list[int]:
        """The guests of a connection."""
        return [slot for slot, key in self._keys.items() if key[0] == host]

    def find(
        self, hosts: NDArray[np.int64], phone_hi: NDArray[np.uint16], phone_lo: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Each packet's slot, or -1 where its terminal is no guest of its connection."""
        if self._columns is None:
            self._columns = self._sorted()
        mixed, slots, whose, phones = self._columns
        found = np.full(len(hosts), -1, np.int64)
        if not len(slots):
            return found
        asked = _mix(hosts, phone_hi, phone_lo)
        at = mixed.searchsorted(asked)
        # Keys that mix to one number stand side by side: as good as never, and looked through all the same.
        while (at < len(mixed)).any():
            inside = np.minimum(at, len(mixed) - 1)
            same = (at < len(mixed)) & (mixed[inside] == asked) & (found < 0)
            if not same.any():
                return found
            mine = same & (whose[inside] == _host_and_hi(hosts, phone_hi)) & (phones[inside] == phone_lo)
            found[mine] = slots[inside[mine]]
            at = at + 1
        return found

    def _sorted(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        n = len(self._slots)
        keys = list(self._slots)
        hosts = np.fromiter((key[0] for key in keys), np.int64, n)
        phone_hi = np.fromiter((key[1] for key in keys), np.uint16, n)
        phone_lo = np.fromiter((key[2] for key in keys), np.uint64, n)
        mixed = _mix(hosts, phone_hi, phone_lo)
        order = mixed.argsort(kind="stable")
        slots = np.fromiter(self._slots.values(), np.int64, n)
        return mixed[order], slots[order], _host_and_hi(hosts, phone_hi)[order], phone_lo[order]


def _mix(hosts: NDArray[np.int64], phone_hi: NDArray[np.uint16], phone_lo: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (hosts.astype(np.uint64) + np.uint64(1)) * _SLOT + phone_hi.astype(np.uint64) * _HI + phone_lo


def _host_and_hi(hosts: NDArray[np.int64], phone_hi: NDArray[np.uint16]) -> NDArray[np.uint64]:
    return hosts.astype(np.uint64) << np.uint64(16) | phone_hi.astype(np.uint64)
