"""python -m benchmarks: the yardstick's three points against a real `serve`, then the worker alone and the micro benchmarks.

Everything is started here, in a temporary directory, and traffic stays on 127.0.0.1. Takes about five minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.bars import POINTS, Point, Result, judge, markdown, table
from benchmarks.city import FIRST_PHONE, YARDSTICK
from benchmarks.machine import describe, fsync_ms
from benchmarks.serving import Serving, free_port, serving
from benchmarks.storm import storm

HERE = Path(__file__).resolve().parent
NO_GCC = (
    "gcc is missing: the yardstick is two C programs. Install gcc and libc6-dev (Debian), or run with --micro-only.\n"
    "缺少 gcc：基准工具包含两个 C 程序，请先安装 gcc 与 libc6-dev，或使用 --micro-only。"
)


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    p.add_argument("--runs", type=int, default=3, help="runs per point, floor and gateway in turn; medians are shown")
    p.add_argument("--seconds", type=float, default=5, help="of each run")
    p.add_argument("--seed", type=int, default=1, help="of the world of machines and zones")
    p.add_argument("--json", type=Path, help="write the results here")
    p.add_argument("--markdown", action="store_true", help="print the results as docs/benchmarks.md has them, too")
    p.add_argument("--no-micro", action="store_true")
    p.add_argument("--micro-only", action="store_true")
    return p.parse_args()


def measure(gateway: Serving, point: Point, number: int, a: argparse.Namespace) -> Result:
    """One point of the yardstick; its lines go through, the last one is its summary."""
    stored = f"{sys.executable} -m benchmarks.stored"
    command = [sys.executable, str(YARDSTICK / "ratio"), "--port", str(gateway.jt808_port), "--pid", str(gateway.pid)]
    command += ["--conns", str(point.connections), "--window", str(point.window), "--rate", str(point.rate)]
    command += [
        "--seconds",
        str(a.seconds),
        "--runs",
        str(a.runs),
        "--limit-port",
        str(free_port()),
        "--stored",
        stored,
    ]
    # Every run takes phones 20,000 further on; a point's offset keeps them new, and half of them registered.
    command += ["--first", str(FIRST_PHONE + number * point.connections)]
    print(f"\n{point.connections:,} connections, {point.name}", flush=True)
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=HERE.parent, env=gateway.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if not line.startswith("{"):
                print("  " + line, end="", flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)
    return judge(point, json.loads(lines[-1]))


def yardstick(a: argparse.Namespace) -> list[Result]:
    with serving() as gateway:
        p50, p99 = fsync_ms(gateway.data)
        print(f"fdatasync of 4 KiB: p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)
        gateway.import_world(a.seed)
        results = [measure(gateway, point, number, a) for number, point in enumerate(POINTS)]
        print(f"\n{storm(gateway)}", flush=True)
        print(
            f"\nstored by the workers' totals: {gateway.stored()}, rows in the table: {gateway.stored(rows=True)}",
            flush=True,
        )
    return results


def micro() -> int:
    words = ["-m", "pytest", str(HERE / "micro"), "-q", "-p", "no:randomly", "--benchmark-only"]
    words += ["--benchmark-columns=min,median,ops,rounds", "--benchmark-max-time=0.5", "--benchmark-sort=fullname"]
    commands = [["-m", "benchmarks.worker"], ["-m", "benchmarks.fence"], words]
    return max(subprocess.run([sys.executable, *each], cwd=HERE.parent, check=False).returncode for each in commands)


def main() -> int:
    a = arguments()
    where = describe(a.seed)
    print(where, flush=True)
    results: list[Result] = []
    if not a.micro_only:
        if shutil.which("gcc") is None:
            print(NO_GCC, file=sys.stderr)
            return 2
        results = yardstick(a)
        print(f"\n{table(results)}\n{where}", flush=True)
        if a.markdown:
            print(f"\n{markdown(results)}\n\n{where}", flush=True)
    if a.json:
        report: dict[str, Any] = {"machine": where, "points": [result.to_json() for result in results]}
        a.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if a.no_micro else micro()


if __name__ == "__main__":
    sys.exit(main())
