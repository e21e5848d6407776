"""The benchmark's history answers as the database does, and lets late reports be judged."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.city import FIRST_PHONE, START, Terminals, ruleset
from benchmarks.history import History, done
from benchmarks.worker import Worker
from columns.batch import Batch, DeadLetters, encode
from columns.positions import Positions
from gateway.worker.rules import Rules
from storage.work import VisitChanges, Work

SECOND = 1_000_000


@pytest.fixture(scope="module")
def rules():
    return Rules(1, ruleset(1))


def work(positions=None, visits=None):
    return Work(partition=0, stream="", previous=0, sequence=1, epoch=1, boots={},
                positions=Positions.empty() if positions is None else positions, visits=visits)  # fmt: skip


def test_fixes_are_the_terminal_s_own_in_order() -> None:
    """Before a time the latest, from it on the first, ascending; of no other terminal; none where there are none."""
    reports = Terminals(np.random.default_rng(1), FIRST_PHONE, 10, 10.0).report(100)
    history = History()
    for rows in (np.arange(50, 100), np.arange(50)):  # as they were stored, not as they were sent
        history.store(work(reports.take(rows)))
    device, at = int(reports.device[3]), START + 5 * SECOND
    before = done(history.fixes_before(device, at, 3))
    assert (before.time // SECOND - START // SECOND).tolist() == [2, 3, 4]
    after = done(history.fixes_from(device, at, 2))
    assert (after.time // SECOND - START // SECOND).tolist() == [5, 6]
    assert set(before.device) == set(after.device) == {device}
    assert not len(done(history.fixes_before(device, START, 3)))
    assert not len(done(history.fixes_before(1, at, 3)))
    assert history.spent > 0


def test_presences_are_those_that_reach_so_far() -> None:
    """Open ones and those that end at or after the time, as they are now; what is gone is gone."""

    def presence(zone, began, ended):
        return {"device": 1, "zone": zone, "began_at": began, "ended_at": ended}

    history = History()
    rows = [presence(2, 10, None), presence(1, 10, 20), presence(3, 5, 12), presence(4, 1, None)]
    history.store(work(visits=VisitChanges(form=None, presences=rows)))
    history.store(work(visits=VisitChanges(form=None, presences=[presence(2, 10, 15)], gone=[(1, 4, 1)])))
    assert done(history.presences(1, 13)) == [rows[1], presence(2, 10, 15)]
    assert done(history.presences(1, 16)) == [rows[1]]
    assert done(history.presences(2, 0)) == []


def test_a_late_report_is_judged_with_what_is_stored(rules) -> None:
    """A terminal inside a zone, whose fixes of a minute come after newer ones: the worker asks the history, and the row counts."""
    inside = rules.ruleset.fence.zones[0].geometry.representative_point()
    terminals = Terminals(np.random.default_rng(1), FIRST_PHONE, 1, 0.1)
    reports = terminals.report(60)
    n = len(reports)
    reports = reports.with_columns(received=reports.time + SECOND, lon=np.full(n, inside.x), lat=np.full(n, inside.y))
    away = reports.with_columns(lon=np.full(n, inside.x + 0.5))
    worker = Worker(rules)
    parts = [reports.take(np.arange(30)), reports.take(np.arange(36, n)), away.take(np.arange(30, 36))]
    for number, part in enumerate(parts, 1):
        worker.take([(number, encode(Batch("bench", number, "jt808", part, DeadLetters.empty())))])
    assert worker.reports == n
    assert worker.late == 1
    assert worker.spent["late"] > 0
