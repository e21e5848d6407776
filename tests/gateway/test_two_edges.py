"""One terminal and two edges, on a real log, with a real worker and database: whoever hears it, whenever it arrives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from columns.identity import device_of
from gateway.config import load
from gateway.edge.main import Edge
from gateway.nats_connection import connect
from protocols.jt808 import terminal as words
from tests.geofence.world import SECOND, at
from tests.plugins.edge import Caller, until
from tests.plugins.pipeline import LEZGATE
from tests.plugins.serve import free_port
from tests.plugins.terminals import Terminal
from tests.visited import IN, OUT, START, edit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.pipeline import Pipeline

KEY = "ab" * 16
FLAPS = 12
ROUTE = [OUT, OUT, IN, IN, IN, IN, OUT, OUT]
"""Half a minute apart: a visit, whose second and third fixes inside will be late."""


def places() -> list[tuple[int, float, float]]:
    lon, lat = at(*np.array(ROUTE, float).T)
    return [(START + i * 30 * SECOND, float(x), float(y)) for i, (x, y) in enumerate(zip(lon, lat, strict=True))]


def bind(pipeline: Pipeline, phone: str, number: str) -> int:
    """A machine that zone 1 does not allow, and this terminal on it; the machine's id."""
    ((machine,),) = edit(
        pipeline.database,
        "INSERT INTO machine (registration_number, machine_type, emission_stage, district)"
        " VALUES (%s, 'excavator', '2', '371502') RETURNING id",
        number,
    )
    edit(pipeline.database, "INSERT INTO terminal (device, phone) VALUES (%s, %s)", device_of(phone), phone)
    edit(
        pipeline.database, "INSERT INTO binding (device, machine, during) VALUES (%s, %s, '[2026-01-01,)')",
        device_of(phone), machine,
    )  # fmt: skip
    return int(machine)


class Process:
    """`lezgate edge` on a port of its own."""

    def __init__(self, pipeline: Pipeline, nats_port: int) -> None:
        self.jt808_port = free_port()
        pipeline.data.mkdir(exist_ok=True)
        password = pipeline.server.passwords["nats_edge"]
        environment = pipeline.environment("") | {
            "LEZGATE_NATS_URL": f"nats://edge:{password}@127.0.0.1:{nats_port}",
            "LEZGATE_JT808_PORT": str(self.jt808_port), "LEZGATE_ENROLMENT": "open", "LEZGATE_AUTH_KEY": KEY,
        }  # fmt: skip
        with (pipeline.data / f"edge-{self.jt808_port}.log").open("ab") as log:
            self.process = subprocess.Popen([LEZGATE, "edge"], env=environment, stdout=log, stderr=log)

    async def terminal(self, phone: str) -> Terminal:
        """One that is known; retried until the edge listens."""
        end = time.monotonic() + 30
        while True:
            try:
                one = Terminal(self.jt808_port, phone)
            except ConnectionRefusedError:
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            else:
                await asyncio.to_thread(one.join)
                return one

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def edges(pipeline: Pipeline) -> Iterator[Any]:
    made: list[Process] = []

    def make(nats_port: int) -> Process:
        made.append(Process(pipeline, nats_port))
        return made[-1]

    yield make
    for one in made:
        one.stop()


async def test_a_stalled_edges_old_batch(pipeline: Pipeline, edges: Any, chaos_link: Any) -> None:
    """An edge has taken two reports and is stopped (SIGSTOP) before the log has them; the terminal goes on at another, and
    sends the first of them again. Later the old batch arrives: every report is one row, and the visit is as it would be."""
    late, prompt = "13811111111", "13822222222"
    machines = [bind(pipeline, phone, number) for phone, number in ((late, "L"), (prompt, "P"))]
    link = chaos_link(("127.0.0.1", pipeline.server.port))
    stalled, other = edges(link.port), edges(pipeline.server.port)
    route = places()
    async with pipeline.partition():
        undisturbed = await other.terminal(prompt)
        for when, lon, lat in route:
            assert await asyncio.to_thread(undisturbed.report, lon, lat, when) == 0
        first = await stalled.terminal(late)
        for when, lon, lat in route[:3]:
            assert await asyncio.to_thread(first.report, lon, lat, when) == 0
        await pipeline.until_stored(len(route) + 3)
        link.hang()
        for when, lon, lat in route[3:5]:
            first.socket.sendall(first.frame(0x0200, words.location(when, lon, lat)))
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(first.read, 0.2) is None, "not on disk, not acknowledged"
        os.kill(stalled.process.pid, signal.SIGSTOP)
        second = await other.terminal(late)
        for when, lon, lat in [route[3], *route[5:]]:
            assert await asyncio.to_thread(second.report, lon, lat, when) == 0
        await pipeline.until_stored(2 * len(route) - 1)
        link.heal()
        os.kill(stalled.process.pid, signal.SIGCONT)
        await pipeline.until_stored(2 * len(route))
        await pipeline.until(lambda: pipeline.query("SELECT duplicate FROM log_offset") == [(1,)])
        visits = await pipeline.until(
            lambda: found if len(found := pipeline.query(
                "SELECT zone, entered_at, exited_at, confirmed_at, last_inside_at FROM visit WHERE merged_into IS NULL ORDER BY machine"
            )) == 2 else None
        )  # fmt: skip
        assert visits[0] == visits[1]
        assert visits[0][2] is not None, "it is over"
        alarms = pipeline.query(
            "SELECT machine, count(*) FROM alarm WHERE kind = 'zone_entry' GROUP BY machine ORDER BY machine"
        )
        assert alarms == [(machine, 1) for machine in machines]
        await until(lambda: _closed(first), 10)  # the newest session won
        for one in (undisturbed, first, second):
            one.close()


def _closed(one: Terminal) -> bool:
    try:
        one.read(0.01)
    except ConnectionError:
        return True
    return False


async def test_a_terminal_that_flaps_between_two_edges(pipeline: Pipeline, tmp_path: Any) -> None:
    """It authenticates now here, now there, and each time sends its last report again: one session at any time after the
    edges have told one another, one row for each report, and the swaps of both edges are counted together."""
    phone = "13833333333"
    bind(pipeline, phone, "F")
    settings = load(
        None, {"LEZGATE_DATA_DIR": str(tmp_path / "edges"), "LEZGATE_ENROLMENT": "open", "LEZGATE_AUTH_KEY": KEY}
    )
    two = [Edge(settings, await connect(pipeline.server.url("edge"), "edge")) for _ in range(2)]
    for edge in two:
        await edge.start()
    times = [START + i * 30 * SECOND for i in range(FLAPS)]

    callers: list[Caller] = []

    def sessions() -> int:
        for one in [one for one in callers if one.connection.dropped]:
            callers.remove(one)
            one.lost()  # as a socket tells it a moment later
        return sum(len(edge.sessions.by_device) for edge in two)

    try:
        async with pipeline.partition():
            for i, when in enumerate(times):
                edge = two[i % 2]
                caller = Caller(edge.hub, phone)
                callers.append(caller)
                caller.say(caller.authenticate())
                for one in [*times[max(0, i - 1) : i], when]:
                    caller.say(caller.frame(0x0200, words.location(one, 116.0, 36.5)))
                edge.hub.flush()
                await until(lambda caller=caller, i=i: caller.results(0x0200) == [0] * min(2, i + 1), 10)
                await until(lambda: sessions() == 1, 10)
                assert edge.sessions.authenticated[caller.connection.slot]
            await pipeline.until_stored(FLAPS)
            taken = sum(edge.hub.telemetry.taken for edge in two)
            # From the third swap in ten minutes on the identity is disputed: stored, and not judged.
            counted = "SELECT stored, quarantined, duplicate FROM log_offset"
            await pipeline.until(lambda: pipeline.query(counted) == [(4, FLAPS - 4, FLAPS - 1)])
            assert taken == 2 * FLAPS - 1
            assert pipeline.query("SELECT count(DISTINCT time) FROM position") == [(FLAPS,)]
        for edge in two:
            assert edge.hub.swaps.disputed(phone, edge.hub.now()), "on both"
    finally:
        for edge in two:
            for task in edge._tasks:
                task.cancel()
            await edge.client.close()
