"""Patience: how many refusals a terminal, known or not, may cause before it is ended at once and written down no more.

Not by address: behind one address of a mobile network stand honest terminals and others. Who is refused too often loses
nothing but the nine further attempts of each connection; a code or a registration that is right is heard at any time.
"""

from __future__ import annotations

AT_ONCE = 30  # three connections of ten attempts
EVERY_US = 60 * 1_000_000  # one more a minute: staff see that it still tries
_MOST = 50_000


class Patience:
    """A budget of refusals by identity; times are int64 us UTC."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, int]] = {}

    def spend(self, identity: str, now: int) -> bool:
        """One more refusal; whether there was any patience left for it."""
        spent, since = self._spent.pop(identity, (0.0, now))
        spent = max(0.0, spent - (now - since) / EVERY_US)
        patient = spent <= AT_ONCE - 1
        if len(self._spent) >= _MOST:
            del self._spent[next(iter(self._spent))]
        self._spent[identity] = (spent + 1 if patient else spent), now
        return patient
