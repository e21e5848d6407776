"""The database is away under load: acknowledgements go on, memory stays, it catches up, and what comes late says so.

20 s at 200 reports/s here; `make outage` makes five minutes at 1,000/s of it (OUTAGE_S, OUTAGE_RATE).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gateway.config import load
from gateway.nats_connection import connect
from gateway.nodes import nats_url
from tests.e2e.fleet import Fleet
from tests.plugins.serve import LEZGATE

OUTAGE_S = int(os.environ.get("OUTAGE_S", "20"))
RATE = int(os.environ.get("OUTAGE_RATE", "200"))
WARM_S, GROWTH_MB, TIMES_LIVE = 8, 64, 3
DELAYED_S = 60.0  # decided so long after it was received, an alarm says that it is delayed
BATCHES_BEHIND = 20  # less than a second of them: as near as a worker that gathers ever is

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180 + 3 * OUTAGE_S)]


class Memory(threading.Thread):
    """What each process holds, resident, looked at five times a second; ``most``: when all of them together held most."""

    def __init__(self, pids: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.stopping = False
        self._pids = pids
        self.usual = self.most = self.now()

    def now(self) -> dict[str, float]:
        """MB of each."""
        page = os.sysconf("SC_PAGE_SIZE") / 1024**2
        return {name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for name, pid in self._pids.items()}

    @property
    def growth(self) -> float:
        return sum(self.most.values()) - sum(self.usual.values())

    def run(self) -> None:
        while not self.stopping:
            self.most = max(self.most, self.now(), key=lambda held: sum(held.values()))
            time.sleep(0.2)

    def __str__(self) -> str:
        return ", ".join(f"{name} {usual:.0f} -> {self.most[name]:.0f} MB" for name, usual in self.usual.items())


class Progress:
    """How far the log and the database are, asked of both directly."""

    def __init__(self, gateway, database: str) -> None:
        self._settings = load(None, gateway.environment)
        self._database = database

    def counted(self) -> tuple[int, int]:
        """(positions, sequence) of the offsets."""
        with psycopg.connect(self._database) as connection:
            row = connection.execute("SELECT sum(stored + duplicate + quarantined)::int, max(sequence) FROM log_offset")
            return row.fetchone()

    async def _last(self) -> int:
        client = await connect(nats_url(self._settings, "api"), "api")
        try:
            return (await client.jetstream().stream_info("POS")).state.last_seq
        finally:
            await client.close()

    def behind(self) -> int:
        """Batches that are in the log and not in the database."""
        return asyncio.run(self._last()) - self.counted()[1]


def test_the_database_is_away(gateway_over, postgres_server, database, chaos_link, tmp_path, capsys):
    """Every report is acknowledged meanwhile and stored after; edge and worker grow by 64 MB at most; three times as
    fast as reports come; one page for each visit, and it says that it is delayed where it is.
    """
    known = conninfo_to_dict(database)
    link = chaos_link(f"{known['host']}/.s.PGSQL.{known['port']}")
    user = f"{known['user']}:{quote(known['password'], safe='')}"
    gateway = gateway_over(
        database_url=f"postgresql://{user}@127.0.0.1:{link.port}/{known['dbname']}", enrolment="open",
        first=True,
    )  # fmt: skip
    fleet = Fleet(gateway, tmp_path, 60 + OUTAGE_S, drivers=3, pace_s=0.4)
    report = tmp_path / "load.json"
    duration = WARM_S + OUTAGE_S + max(OUTAGE_S // 2, 10)
    words = ["load", "--port", str(gateway.jt808_port), "--connections", "200", "--rate", str(RATE)]
    load_test = subprocess.Popen([LEZGATE, *words, "--duration", str(duration), "--json", str(report)],
                                 env=gateway.environment, stdout=subprocess.DEVNULL)  # fmt: skip
    fleet.start()
    progress = Progress(gateway, database)
    time.sleep(WARM_S)
    memory = Memory({what: gateway.pids(what)[0] for what in ("edge", "worker")})
    memory.start()

    link.cut()
    cut = time.monotonic()
    time.sleep(OUTAGE_S)
    before, _ = progress.counted()
    link.heal()
    healed = time.monotonic()
    while progress.behind() > BATCHES_BEHIND:
        assert time.monotonic() - healed < OUTAGE_S, "it does not catch up"
        time.sleep(0.1)
    took = time.monotonic() - healed
    times_live = (progress.counted()[0] - before) / took / RATE

    fleet.finish()
    assert load_test.wait(duration + 60) == 0
    memory.stopping = True
    gateway.wait_ready()
    figures = json.loads(report.read_text())
    audit = fleet.audit(others=(figures["acked"], figures["sent"]))
    reasons = fleet.page_reasons()
    with capsys.disabled():
        sys.stdout.write(
            f"\ndatabase away {OUTAGE_S} s at {RATE}/s: {figures['acked']} of {figures['sent']} acknowledged, p99"
            f" {figures['p99'] * 1000:.0f} ms, max {figures['max'] * 1000:.0f} ms; {memory}, together"
            f" {memory.growth:+.0f} MB; caught up in {took:.1f} s, {times_live:.1f} times the live rate;"
            f" pages {sorted(map(str, set(reasons.values())))}, delayed {list(reasons.values()).count('delayed')}\n{audit}\n"
        )
    assert (figures["unanswered"], figures["bad"], figures["errors"]) == (0, 0, 0)
    assert memory.growth <= GROWTH_MB
    assert times_live >= TIMES_LIVE
    for trip in fleet.done:
        confirmed = fleet.acknowledged[trip.key(3)]  # the second fix inside
        if trip.banned and cut + 1 < confirmed < healed - DELAYED_S - 5:
            assert reasons[trip.phone] == "delayed"
        elif trip.banned and not cut - 1 < confirmed < healed - DELAYED_S + 5 + took:
            assert reasons[trip.phone] == "prompt"
