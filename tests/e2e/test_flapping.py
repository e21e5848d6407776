"""One terminal that flaps between two edges, and an edge that stalls and delivers late: one row each, one alarm."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from gateway.config import load
from gateway.nodes import database_url
from protocols.jt808 import terminal
from tests.e2e.test_alarm import INSIDE, OUTSIDE, join, town
from tests.plugins.terminals import Terminal

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.parametrize("gateway", [{"edges": "2"}], indirect=True, scope="module"),
]
__all__ = ["town"]
FLAPPING, STALLED, SECOND = "13800000002", "13800000001", 1_000_000


def edge_of(town, one: Terminal) -> int:
    """The pid of the edge at the other end of this connection."""
    mine = f"{one.socket.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, _, _, _, _, inode, *_ = line.split()
        if local.endswith(f":{town.jt808_port:04X}") and remote.endswith(f":{mine}"):
            for pid in town.pids("edge"):
                for file in Path(f"/proc/{pid}/fd").iterdir():
                    if os.path.exists(file) and os.readlink(file) == f"socket:[{inode}]":  # noqa: PTH110, PTH115
                        return pid
    return 0


def connect(town, code: str, phone: str, other_than: int) -> Terminal:
    """Authenticated, over an edge other than that one; which one gets a connection is the kernel's choice."""
    end = time.monotonic() + 30
    while True:
        one = Terminal(town.jt808_port, phone)
        one.code = code
        time.sleep(0.05)
        if edge_of(town, one) not in {0, other_than}:
            assert one.authenticate() == 0
            return one
        one.close()
        assert time.monotonic() < end, "one edge gets every connection"


def books(town, phone: str) -> tuple[int, int, list[str | None]]:
    """(rows, rows that differ, page reasons of its alarms)."""
    with psycopg.connect(database_url(load(None, town.environment), "owner")) as connection:
        query = "SELECT count(*), count(DISTINCT p.time) FROM position p JOIN terminal t ON t.device = p.terminal WHERE t.phone = %s"
        rows, differ = connection.execute(query, [phone]).fetchone()
        query = (
            "SELECT page_reason FROM alarm a JOIN terminal t USING (device) WHERE t.phone = %s AND kind = 'zone_entry'"
        )
        return rows, differ, [reason for (reason,) in connection.execute(query, [phone]).fetchall()]


def settled(town, phone: str, wanted: tuple) -> tuple:
    end = time.monotonic() + 15
    while (found := books(town, phone)) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return found


def test_from_edge_to_edge(town, terminals):
    """Every report on another edge than the one before, and sent again there: one row each, one alarm, one session."""
    first = join(terminals, town, FLAPPING)
    start = (time.time_ns() // 1000 - 200 * SECOND) // SECOND * SECOND
    places = [OUTSIDE, INSIDE, INSIDE, INSIDE, *[INSIDE] * 8]
    one, edges = first, [edge_of(town, first)]
    for n, place in enumerate(places):
        assert one.report(*place, start + n * 10 * SECOND) == 0
        another = connect(town, first.code, FLAPPING, edges[-1])
        edges.append(edge_of(town, another))
        assert another.report(*place, start + n * 10 * SECOND) == 0, "the acknowledgement might have been lost"
        with pytest.raises(ConnectionError):
            one.read()
        one.close()
        one = another
    one.close()
    assert len(set(edges)) == 2
    assert settled(town, FLAPPING, (len(places), len(places), ["prompt"])) == (len(places), len(places), ["prompt"])
    state = town.get("/api/v1/terminals", state="quarantined")["items"]
    assert [item["phone"] for item in state] == [FLAPPING], "two devices may speak as this terminal: staff are told"


def test_an_edge_that_stalls(town, terminals):
    """What it was sent before it stalled comes after what the terminal reported elsewhere: one row each, one alarm."""
    stalled = join(terminals, town, STALLED)
    start = (time.time_ns() // 1000 - 200 * SECOND) // SECOND * SECOND
    edge = edge_of(town, stalled)
    bodies = [terminal.location(start + n * 10 * SECOND, *place) for n, place in enumerate([OUTSIDE, *[INSIDE] * 5])]
    assert stalled.ask(0x0200, bodies[0]).result == 0
    os.kill(edge, signal.SIGSTOP)
    try:
        stalled.socket.sendall(b"".join(stalled.frame(0x0200, body) for body in bodies[1:3]))
        one = connect(town, stalled.code, STALLED, edge)
        for body in bodies[1:]:
            assert one.ask(0x0200, body).result == 0
        time.sleep(1)
    finally:
        os.kill(edge, signal.SIGCONT)
    assert one.ask(0x0200, bodies[-1]).result == 0
    time.sleep(1)
    assert settled(town, STALLED, (6, 6, ["prompt"])) == (6, 6, ["prompt"])
    one.close()
