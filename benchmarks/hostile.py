"""What honest terminals notice of thousands of hostile connections: `make hostile`.

One real `lezgate serve`; the same honest load without the attackers, with them, and without them again, all on this machine.
The bar: the acknowledgements' p99 with them is at most BAR times the worse of the two without. Exit status 1 beyond that. The
attackers and the load generator share the cores with the gateway, so the figures are upper bounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.machine import ROOT, describe
from benchmarks.processes import by_name, family
from benchmarks.serving import Serving, command, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

BAR = 2.0
WARM_S = 5.0
ARRIVE_S = 8.0  # until all are connected, and the first of them have sent what makes them hostile


def honest(gateway: Serving, connections: int, rate: float, seconds: float, first: int) -> dict[str, Any]:
    """`lezgate load`'s report, and the edge's share of a core meanwhile."""
    before, began = family(gateway.pid), time.monotonic()
    done = subprocess.run(
        command(
            "load", "--port", str(gateway.jt808_port), "--connections", str(connections), "--rate", str(rate),
            "--duration", str(seconds), "--first-phone", str(first), "--json", "-",
        ),
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    spent = by_name(before, family(gateway.pid)).get("edge", 0.0)
    return {**report, "edge_share": spent / (time.monotonic() - began)}


def attackers(gateway: Serving, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "benchmarks.attackers", str(gateway.jt808_port), str(count)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def rows(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    with serving() as gateway:
        honest(gateway, given.connections, given.rate, WARM_S, 13_920_000_001)
        yield "without", honest(gateway, given.connections, given.rate, given.seconds, 13_920_000_001)
        process = attackers(gateway, given.attackers)
        try:
            time.sleep(ARRIVE_S)
            yield "with", honest(gateway, given.connections, given.rate, given.seconds, 13_920_000_001)
        finally:
            process.terminate()
            said = process.communicate()[0]
        print("attackers: " + ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in json.loads(said).items()))
        time.sleep(2)
        yield "without again", honest(gateway, given.connections, given.rate, given.seconds, 13_920_000_001)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attackers", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    print(describe(1))
    print(f"{given.attackers} attackers; {given.connections} honest terminals, {given.rate:.0f} reports/s", flush=True)
    print(f"{'':>15} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'unanswered':>10} {'errors':>7} {'edge':>6}")
    found = {}
    for name, one in rows(given):
        found[name] = one["p99"]
        ms = [one[key] * 1000 for key in ("p50", "p99", "max")]
        print(
            f"{name:>15} {ms[0]:8.1f} {ms[1]:8.1f} {ms[2]:8.1f} {one['unanswered']:10} {one['errors']:7}"
            f" {one['edge_share']:6.0%}", flush=True,
        )  # fmt: skip
    times = found["with"] / max(found["without"], found["without again"])
    print(f"p99 with attackers: {times:.2f} times that without (bar {BAR})")
    return int(times > BAR)


if __name__ == "__main__":
    sys.exit(main())
