"""kill -9 of every part in turn under load: every acknowledged report is in the database exactly once."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from gateway.config import load
from gateway.nodes import database_url
from protocols.jt808 import terminal
from tests.plugins.terminals import Terminal

TERMINALS = 12
PARTS = ("edge", "worker", "nats-server", "postgres", "api")


class Reporter(threading.Thread):
    """Reports as fast as it is acknowledged; what is not acknowledged is sent again, as the standard says."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(daemon=True)
        self.phone = f"1370000{number:04d}"
        self.port = port
        self.acknowledged: set[int] = set()
        self.resent = 0
        self.stopping = False
        self.failure: Exception | None = None
        self._base = 1_700_000_000_000_000

    def run(self) -> None:
        n = 0
        one = None
        code = ""
        while not self.stopping:
            try:
                if one is None:
                    one = Terminal(self.port, self.phone)
                    one.code = code
                    if not code:
                        one.register()
                        code = one.code
                    if one.authenticate() != 0:
                        raise ConnectionError("not authenticated")
                if one.report(116 + n * 1e-6, 36.5, self._base + n * 1_000_000) == 0:
                    self.acknowledged.add(n)
                    n += 1
            except (OSError, AssertionError):
                self.resent += 1
                if one is not None:
                    one.close()
                one = None
                time.sleep(0.05)
        if one is not None:
            one.close()


@pytest.mark.e2e
@pytest.mark.timeout(240)
@pytest.mark.parametrize("gateway", [{"enrolment": "open"}], indirect=True, scope="module")
def test_kill_each_in_turn(gateway):
    """No acknowledged report is lost, none is stored twice, and the gateway heals by itself."""
    reporters = [Reporter(gateway.jt808_port, i) for i in range(TERMINALS)]
    for one in reporters:
        one.start()
    time.sleep(1)
    for part in PARTS:
        before = sum(len(one.acknowledged) for one in reporters)
        gateway.kill(part)
        time.sleep(1.5)
        gateway.wait_ready()
        end = time.monotonic() + 30
        while sum(len(one.acknowledged) for one in reporters) < before + 10 * TERMINALS:
            assert time.monotonic() < end, f"no acknowledgements after the kill of {part}"
            time.sleep(0.1)
    for one in reporters:
        one.stopping = True
    for one in reporters:
        one.join(30)
    gateway.stop()  # and a clean stop loses nothing either
    gateway.start()
    url = database_url(load(None, gateway.environment), "owner")
    acknowledged = {(one.phone, n) for one in reporters for n in one.acknowledged}
    end = time.monotonic() + 20
    while True:
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT t.phone, (extract(epoch FROM p.time)::bigint - 1700000000) FROM position p"
                " JOIN terminal t ON t.device = p.terminal"
            ).fetchall()
            counters = connection.execute("SELECT sum(stored), sum(duplicate) FROM log_offset").fetchone()
        stored = {(phone, int(n)) for phone, n in rows}
        if acknowledged <= stored or time.monotonic() > end:
            break
        time.sleep(0.2)
    assert not acknowledged - stored, f"{len(acknowledged - stored)} acknowledged reports lost"
    assert len(rows) == len(stored), "a report is stored twice"
    assert counters[0] == len(rows), "the counter of stored reports is the number of rows"
    # Unacknowledged ones may be stored: their terminals did not learn it in time.
    assert len(stored - acknowledged) <= TERMINALS
    assert sum(one.resent for one in reporters) > 0, "nothing was interrupted: the test tested nothing"


def test_the_model_report_is_unique():
    """The load above makes reports that differ, or 'exactly once' would be easy."""
    bodies = {terminal.location(1_700_000_000_000_000 + n * 1_000_000, 116 + n * 1e-6, 36.5) for n in range(100)}
    assert len(bodies) == 100
