"""The soak finds growth, and is not fooled by a restart or by memory that is shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks.loadgen import Load
from benchmarks.processes import Process, by_name, family, machine_cpu_s, name_of
from benchmarks.soak import BAR_MB, Growth, Look, Soaked, growth, look, passing, table

EDGE, WORKER = (10, "edge"), (11, "worker")


def looks(*sizes, key=EDGE):
    return [Look(float(minute), {key: size}) for minute, size in enumerate(sizes)]


def test_growth_counts_from_the_end_of_the_warm_up() -> None:
    """What a process takes before is its size; the largest growth comes first."""
    rows = [Look(float(m), {EDGE: 100.0 + 10 * min(m, 10), WORKER: 50.0 + m}) for m in range(61)]
    found = growth(rows, 10.0)
    assert [(each.name, each.pid) for each in found] == [("worker", 11), ("edge", 10)]
    assert found[1].grown == 0
    assert found[0].grown == pytest.approx(45, abs=1)  # medians of the six looks at either end
    assert not found[0].met


def test_one_look_is_no_growth() -> None:
    """A peak at the end is seen in the most, and a median goes over it."""
    (found,) = growth(looks(*[100.0] * 30, 180.0), 0.0)
    assert found.grown == 0
    assert found.most == 180.0


def test_a_process_that_was_started_again_is_named() -> None:
    """It has no growth, and would look as if it had none."""
    rows = [Look(0.0, {EDGE: 1.0, WORKER: 1.0}), Look(1.0, {EDGE: 1.0, (12, "worker"): 1.0})]
    assert [each.name for each in growth(rows, 0.0)] == ["edge"]
    assert passing(rows, 0.0) == ["worker (11)", "worker (12)"]
    assert passing(rows, 1.0) == []
    assert growth([], 0.0) == []
    done = Soaked(Load(1, 1.0, 0, 0, 1.0, 1.0, 1.0), 1, rows, 0.0)
    assert done.passing == ["worker (11)", "worker (12)"]
    json.dumps(done.to_json())


def test_stored_must_agree_with_acknowledged() -> None:
    """All that was acknowledged, and at most what was under way."""
    load = Load(5000, 1.0, 0, 0, 1.0, 1.0, 1.0)
    assert Soaked(load, 5000, [], 0.0).agrees
    assert Soaked(load, 6000, [], 0.0).agrees
    assert not Soaked(load, 4999, [], 0.0).agrees
    assert not Soaked(load, 6001, [], 0.0).agrees


def test_a_bar_is_met_at_its_own_value() -> None:
    """16 MB are met, more is missed; the table says which."""
    text = table([Growth("edge", 10, 100.0, 100.0 + BAR_MB, 120.0), Growth("worker", 11, 1.0, 17.1, 17.1)], 10, 60)
    assert "| edge (10) | 100.0 MB | 116.0 MB | 120.0 MB | +16.0 MB: met |" in text
    assert "+16.1 MB: MISSED" in text


@pytest.mark.parametrize(("command", "name"), [
    ("/venv/bin/python /venv/bin/lezgate edge", "edge"),
    ("/venv/bin/python /venv/bin/lezgate worker --x", "worker"),
    ("postgres: lezgate_worker lezgate [local] idle", "postgres"),
    ("/lib/pginstall/bin/postgres -D /tmp/data/cluster", "postgres"),
    ("/venv/bin/nats-server -c /tmp/nats.conf", "nats-server"),
    ("", "?"),
])  # fmt: skip
def test_a_process_has_the_name_of_its_part(command, name) -> None:
    """A subcommand, PostgreSQL whatever it does, or the program."""
    assert name_of(command) == name


def test_cpu_is_added_up_by_name() -> None:
    """Between two looks; a process that is new counts whole, one that ended not at all."""
    before = {
        1: Process("postgres", "", 5.0, 0, 0),
        2: Process("edge", "", 1.0, 0, 0),
        3: Process("api", "", 9.0, 0, 0),
    }
    after = {
        1: Process("postgres", "", 6.0, 0, 0),
        4: Process("postgres", "", 0.5, 0, 0),
        2: Process("edge", "", 3.0, 0, 0),
    }
    assert by_name(before, after) == {"edge": 2.0, "postgres": 1.5}


def test_the_machine_is_as_busy_as_this_process_makes_it() -> None:
    """Work of 0.2 s here is at least nearly as much there: the kernel counts in ticks."""
    before, until = machine_cpu_s(), time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert machine_cpu_s() - before > 0.1


def test_descendants_are_found_with_what_they_use() -> None:
    """A child of a child, by pid; its own memory is what it filled."""
    inner = "import time; held = bytearray(50_000_000); print('up', flush=True); time.sleep(60)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            found = family(process.pid)
            (child,) = (pid for pid in found if pid != process.pid)
            assert found[child].own_kb > 50_000
            assert found[process.pid].cpu_s >= 0
            assert look(found, 1.0).own_mb[child, found[child].name] > 48
            assert os.getpid() not in found
        finally:
            for pid in family(process.pid):
                os.kill(pid, 9)
