"""The worker's benchmark decides what a worker decides, and adds up what it measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.city import FIRST_PHONE, Terminals, ruleset
from benchmarks.worker import BAR, PARTS, STAGES, Case, Worker, log_of, measure, table
from columns.batch import decode
from gateway.worker.rules import Rules

CASE = Case("few", 50, 100.0, 60, 20, 6)


@pytest.fixture(scope="module")
def rules():
    return Rules(1, ruleset(1))


def test_a_log_is_what_edges_append(rules) -> None:
    """Gathers of whole messages, numbered on from those before them; every terminal in turn, times from the rate."""
    before, gathers = log_of(replace(CASE, terminals=1000, rate=1000.0), np.random.default_rng(1), FIRST_PHONE)
    assert [len(messages) for messages in before] == [1, 1]
    assert [number for messages in gathers for number, _ in messages] == list(range(3, 3 + 18))
    read = [decode(data) for messages in (*before, *gathers) for _, data in messages]
    assert [batch.number for batch in read] == list(range(1, 21))
    devices = np.concatenate([batch.positions.device for batch in read])
    assert len(np.unique(devices[:1000])) == 1000
    assert (devices[1000:2000] == devices[:1000]).all()
    times = np.concatenate([batch.positions.time for batch in read])
    assert (times % 1_000_000 == 0).all()
    assert set(np.diff(times[::1000])) == {1_000_000}


def test_terminals_stray_and_say_how_far_they_went() -> None:
    """Metres from one report to the next, also within a batch; no two reports have the same items."""
    terminals = Terminals(np.random.default_rng(1), FIRST_PHONE, 10, 5.0)
    found = terminals.report(40)
    steps = np.abs(np.diff(found.lon.reshape(4, 10), axis=0))
    assert (steps < 6e-5).all()
    assert (steps > 0).all()
    assert len({found.extras[i] for i in range(40)}) == 40
    again = Terminals(np.random.default_rng(1), FIRST_PHONE, 10, 5.0).report(40)
    assert (again.lon == found.lon).all()


def test_every_report_is_measured_once(rules) -> None:
    """All rows of the measured gathers, none of those before; stages add up, and each has cost something."""
    done = measure(replace(CASE, terminals=1000), rules, seed=1)
    assert done.reports == 60 * 6
    assert done.us == pytest.approx(sum(done.stages.values()), abs=0.01)
    assert set(done.stages) == set(STAGES)
    assert set(done.parts) == set(PARTS)
    assert done.stages["gather"] > 0
    assert done.stages["decide"] > 0
    json.dumps(done.to_json())


def test_a_message_that_is_read_again_costs_no_decision(rules) -> None:
    """Batches and reports that were seen before are no news here either."""
    _, gathers = log_of(replace(CASE, known=False), np.random.default_rng(1), FIRST_PHONE)
    worker = Worker(rules)
    assert len(worker.take(gathers[0])) == 60
    assert len(worker.take([*gathers[0], *gathers[1]])) == 60


def test_a_bar_is_met_at_its_own_value(rules) -> None:
    """300,000 reports per CPU second are met, one less is missed; the table says which."""
    done = measure(replace(CASE, known=False), rules, seed=1)
    assert f"{BAR:,}: met" in table([replace(done, us=1e6 / BAR)])
    assert "MISSED" in table([replace(done, us=1e6 / BAR + 0.01)])
