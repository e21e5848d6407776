"""What waits for the map: bounded by the terminals, and never less than the newest fix of each."""

from __future__ import annotations

import numpy as np
import pytest

from columns.positions import Positions, Quality
from gateway.worker import showing
from gateway.worker.showing import Showing
from storage.load import newest_of_each
from tests.visited import OUT, route


def rows(devices: list[int], times: list[int]) -> Positions:
    one = route(1, [OUT] * len(devices))
    return one.with_columns(device=np.array(devices), time=np.array(times))


def shown(waiting: Showing) -> dict[int, int]:
    newest = newest_of_each(waiting.rows())
    return dict(zip(newest.device.tolist(), newest.time.tolist(), strict=True))


@pytest.mark.parametrize("most", [8, 20])
def test_of_many_reports_the_newest_wait(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A day of one minute: memory stays, late rows hide nothing, and a failed showing has lost nothing."""
    monkeypatch.setattr(showing, "MOST_ROWS", most)
    random = np.random.default_rng(most)
    waiting, wanted = Showing(), dict[int, int]()
    for _ in range(200):
        n = int(random.integers(1, 9))
        devices, times = random.integers(1, 11, n).tolist(), random.integers(1, 10_000, n).tolist()
        waiting.add(rows(devices, times))
        for device, time in zip(devices, times, strict=True):
            wanted[device] = max(time, wanted.get(device, 0))
        assert len(waiting) <= max(most, 2 * 10) + 8
        assert len(waiting.rows()) == len(waiting)
        assert shown(waiting) == wanted
    waiting.clear()
    assert len(waiting) == len(waiting.rows()) == 0


def test_terminals_beyond_the_bound_are_not_thinned_out_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every row is another terminal's, thinning out gains nothing and is not done at every commit."""
    monkeypatch.setattr(showing, "MOST_ROWS", 100)
    calls = 0

    def counted(positions: Positions) -> Positions:
        nonlocal calls
        calls += 1
        return newest_of_each(positions)

    monkeypatch.setattr(showing, "newest_of_each", counted)
    waiting = Showing()
    for first in range(1, 10_001, 10):
        waiting.add(rows(list(range(first, first + 10)), [1] * 10))
    assert len(waiting) == 10_000
    assert calls < 10


def test_a_clock_in_the_future_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quarantined rows wait for no map, whenever they are thinned out."""
    monkeypatch.setattr(showing, "MOST_ROWS", 1)
    waiting = Showing()
    mad = rows([1, 1], [10, 2_000_000_000_000_000])
    waiting.add(mad.with_columns(quality=np.array([0, Quality.FUTURE], np.uint16)))
    assert shown(waiting) == {1: 10}
