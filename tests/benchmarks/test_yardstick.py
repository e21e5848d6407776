"""The yardstick builds, measures, and says what it measured; the bars judge as written."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.bars import POINTS, Cost, by_process, judge, markdown, table
from benchmarks.machine import describe, fsync_ms
from benchmarks.serving import free_port
from geofence.zones import parse_feature

YARDSTICK = Path(__file__).resolve().parents[2] / "benchmarks" / "yardstick"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the yardstick is C: install gcc and libc6-dev")

SUMMARY = {
    "limit_us": 4.0, "server_us": 21.0, "ratio": 5.25, "rate": 40_000, "ack_p50_ms": 20.0, "ack_p99_ms": 45.0, "bad": 0,
    "by": {"python lezgate edge": 8.0, "postgres": 6.0, "python lezgate worker": 4.0, "nats-server": 3.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yardstick")
    for name in ("limit", "loadgen"):
        source = YARDSTICK / f"{name}.c"
        command = [
            "gcc",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wno-sign-compare",
            "-Werror",
            "-o",
            str(folder / name),
            str(source),
            "-lm",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@needs_gcc
@pytest.mark.parametrize("rate", ["0", "500"])
def test_the_floor_answers_the_load(programs, rate) -> None:
    """Both C programs together: every report is acknowledged, none badly."""
    port = str(free_port())
    with subprocess.Popen([programs / "limit", port]) as limit:
        try:
            time.sleep(0.3)
            command = [programs / "loadgen", port, "20", "2", "0.3", "0", rate]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        finally:
            limit.kill()
    assert "bad=0 other=0" in done.stdout
    assert int(done.stdout.split("msgs=")[1].split()[0]) > 50
    assert "all 20 authed" in done.stderr


@needs_gcc
def test_ratio_prints_a_summary() -> None:
    """The floor measured against itself: a ratio near one and one JSON line at the end."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", _ECHO, str(YARDSTICK), str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = process.stdout.readline().decode().strip()
        command = [sys.executable, YARDSTICK / "ratio", "--port", str(port), "--pid", pid, "--conns", "20"]
        command += ["--seconds", "0.5", "--runs", "1", "--limit-port", str(free_port())]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        finally:
            process.kill()
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert set(SUMMARY) <= set(summary)
    assert summary["bad"] == 0
    assert summary["limit_us"] > 0


# Builds the floor and runs it as the server under test.
_ECHO = """
import os, subprocess, sys, tempfile
folder = tempfile.mkdtemp()
subprocess.run(["gcc", "-O2", "-o", folder + "/limit", sys.argv[1] + "/limit.c"], check=True)
print(os.getpid(), flush=True)
os.execv(folder + "/limit", ["limit", sys.argv[2]])
"""


def test_the_world_imports(tmp_path) -> None:
    """Zones read, machines have the documented header, half the phones are left out, and the seed decides."""
    for name in ("a", "b"):
        command = [sys.executable, YARDSTICK / "world", tmp_path / name, "--machines", "100", "--zones", "12"]
        subprocess.run(command, check=True, capture_output=True)
    a, b = tmp_path / "a", tmp_path / "b"
    assert (a / "zones.geojson").read_bytes() == (b / "zones.geojson").read_bytes()
    features = json.loads((a / "zones.geojson").read_text())["features"]
    assert len([parse_feature(feature) for feature in features]) == 12
    rows = list(csv.DictReader((a / "machines.csv").read_text().splitlines()))
    assert len(rows) == 50
    assert {int(row["terminal_phone"]) % 2 for row in rows} == {0}


def test_bars_are_the_agreed_ones() -> None:
    """Closed loops by ratio to the floor, the open loop by microseconds; the stretch is a Go gateway that stores nothing."""
    assert [(p.window, p.rate, p.unit, p.edge, p.everything, p.stretch) for p in POINTS] == [
        (1, 0, "ratio", 2.2, 5.0, 3.3), (8, 0, "ratio", 3.0, 9.0, 9.0), (1, 5000, "us", 20.0, 39.0, 39.0),
    ]  # fmt: skip


def test_a_result_is_judged() -> None:
    """The edge is the process of that name; a bar is met at its own value and missed above."""
    result = judge(POINTS[0], SUMMARY)
    assert result.edge.us == 8.0
    assert result.edge.ratio == 2.0
    assert result.edge.met
    assert not result.everything.met
    assert judge(POINTS[2], SUMMARY).everything.met
    assert Cost(39.0, 9, 39.0, "us").met
    text = table([result])
    assert "bar 5x: MISSED, stretch 3.3x: missed" in text
    assert "bar 2.2x: met" in text
    assert "p99 45.0 ms (bar 50 ms: met)" in text
    assert "| 1 in flight: 40,000/s | 4.0 us |" in markdown([result])
    json.dumps(result.to_json())


def test_a_report_s_cost_is_told_by_process() -> None:
    """A row for every process of any point, the most expensive first, and what they come to beside the floor."""
    second = {**SUMMARY, "by": {"postgres": 9.0, "nats-server": 3.0}}
    text = by_process([judge(POINTS[0], SUMMARY), judge(POINTS[1], second)])
    assert text.splitlines()[0] == "| us of CPU per report | 1 in flight | 8 in flight |"
    assert text.splitlines()[2:] == [
        "| postgres | 6.0 | 9.0 |", "| edge | 8.0 |  |", "| nats-server | 3.0 | 3.0 |", "| worker | 4.0 |  |",
        "| **everything** | 21.0 | 21.0 |", "| the C floor | 4.0 | 4.0 |",
    ]  # fmt: skip


def test_numbers_have_provenance(tmp_path) -> None:
    """CPU, cores, Python, commit and seed are named; the disk is measured."""
    line = describe(7)
    for word in ("cores", "Python", "commit", "seed 7"):
        assert word in line
    p50, p99 = fsync_ms(tmp_path, times=20)
    assert 0 < p50 <= p99
