"""Recent: which reports are stored already, against the plain set of all that were ever stored."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from gateway.worker import duplicates
from gateway.worker.duplicates import Keys, Recent


def positions(identities: list[tuple[int, int, int]]) -> Positions:
    n = len(identities)
    columns = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
    for k, name in enumerate(("device", "time", "fingerprint")):
        columns[name] = np.array([identity[k] for identity in identities], np.int64)
    return Positions(**columns, extras=Ragged.empty(n))


identity = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))


@given(st.lists(st.lists(identity, max_size=8), max_size=8), st.integers(1, 6))
@settings(max_examples=400, deadline=None)
def test_against_the_whole_history(batches, generation):
    """A fresh row is in no earlier batch; every row of no earlier batch is fresh or a suspect; repeats are in neither."""
    recent, stored = Recent(), set()
    before, duplicates.GENERATION = duplicates.GENERATION, generation
    try:
        for batch in batches:
            rows = positions(batch)
            sifted = recent.sift(rows)
            fresh = [batch[i] for i in sifted.fresh]
            suspects = [batch[i] for i in sifted.suspects]
            assert not set(fresh) & stored
            assert len(set(fresh + suspects)) == len(fresh + suspects) == len(set(batch))
            keep = fresh + [one for one in suspects if one not in stored]  # what the database says
            recent.remember(positions(keep))
            stored |= set(batch)
    finally:
        duplicates.GENERATION = before


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=12), max_size=12))
def test_keys_are_a_set(added):
    """Whatever is added together, again or in between: what is in it, and in few arrays."""
    keys, wanted = Keys(), set()
    for some in added:
        keys.add(np.array(some, np.uint64) << np.uint64(58))
        wanted |= set(some)
        asked = np.arange(64, dtype=np.uint64)[::-1]
        assert keys.contains(asked << np.uint64(58)).tolist() == [int(one) in wanted for one in asked]
        assert len(keys._runs) <= 8


def test_what_is_remembered_is_bounded():
    """Of minutes of traffic two generations of keys remain."""
    recent = Recent()
    for second in range(1_000):
        recent.remember(positions([(device, second, 0) for device in range(1_000)]))
    assert len(recent._current) + len(recent._previous) <= 2 * (duplicates.GENERATION + 1_000)


def test_ordinary_traffic_asks_nothing():
    """In-order reports, several in one second too, are fresh without any suspect."""
    recent = Recent()
    for second in range(5):
        for report in range(3):
            rows = positions([(device, second, report) for device in range(10)])
            sifted = recent.sift(rows)
            assert len(sifted.fresh) == 10
            recent.remember(rows)


def test_a_resend_is_a_suspect_at_once():
    """The same report again is never fresh, also after a restart that forgot the keys."""
    recent = Recent()
    rows = positions([(1, 10, 5), (2, 10, 6)])
    recent.remember(rows)
    assert recent.sift(rows).suspects.tolist() == [0, 1]
    again = Recent()
    again.restore(*recent.newest())
    assert again.sift(rows).suspects.tolist() == [0, 1]
    assert again.sift(positions([(1, 11, 5)])).fresh.tolist() == [0]
