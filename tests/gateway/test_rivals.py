"""One terminal, several sessions: the newest wins on whichever edge, and every edge counts every swap."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import orjson
import pytest

from columns.identity import device_of
from columns.positions import Quality
from gateway.edge.rivals import SUBJECT
from gateway.edge.swaps import MOST, QUARANTINE_US
from tests.plugins.edge import Bench

A, B, C = "13811111111", "13822222222", "13833333333"


@pytest.fixture
def edges(tmp_path):
    """Makes several benches that hear one another, as over NATS; ``pass_on`` delivers what waits."""

    def make(count: int = 2):
        found = []
        for i in range(count):
            (tmp_path / str(i)).mkdir()
            found.append(Bench(tmp_path / str(i)))

        async def pass_on() -> None:
            while any(one.published for one in found):
                for one in found:
                    said, one.published[:] = one.published[:], []
                    for subject, data in said:
                        assert subject == SUBJECT
                        for other in found:  # the sender hears itself, too
                            await other.hub.rivals.hear(SimpleNamespace(data=data))

        return found, pass_on

    return make


def recorded(bench, event: str) -> list[str]:
    return [r["identity"] for batch in bench.log.batches for r in batch.sessions if r["event"] == event]


async def test_who_comes_to_another_edge_is_closed_here(edges):
    """And only there; a guest of a platform is ended alone; who was never here is nobody's business."""
    (one, two), pass_on = edges()
    caller, other = await one.known(A), await one.known(B)
    other.say(other.authenticate(C))
    await one.settle()
    await pass_on()
    assert (caller.transport.aborted, other.transport.aborted) == (0, 0), "what an edge said itself is not heard"
    await two.known(A)
    await two.known(C)
    await pass_on()
    await one.settle()
    assert (caller.transport.aborted, other.transport.aborted) == (1, 0)
    caller.lost()
    assert list(one.sessions.by_device) == [device_of(B)]
    assert recorded(one, "replaced") == [A, C]
    assert recorded(two, "replaced") == []


async def test_swaps_between_edges_are_counted_everywhere(edges):
    """Two terminals in turn on three edges: the third swap puts them into quarantine, once, and the open session is marked."""
    benches, pass_on = edges(3)
    callers: list = []
    for i in range(MOST + 1):
        where = benches[i % 3]
        callers.append(await where.known(A))
        await pass_on()
        for caller in callers[:-1]:
            assert caller.transport.aborted == 1
            caller.lost()
        for bench in benches:
            await bench.settle()
    assert sum(len(recorded(bench, "replaced")) for bench in benches) == MOST
    assert sum(len(recorded(bench, "quarantined")) for bench in benches) == 1
    now = time.time_ns() // 1000
    assert all(bench.hub.swaps.disputed(A, now) for bench in benches)
    slot = where.sessions.by_device[device_of(A)]
    assert where.sessions.mark[slot] == Quality.DISPUTED


async def test_a_quarantine_ends_by_itself(edge_bench):
    """After a day the session that is open is believed again, without a login."""
    bench = edge_bench()
    for _ in range(MOST + 1):
        one = await bench.known(A)
    slot, now = one.connection.slot, time.time_ns() // 1000
    bench.hub.rivals.sweep(now)
    assert bench.sessions.mark[slot] == Quality.DISPUTED
    bench.hub.rivals.sweep(now + QUARANTINE_US + 1)
    assert bench.sessions.mark[slot] == 0


async def test_withdrawn_terminals_are_closed(edge_bench):
    """Whose code is no longer good is closed; others, and those who were never here, are left alone."""
    bench = edge_bench()
    revoked, other = await bench.known(A), await bench.known(B)
    bench.hub.rivals.withdrawn({A, C})
    assert (revoked.transport.aborted, other.transport.aborted) == (1, 0)
    assert bench.hub.counts["closed_withdrawn"] == 1


async def test_a_quarantine_that_an_edge_started_with_can_be_ended(tmp_path):
    """Known from the copy on disk, marked, and released by staff: the session that is open is marked no more."""
    until = time.time_ns() // 1000 + 60_000_000
    entry = [A, 1, "registered", "3-A", "strict"]
    (tmp_path / "registry.json").write_text(json.dumps({"version": 1, "terminals": [[*entry, until]], "vacant": []}))
    bench = Bench(tmp_path)
    caller = await bench.known(A)
    slot = caller.connection.slot
    assert bench.sessions.mark[slot] == Quality.DISPUTED
    bench.hub.rivals.withdrawn(bench.registry.replace(2, [[*entry, None]]))
    assert (bench.sessions.mark[slot], caller.transport.aborted) == (0, 0)
    bench.hub.rivals.withdrawn(bench.registry.replace(3, [[*entry, until]]))
    assert bench.sessions.mark[slot] == Quality.DISPUTED


async def test_what_is_told(edge_bench):
    """One message for a linger, with the edge's boot."""
    bench = edge_bench()
    one, two = bench.caller(A), bench.caller(B)
    one.say(one.authenticate())
    two.say(two.authenticate())
    await bench.settle()
    ((subject, data),) = bench.published
    assert subject == SUBJECT
    assert orjson.loads(data) == {
        "boot": bench.hub.appender.boot, "devices": [device_of(A), device_of(B)], "swapped": [],
    }  # fmt: skip
