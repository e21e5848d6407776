"""Law 8 on /metrics: positions in = stored + duplicate + quarantined + rejected, exactly, whatever is killed between scrapes."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.config import load
from gateway.nodes import database_url
from protocols.jt808 import terminal
from tests.plugins.terminals import Terminal

KILLED = (("worker",), ("edge",), ("postgres",), ("nats-server",), ("worker", "postgres", "edge"))
TERMINALS = 3
GOOD, AGAIN, MAD, BROKEN = 10, 4, 3, 2
DAY_US = 86_400_000_000


class Collector(threading.Thread):
    """Scrapes as Prometheus does and keeps the newest value of every counter; ``back``: those that went back."""

    def __init__(self, base: str) -> None:
        super().__init__(daemon=True)
        self.base = base
        self.values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.back: list[str] = []
        self.scrapes = self.gaps = 0
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            self.scrape()
            time.sleep(0.2)

    def scrape(self) -> None:
        try:
            text = httpx.get(f"{self.base}/metrics", timeout=5).text
        except httpx.HTTPError:
            self.gaps += 1
            return
        self.scrapes += 1
        for family in text_string_to_metric_families(text):
            if family.type not in {"counter", "histogram"}:
                continue
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                before = self.values.get(key, 0.0)
                if sample.value < before:
                    self.back.append(f"{key}: {before} -> {sample.value}")
                self.values[key] = sample.value

    def books(self) -> Counter[str]:
        """What became of all that came in, over all partitions."""
        found: Counter[str] = Counter()
        for (name, labels), value in self.values.items():
            if name == "lezgate_positions_total":
                found[dict(labels)["outcome"]] += int(value)
            elif name == "lezgate_rejected_total":
                found["rejected"] += int(value)
        return found


class Sender:
    """One terminal that keeps count of what it was answered, by what must become of it."""

    def __init__(self, port: int, number: int) -> None:
        self.phone, self.port, self.code = f"1371100{number:04d}", port, ""
        # Of yesterday: tracks that are older than LEZGATE_TRACK_DAYS are dropped at the next start of a worker.
        self.base, self.sent = time.time_ns() // 1000 - DAY_US, 0

    def round(self) -> Counter[str]:
        """Each kind of report, all of them answered, so that all are on the log's disk."""
        one = self._connected()
        one.code = self.code
        if not self.code:
            assert one.register() == 0
            self.code = one.code
        assert one.authenticate() == 0
        frames = []
        for _ in range(BROKEN):
            frame = bytearray(one.frame(0x0200, terminal.location(self.base, 116.0, 36.5)))
            frame[-10] ^= 1
            frames.append(bytes(frame))
        good = [self._body(0) for _ in range(GOOD)]
        mad = [self._body(time.time_ns() // 1000 + 30 * DAY_US - self.base) for _ in range(MAD)]  # ahead of every clock
        frames += [one.frame(0x0200, body) for body in [*good, *good[:AGAIN], *mad]]
        one.socket.sendall(b"".join(frames))
        for _ in range(GOOD + AGAIN + MAD):
            reply = one.read()
            assert reply is not None
            assert reply.result == 0
        one.close()
        return Counter(stored=GOOD, duplicate=AGAIN, quarantined=MAD, rejected=BROKEN)

    def _body(self, ahead_us: int) -> bytes:
        self.sent += 1
        return terminal.location(self.base + ahead_us + self.sent * 1_000_000, 116 + self.sent * 1e-5, 36.5)

    def _connected(self) -> Terminal:
        end = time.monotonic() + 30
        while True:
            try:
                return Terminal(self.port, self.phone)
            except ConnectionRefusedError:  # the edge is not back yet
                assert time.monotonic() < end
                time.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.timeout(180)
@pytest.mark.parametrize("gateway", [{"enrolment": "open"}], indirect=True, scope="module")
def test_the_books_balance_across_crashes(gateway):
    """kill -9 of worker, edge, PostgreSQL, nats-server, alone and together, each just after the answers and so before the
    commit: every report is counted once, in the outcome that it must have, and no counter ever goes back."""
    collector = Collector(gateway.base)
    collector.start()
    senders = [Sender(gateway.jt808_port, i) for i in range(TERMINALS)]
    wanted: Counter[str] = Counter()
    for parts in KILLED:
        for one in senders:
            wanted += one.round()
        for part in parts:
            gateway.kill(part)
        time.sleep(0.5)
        gateway.wait_ready()
    end = time.monotonic() + 30
    while collector.books() != wanted and time.monotonic() < end:
        time.sleep(0.2)
    collector.stopping = True
    collector.join(10)
    assert collector.books() == wanted
    assert collector.back == []
    with psycopg.connect(database_url(load(environ=gateway.environment), "owner")) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM position").fetchall()
    assert rows == wanted["stored"] + wanted["quarantined"]
    started = {labels for name, labels in collector.values if name == "lezgate_process_cpu_seconds_total"}
    assert len({dict(labels)["pid"] for labels in started if dict(labels)["role"] == "worker"}) >= 3, "each by its pid"
