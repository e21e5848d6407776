"""A terminal whose power is cut inside a zone, from its reports to the API, through edge, log, worker and database."""

from __future__ import annotations

import time

import pytest

from tests.e2e.test_alarm import INSIDE, join, town

pytestmark = pytest.mark.e2e
__all__ = ["town"]
PHONE, SECOND = "13800000001", 1_000_000


def test_a_power_cut_begins_and_ends(town, terminals):
    """One alarm for the bit in every report, ended by three reports without it."""
    one = join(terminals, town, PHONE)
    start = time.time_ns() // 1000 - 100 * SECOND

    def alarm(ended: bool) -> dict:
        end = time.monotonic() + 20
        while True:
            found = town.get("/api/v1/alarms", kind="power_cut")["items"]
            if found and (found[0]["exited_at"] is not None) == ended:
                assert len(found) == 1
                return found[0]
            assert time.monotonic() < end, found
            time.sleep(0.1)

    for i in range(4):
        assert one.report(*INSIDE, start + 10 * i * SECOND, alarm=1 << 8) == 0
    begun = alarm(ended=False)
    assert (begun["detail"]["bits"], begun["terminal_phone"]) == ([8], PHONE)
    for i in range(4, 8):
        assert one.report(*INSIDE, start + 10 * i * SECOND) == 0
    assert alarm(ended=True)["exit_reason"] == "cleared"
