"""Swaps: two terminals of one identity that replace each other are found out, and their rows marked."""

from __future__ import annotations

import time

import numpy as np

from columns.positions import Quality
from gateway.edge import swaps as swaps_module
from gateway.edge.registry import Registry
from gateway.edge.swaps import MOST, QUARANTINE_US, WITHIN_US, Swaps
from tests.plugins.edge import KEY

A, B = "13811111111", "13822222222"
START = 1_743_125_415_000_000


def swaps(tmp_path) -> Swaps:
    return Swaps(Registry(tmp_path / "r.json", KEY, enrol=True))


def events(one: Swaps, *times: int, identity: str = A) -> list[list[str]]:
    return [[record["event"] for record in one.note(identity, "0138", "2013", at)] for at in times]


def test_three_within_ten_minutes(tmp_path):
    """The third is a quarantine, with its end and number; while it lasts, further swaps are recorded alone."""
    one = swaps(tmp_path)
    times = [START, START + 1, START + WITHIN_US]
    assert events(one, *times) == [["replaced"], ["replaced"], ["replaced", "quarantined"]]
    assert one.disputed(A, START + WITHIN_US)
    assert not one.disputed(B, START)
    assert events(one, START + WITHIN_US + 1) == [["replaced"]]
    end = times[-1] + QUARANTINE_US
    assert one.disputed(A, end - 1)
    assert not one.disputed(A, end)


def test_reconnects_are_none(tmp_path):
    """Two in ten minutes, for ever, are bad luck; the window is what counts, and each terminal for itself."""
    one = swaps(tmp_path)
    gap = WITHIN_US // 2 + 1
    assert events(one, *[START + i * gap for i in range(20)]) == [["replaced"]] * 20
    for i in range(MOST - 1):
        events(one, START + i, identity=B)
    assert not one.disputed(B, START + MOST)


def test_what_is_recorded(tmp_path):
    """Who, until when, and how many."""
    one = swaps(tmp_path)
    events(one, START, START + 1)
    replaced, quarantined = one.note(A, "013811111111", "2019", START + 2)
    who = {"time": START + 2, "identity": A, "phone": "013811111111", "edition": "2019"}
    assert replaced == {"event": "replaced", **who}
    assert quarantined == {"event": "quarantined", **who, "swaps": 3, "until": START + 2 + QUARANTINE_US}


def test_staff_end_it(tmp_path):
    """The registry's quarantine counts as ours does; released, three new swaps begin another."""
    one = swaps(tmp_path)
    events(one, START, START + 1, START + 2)
    one.settle({A})
    assert not one.disputed(A, START + 3)
    assert events(one, START + 3, START + 4) == [["replaced"], ["replaced"]]
    one._registry.replace(1, [[B, 1, "registered", "3-A", "strict", START + 50]])
    assert one.disputed(B, START + 49)
    assert not one.disputed(B, START + 50)


def test_memory_is_bounded(tmp_path, monkeypatch):
    """The terminals that swapped longest ago are forgotten first."""
    monkeypatch.setattr(swaps_module, "_MOST_TERMINALS", 5)
    one = swaps(tmp_path)
    for i in range(100):
        events(one, START + i, identity=str(i))
    assert list(one._times) == ["95", "96", "97", "98", "99"]


async def test_both_terminals_rows_are_disputed(edge_bench):
    """From the third swap on every row is marked, whoever of the two sends it; before it none is."""
    bench = edge_bench()
    callers = [await bench.known(A)]
    for i in range(MOST):
        callers[-1].say(callers[-1].report(100 - i))
        await bench.settle()
        callers.append(await bench.known(A))
        assert callers[-2].transport.aborted == 1
        callers[-2].lost()
    callers[-1].say(callers[-1].report(1))
    await bench.settle()
    marks = np.concatenate([batch.positions.quality for batch in bench.log.batches]) & Quality.DISPUTED
    assert (marks > 0).tolist() == [False] * MOST + [True]
    recorded = [record["event"] for record in bench.log.records if record["event"] != "authenticated"]
    assert recorded == ["replaced"] * MOST + ["quarantined"]
    assert all(record["received"] <= time.time_ns() // 1000 for record in bench.log.records)


async def test_a_reconnect_on_the_same_connection_is_no_swap(edge_bench):
    """Authenticating again where one already speaks replaces nobody."""
    bench = edge_bench()
    one = await bench.known(A)
    for _ in range(10):
        one.say(one.authenticate())
        await bench.settle()
    assert {record["event"] for record in bench.log.records} == {"authenticated"}
    assert not bench.hub.swaps.disputed(A, time.time_ns() // 1000)
