"""python -m benchmarks.soak: does anything grow? A real `lezgate serve` under load for an hour, its memory every ten seconds.

The load generator's 1,000 terminals report at 2,000/s over the same connections. Of every process its own resident memory is
looked at: without what it shares with others, because PostgreSQL's buffers (256 MB, once) count in each of its processes
as soon as it has touched them. Growth is from minute 10 to the end; the number of stored reports must agree with the
acknowledged ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.city import FIRST_PHONE
from benchmarks.loadgen import Loading, build
from benchmarks.machine import describe
from benchmarks.processes import family, settle
from benchmarks.serving import serving

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.loadgen import Load
    from benchmarks.processes import Process

BAR_MB = 16.0
"""Of growth, of every process."""
CONNECTIONS = 1_000
EVERY_S = 10.0
WARM_MINUTES = 10.0
"""Caches, pools and the allocator's arenas have their size by then."""
MEDIAN_OF = 6
"""Looks at either end whose median counts: a garbage collection or a checkpoint between two looks is no growth."""


@dataclass(frozen=True, slots=True)
class Look:
    """Own memory of every process at a moment, MB. minute: since the load began."""

    minute: float
    own_mb: dict[tuple[int, str], float]


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one process that lived from the end of the warm-up to the end of the run; MB."""

    name: str
    pid: int
    first: float
    last: float
    most: float

    @property
    def grown(self) -> float:
        return self.last - self.first

    @property
    def met(self) -> bool:
        return self.grown <= BAR_MB


def look(processes: dict[int, Process], minute: float) -> Look:
    return Look(minute, {(pid, one.name): one.own_kb / 1024 for pid, one in processes.items()})


def growth(looks: Sequence[Look], since: float) -> list[Growth]:
    """From minute ``since`` on, the largest growth first. Processes that came or went meanwhile are not here."""
    looks = [each for each in looks if each.minute >= since]
    if not looks:
        return []
    stayed = set.intersection(*(set(each.own_mb) for each in looks))
    end = max(1, min(MEDIAN_OF, len(looks) // 2))
    found = []
    for key in stayed:
        sizes = [each.own_mb[key] for each in looks]
        pid, name = key
        found.append(Growth(name, pid, statistics.median(sizes[:end]), statistics.median(sizes[-end:]), max(sizes)))
    return sorted(found, key=lambda each: (-each.grown, each.pid))


def passing(looks: Sequence[Look], since: float) -> list[str]:
    """Processes that began or ended after minute ``since``: a restart would hide its growth."""
    seen = [set(each.own_mb) for each in looks if each.minute >= since]
    return sorted(f"{name} ({pid})" for pid, name in set().union(*seen) - set.intersection(*seen)) if seen else []


def table(found: Sequence[Growth], since: float, until: float) -> str:
    """As docs/benchmarks.md has it."""
    lines = [
        f"| process | minute {since:g} | minute {until:g} | most | growth (bar {BAR_MB:g} MB) |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        verdict = "met" if each.met else "MISSED"
        sizes = " | ".join(f"{size:.1f} MB" for size in (each.first, each.last, each.most))
        lines.append(f"| {each.name} ({each.pid}) | {sizes} | {each.grown:+.1f} MB: {verdict} |")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Soaked:
    load: Load
    stored: int
    looks: list[Look]
    since: float

    @property
    def agrees(self) -> bool:
        """Reports that were under way when the clock ran out may be stored."""
        return self.load.acked <= self.stored <= self.load.acked + CONNECTIONS

    @property
    def growth(self) -> list[Growth]:
        return growth(self.looks, self.since)

    @property
    def passing(self) -> list[str]:
        return [one for one in passing(self.looks, self.since) if not one.startswith("postgres ")]

    def to_json(self) -> dict[str, Any]:
        return {
            "acked": self.load.acked, "bad": self.load.bad, "stored": self.stored, "since_minute": self.since,
            "bar_mb": BAR_MB, "passing": self.passing,
            "growth": [{"process": each.name, "pid": each.pid, "first_mb": each.first, "last_mb": each.last,
                        "most_mb": each.most, "grown_mb": each.grown, "met": each.met} for each in self.growth],
            "looks": [{"minute": each.minute, "own_mb": {f"{name} ({pid})": mb for (pid, name), mb in each.own_mb.items()}}
                      for each in self.looks],
        }  # fmt: skip


def soak(minutes: float, rate: int, seed: int) -> Soaked:
    since = min(WARM_MINUTES, minutes / 2)
    with tempfile.TemporaryDirectory() as folder, serving() as gateway:
        gateway.import_world(seed)
        before, looks = gateway.stored(), []
        load = Loading(build(Path(folder)), gateway.jt808_port, CONNECTIONS, minutes * 60, rate, FIRST_PHONE)
        began = time.monotonic()
        try:
            for i in range(int(minutes * 60 / EVERY_S)):
                time.sleep(max(0.0, began + i * EVERY_S - time.monotonic()))
                looks.append(look(family(gateway.pid), (time.monotonic() - began) / 60))
                if i % 30 == 0:
                    largest = max(looks[-1].own_mb.items(), key=lambda item: item[1])
                    print(f"minute {looks[-1].minute:.0f}: {sum(looks[-1].own_mb.values()):.0f} MB in all, the largest is"
                          f" {largest[0][1]} with {largest[1]:.0f} MB", flush=True)  # fmt: skip
            done = load.end()
        except BaseException:
            load.stop()
            raise
        settle(gateway.pid)
        return Soaked(done, gateway.stored() - before, looks, since)


def main() -> int:
    p = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--rate", type=int, default=2_000, help="reports a second over all connections")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", type=Path, help="write the results here, every look included")
    a = p.parse_args()
    where = describe(a.seed)
    print(where, flush=True)
    done = soak(a.minutes, a.rate, a.seed)
    print(f"\n{table(done.growth, done.since, a.minutes)}\n")
    print(f"{done.load.acked:,} reports acknowledged ({done.load.bad} bad answers), {done.stored:,} stored:"
          f" {'agrees' if done.agrees else 'DOES NOT AGREE'}")  # fmt: skip
    if done.passing:
        print(f"began or ended meanwhile: {', '.join(done.passing)}")
    print(where)
    if a.json:
        report = {"machine": where, "minutes": a.minutes, "rate": a.rate, **done.to_json()}
        a.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if done.agrees and not done.passing and all(each.met for each in done.growth) else 1


if __name__ == "__main__":
    sys.exit(main())
