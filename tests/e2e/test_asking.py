"""A terminal that reports once a minute is asked where it is as soon as a fix of it lies in a zone, and its answer decides."""

from __future__ import annotations

import time

import pytest

from protocols.jt808 import framing, intake, terminal
from tests.e2e.test_alarm import INSIDE, MACHINES, OUTSIDE, Listener, join
from tests.town import found

pytestmark = pytest.mark.e2e

SECOND = 1_000_000
SLOW, FAST = "13800000002", "13800000001"


@pytest.fixture(scope="module")
def town(gateway, tmp_path_factory):
    """The zone asks slow terminals, as zones do that say nothing of it."""
    found(gateway, tmp_path_factory.mktemp("town"), MACHINES)
    return gateway


def question(one, seconds: float):
    """The first 0x8201 that this terminal hears within so many seconds, or None."""
    end, left = time.monotonic() + seconds, b""
    while time.monotonic() < end:
        one.socket.settimeout(max(0.001, end - time.monotonic()))
        try:
            data = one.socket.recv(65536)
        except TimeoutError:
            return None
        assert data, "closed by the gateway"
        whole, left = framing.split(left, data)
        packets = intake.read([whole], 0).packets if whole else ()
        for row in range(len(packets)):
            if packets.message[row] == 0x8201:
                return packets.packet(row)
    return None


def drive_in(one, interval_s: int) -> None:
    """Two fixes outside and one inside, which is of now."""
    now = time.time_ns() // 1000
    for place, ago in ((OUTSIDE, 2), (OUTSIDE, 1), (INSIDE, 0)):
        assert one.report(*place, now - ago * interval_s * SECOND) == 0


def test_a_slow_terminal_is_asked(town, terminals):
    """疑似进入 at the fix, then 0x8201; 0x0201 is stored as one that was asked for, and makes the alarm."""
    one = join(terminals, town, SLOW)
    listener = Listener(town)
    begin = time.monotonic()
    drive_in(one, 60)
    candidate = listener.wait("terminal", 5, SLOW)
    assert candidate is not None
    asked = question(one, 10)
    assert asked is not None, "never asked"
    assert (asked.identity, asked.edition, asked.body) == (SLOW, "2013", b"")
    assert time.monotonic() - begin < 10
    now = time.time_ns() // 1000
    lon, lat = 116.0105, INSIDE[1]  # 45 m on
    one.socket.sendall(one.frame(0x0201, asked.serial.to_bytes(2, "big") + terminal.location(now, lon, lat)))
    seen = listener.wait("alarm", 5, SLOW)
    assert seen is not None, "the answer decided nothing"
    listener.stop()
    rows = town.get(f"/api/v1/terminals/{SLOW}/track", purpose="test")["items"]
    assert [(row["longitude"], row["source"]) for row in rows if row["source"] != "live"] == [(lon, "query")]
    assert question(one, 3) is None, "it has been answered"


def test_a_terminal_that_soon_reports_is_not(town, terminals):
    """Its next report comes within 30 s: it is shown as a candidate, and not asked."""
    one = join(terminals, town, FAST)
    listener = Listener(town)
    drive_in(one, 10)
    assert listener.wait("terminal", 5, FAST) is not None
    assert question(one, 4) is None
    listener.stop()
