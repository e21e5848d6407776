"""Swaps: a terminal whose connections replace each other again and again is two terminals with one identity.

One swap is a reconnect. Three in ten minutes put the identity into quarantine: what is reported under it is stored and
marked (Quality.DISPUTED), decides nothing, and staff are told. Which of the two is the right one, only people can find out;
they end the quarantine in the registry.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.edge.registry import Registry

MOST = 3
WITHIN_US = 10 * 60 * 1_000_000
QUARANTINE_US = 24 * 3600 * 1_000_000  # somebody can look into it on the next working day
_MOST_TERMINALS = 20_000


class Swaps:
    """By identity; times are int64 us UTC."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._until: dict[str, int] = {}  # those that the registry does not know of yet
        self._times: dict[str, deque[int]] = {}

    def note(self, identity: str, phone: str, edition: str, now: int) -> list[dict[str, Any]]:
        """One more swap, and what to record of it. phone: as in the header, hex."""
        times = self._times.pop(identity, None) or deque(maxlen=MOST)
        self._times[identity] = times  # the latest last
        if len(self._times) > _MOST_TERMINALS:
            del self._times[next(iter(self._times))]
        times.append(now)
        who = {"time": now, "identity": identity, "phone": phone, "edition": edition}
        records: list[dict[str, Any]] = [{"event": "replaced", **who}]
        if len(times) == MOST and now - times[0] <= WITHIN_US and not self.disputed(identity, now):
            until = self._until[identity] = now + QUARANTINE_US
            records.append({"event": "quarantined", **who, "swaps": len(times), "until": until})
        return records

    def disputed(self, identity: str, now: int) -> bool:
        """Whether it is in quarantine: by the registry, or by us before the registry heard of it."""
        until = self._until.get(identity)
        if until is not None and until <= now:
            del self._until[identity]
        return identity in self._until or self._registry.quarantined.get(identity, 0) > now

    def settle(self, released: set[str]) -> None:
        """The registry has spoken: what was counted of those that staff released is forgotten."""
        for identity in released:
            self._until.pop(identity, None)
            self._times.pop(identity, None)
