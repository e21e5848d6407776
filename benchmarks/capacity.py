"""python -m benchmarks.capacity: how many processes a fleet needs, from what one report costs. Prints docs/scaling.md's tables.

The costs are measured elsewhere and entered here by hand, with their machine; a test asserts that the page shows what this prints.
Costs are those of 5,000 reports/s. They fall with the load (longer columns), so more than that is planned with too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

MACHINE = "AMD EPYC (virtual machine), 2 cores, 24 GiB; Python 3.11.7; commit 94f5793; other work beside it (load 8)"
US = {"edge": 24.0, "worker": 12.5, "postgres": 9.4, "nats-server": 5.6, "api": 1.5}
"""CPU per report at 5,000/s with the city imported: make bench-latency (docs/benchmarks.md)."""
LOG_BYTES, ROW_BYTES = 88, 179
"""A report in the log (batches of 150), a row in plain PostgreSQL with its key: python -m benchmarks.sizes."""
IDLE_KB, JOINS_PER_S = 1.6, 6_800
"""An edge's memory for an idle terminal; terminals that register and authenticate in a second: make bench, the storm."""
APPENDS_PER_S = 800
"""Batches of 13 KB that one log of one copy takes in a second, 8 in flight: each is an fsync, one after the other."""

BUSY = 0.5  # of a core, in the mean: the rest is for the peaks of a day, a neighbour's death, and catching up
CONNECTIONS = (
    200_000  # of an edge: two million of the kernel's sockets take 10 GB and more, and a dead edge's must go somewhere
)
LINGER_S = 0.03
DAY_S, TRACK_DAYS = 86_400, 180


@dataclass(frozen=True, slots=True)
class Fleet:
    name: str
    terminals: int
    interval_s: float

    @property
    def rate(self) -> float:
        return self.terminals / self.interval_s

    def processes(self, role: str) -> int:
        by_cpu = ceil(self.rate * US[role] / 1e6 / BUSY)
        return max(by_cpu, ceil(self.terminals / CONNECTIONS)) if role == "edge" else by_cpu


FLEETS = (
    Fleet("a district", 1_000, 10),
    Fleet("a city", 14_000, 10),
    Fleet("a province", 224_000, 10),
    Fleet("one of 31 provinces of a nation", 161_300, 30),
    Fleet("a nation in one installation", 5_000_000, 30),
)


def costs() -> list[str]:
    """The table of what a report costs, and what a core of each process bears for it."""
    return [
        "| process | us of CPU per report | reports/s of a core, all of it | planned: half of it |",
        "|---|---|---|---|",
        *(f"| {role} | {us:.1f} | {1e6 / us:,.0f} | {BUSY * 1e6 / us:,.0f} |" for role, us in US.items()),
        f"| all | {sum(US.values()):.1f} | {1e6 / sum(US.values()):,.0f} | {BUSY * 1e6 / sum(US.values()):,.0f} |",
    ]


def fleets() -> list[str]:
    """The table of what fleets need."""
    head = (
        "| | terminals, every | reports/s | edges | workers | partitions | database, cores | nats-server, cores | appends/s"
        " | log for a day's outage | rows a day, GB plain | 180 days, TB plain |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for one in FLEETS:
        edges, workers = one.processes("edge"), one.processes("worker")
        partitions = 1 if workers == 1 else 2 ** ceil(workers - 1).bit_length()
        appends = min(edges * partitions / LINGER_S, one.rate)
        fits = "" if appends <= APPENDS_PER_S else " (too many)"
        rows = one.rate * DAY_S
        lines.append(
            f"| {one.name} | {one.terminals:,}, {one.interval_s:.0f} s | {one.rate:,.0f} | {edges} | {workers} | {partitions}"
            f" | {one.processes('postgres')} | {one.processes('nats-server')} | {appends:,.0f}{fits}"
            f" | {rows * LOG_BYTES / 1e9:,.0f} GB | {rows / 1e6:,.0f} M, {rows * ROW_BYTES / 1e9:,.0f}"
            f" | {rows * ROW_BYTES * TRACK_DAYS / 1e12:,.1f} |"
        )
    return lines


def main() -> None:
    print(MACHINE, *costs(), "", *fleets(), sep="\n")


if __name__ == "__main__":
    main()
