"""A rolling restart under load: every process is replaced, and acknowledgements pause for 5 s at most."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tests.e2e.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
PROMISE_S = 5.0
PARTS = ("edge", "worker", "api", "nats-server", "postgres")


def test_every_process_is_replaced(gateway_over, tmp_path, capsys):
    """After SIGHUP no process is the one it was but the supervisor; nothing is lost, and nobody waits for long."""
    gateway = gateway_over(edges="2", workers="2")
    fleet = Fleet(gateway, tmp_path, 900, pace_s=0.05)  # a slow machine takes a minute
    fleet.start()
    before = {part: set(gateway.pids(part)) for part in PARTS}
    begun = time.monotonic()
    os.kill(gateway.process.pid, signal.SIGHUP)
    log = gateway.data / "serve.log"
    while "rolling restart done" not in log.read_text():
        assert "rolling restart ends" not in log.read_text()
        assert time.monotonic() - begun < 90, log.read_text()[-3000:]
        time.sleep(0.1)
    took = time.monotonic() - begun
    fleet.wait(50)
    gap = fleet.longest_gap_s(begun)
    fleet.finish()
    for part, old in before.items():
        new = set(gateway.pids(part))
        assert len(new) == len(old)
        assert not new & old, f"{part} was not replaced"
    figures = fleet.audit()
    with capsys.disabled():
        sys.stdout.write(f"\nrolling restart in {took:.1f} s, longest gap {gap:.2f} s, {figures}\n")
    assert gap <= PROMISE_S
    assert fleet.longest_wait_s <= PROMISE_S
