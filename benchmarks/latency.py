"""python -m benchmarks.latency: how long terminals wait for an acknowledgement, and staff for an alarm, under load.

A real `lezgate serve` with the city of 160 zones and 30,000 machines; the load generator on the same machine, open loop;
and beside it banned machines that drive into zones, one a second, each on a connection of its own. Delays of alarms are
from the moment the confirming report is sent to the moment its event has arrived at a reader of GET /api/v1/stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bars import ACK_P99_MS
from benchmarks.city import FIRST_PHONE
from benchmarks.entering import LEAD_S, REPORT_S, WAY_M, Matched, enter_all, machines, match, zones
from benchmarks.loadgen import Load, Loading, build
from benchmarks.machine import describe, fsync_ms
from benchmarks.processes import by_name, family, machine_cpu_s, settle
from benchmarks.serving import ServingError, serving
from benchmarks.stream import Listener
from gateway.simulator.load import percentile

if TYPE_CHECKING:
    from benchmarks.serving import Serving

ALARM_P99_S = 1.0
FSYNC_P99_MS = 2.0
"""The bar of the acknowledgement holds where the disk's fsync is as fast as this."""
CONNECTIONS = 1_000
LAST_WORD_S = 5.0  # how long an alarm is waited for after the last entry
STAYS_S = (len(WAY_M) + 1) * REPORT_S  # from a machine's first report to its last


@dataclass(frozen=True, slots=True)
class Report:
    """One run. fsync: p50 and p99 of a 4 KiB write beforehand, ms; cpu_us: CPU per acknowledged report, by process.

    others: cores that were busy meanwhile with neither the gateway nor its load: what they take, delays show.
    """

    seconds: float
    offered: int
    fsync: tuple[float, float]
    load: Load
    stored: int
    entries: int
    alarms: Matched
    cpu_us: dict[str, float]
    others: float

    @property
    def agrees(self) -> bool:
        """What was acknowledged is stored: all of it, and of the reports that were under way at the end some more."""
        entered = self.entries * len(WAY_M)
        return self.load.acked <= self.stored - entered <= self.load.acked + self.offered

    def delays(self) -> dict[str, float | None]:
        ordered = sorted(self.alarms.delays)
        found = {name: percentile(ordered, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
        return {**found, "max": ordered[-1] if ordered else None}

    @property
    def complete(self) -> bool:
        """One alarm for every entry, and no other."""
        return not (self.alarms.missed or self.alarms.doubled or self.alarms.strangers)

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds, "rate": self.offered, "fsync_p50_ms": self.fsync[0], "fsync_p99_ms": self.fsync[1],
            "ack": asdict(self.load), "stored": self.stored, "entries": self.entries, "alarm_s": self.delays(),
            "missed": self.alarms.missed, "doubled": self.alarms.doubled, "strangers": self.alarms.strangers,
            "cpu_us": self.cpu_us, "others_cores": self.others,
        }  # fmt: skip


def lines(report: Report) -> str:
    """For people."""
    load, alarms, delays = report.load, report.alarms, report.delays()
    fast = report.fsync[1] <= FSYNC_P99_MS
    ack = "met" if load.p99_ms <= ACK_P99_MS else "MISSED" if fast else "missed, on a disk slower than that"
    alarm = "met" if delays["p99"] is not None and delays["p99"] <= ALARM_P99_S else "MISSED"
    agrees = "agrees" if report.agrees else "DOES NOT AGREE"
    shown = {name: "none" if value is None else f"{value:.2f} s" for name, value in delays.items()}
    by = ", ".join(f"{name} {us:.1f}" for name, us in report.cpu_us.items())
    crowd = f"{report.others:.1f} of {os.cpu_count()} cores were busy with other programs"
    said = {
        "disk": f"fdatasync of 4 KiB: p50 {report.fsync[0]:.2f} ms, p99 {report.fsync[1]:.2f} ms",
        "load": f"{report.offered:,} reports/s over {CONNECTIONS:,} connections for {report.seconds:g} s: "
        f"{load.acked:,} acknowledged, {load.bad} bad answers",
        "stored": f"{report.stored:,}: {agrees} with the acknowledged ones",
        "acknowledgement": f"p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms (bar {ACK_P99_MS:g} ms where fsync p99 is"
        f" at most {FSYNC_P99_MS:g} ms: {ack}), p99.9 {load.p999_ms:.1f} ms",
        "alarm": f"{report.entries} entries: p50 {shown['p50']}, p99 {shown['p99']} (bar {ALARM_P99_S:g} s: {alarm}), max"
        f" {shown['max']}; missed {len(alarms.missed)}, doubled {len(alarms.doubled)}, without an entry {alarms.strangers}",
        "CPU per report": f"{sum(report.cpu_us.values()):.1f} us: {by}",
        "machine": crowd,
    }
    return "\n".join(f"{name:15} {text}" for name, text in said.items())


def prepare(gateway: Serving, seed: int, entries: int) -> str:
    """Imports the city and those who will enter; a token that reads the stream."""
    gateway.import_world(seed)
    with tempfile.TemporaryDirectory() as folder:
        drawn, fleet = Path(folder) / "entrances.geojson", Path(folder) / "entering.csv"
        drawn.write_text(json.dumps(zones()), encoding="utf-8")
        fleet.write_text(machines(entries), encoding="utf-8")
        gateway.lezgate("zones", "import", str(drawn), "--crs", "wgs84", "--publish")
        gateway.lezgate("machines", "import", str(fleet))
    settle(gateway.pid)
    return gateway.lezgate("tokens", "create", "--role", "city_admin").strip()


def moments(begin: float, seconds: float, count: int, rng: random.Random) -> list[float]:
    """When machines enter: one in each of ``count`` equal stretches, anywhere in it, so that they meet every phase of a gather."""
    return [begin + (i + rng.random()) * seconds / count for i in range(count)]


def measure(gateway: Serving, a: argparse.Namespace, folder: Path) -> Report:
    fsync = fsync_ms(gateway.data)
    program = build(folder)
    entries = max(1, round((a.seconds - LEAD_S - STAYS_S) * a.entries))
    token = prepare(gateway, a.seed, entries)
    stored, before = gateway.stored(), family(gateway.pid)
    began, busy, ours = time.monotonic(), machine_cpu_s(), _our_cpu_s()
    listener = Listener(gateway.http_port, token)
    try:
        load = Loading(program, gateway.jt808_port, CONNECTIONS, a.seconds, a.rate, FIRST_PHONE)
        try:
            at = moments(time.monotonic() + LEAD_S + 1, a.seconds - LEAD_S - STAYS_S, entries, random.Random(a.seed))
            entered = asyncio.run(enter_all("127.0.0.1", gateway.jt808_port, at))
            done = load.end()
        except BaseException:
            load.stop()
            raise
        time.sleep(LAST_WORD_S)
        trouble = listener.trouble
    finally:
        listener.stop()
    if trouble is not None:
        raise ServingError(f"the live stream ended before the measurement did: {trouble}")
    settle(gateway.pid)
    spent = by_name(before, family(gateway.pid))
    ours = _our_cpu_s() - ours + sum(spent.values())
    others = max(0.0, machine_cpu_s() - busy - ours) / (time.monotonic() - began)
    us = {name: round(seconds / done.acked * 1e6, 2) for name, seconds in spent.items() if seconds}
    return Report(
        a.seconds, a.rate, fsync, done, gateway.stored() - stored, entries, match(entered, listener.events), us,
        round(others, 2),
    )  # fmt: skip


def _our_cpu_s() -> float:
    """Of this process and of the load generator, which has ended by then."""
    return sum(os.times()[:4])


def main() -> int:
    p = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    p.add_argument("--seconds", type=float, default=300, help="of load")
    p.add_argument("--rate", type=int, default=5_000, help="reports a second over all connections")
    p.add_argument("--entries", type=float, default=1.0, help="machines that enter a zone, per second")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", type=Path, help="write the results here")
    a = p.parse_args()
    if a.seconds < LEAD_S + STAYS_S + 5:
        p.error(f"at least {LEAD_S + STAYS_S + 5:g} seconds: a machine takes {LEAD_S + STAYS_S:g} to enter and stop")
    where = describe(a.seed)
    print(where, flush=True)
    with tempfile.TemporaryDirectory() as folder, serving() as gateway:
        report = measure(gateway, a, Path(folder))
    print(f"\n{lines(report)}\n{where}")
    if a.json:
        a.json.write_text(json.dumps({"machine": where, **report.to_json()}, indent=2) + "\n", encoding="utf-8")
    return 0 if report.complete and report.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
