"""Patience: a budget of refusals by identity."""

from __future__ import annotations

from gateway.edge import patience as patience_module
from gateway.edge.patience import AT_ONCE, EVERY_US, Patience


def test_thirty_at_once_and_one_a_minute():
    """Whatever was tried in vain in between costs nothing more, and nobody pays for another."""
    one = Patience()
    assert sum(one.spend("a", i) for i in range(AT_ONCE + 100)) == AT_ONCE
    assert one.spend("b", 200)
    assert not one.spend("a", EVERY_US // 2)
    assert [one.spend("a", EVERY_US + 1000 + i) for i in range(3)] == [True, False, False]
    assert sum(one.spend("a", 11 * EVERY_US + 1000 + i) for i in range(50)) == 10


def test_a_quiet_day_restores_it_and_not_more():
    """The budget is never larger than at the beginning."""
    one = Patience()
    for i in range(50):
        one.spend("a", i)
    assert sum(one.spend("a", 86_400_000_000 + i) for i in range(100)) == AT_ONCE


def test_identities_without_end_are_forgotten_oldest_first(monkeypatch):
    """Memory is bounded; who was heard lately is remembered."""
    monkeypatch.setattr(patience_module, "_MOST", 10)
    one = Patience()
    for i in range(AT_ONCE + 1):
        one.spend("guesser", i)
    for i in range(5000):
        one.spend(str(i), 100 + i)
        if i % 5 == 0:
            assert not one.spend("guesser", 100 + i)
    assert len(one._spent) == 10
