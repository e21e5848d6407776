"""Runs of the fuzz targets: `start` for any, and the long one: python -m tests.fuzz.runner --seconds 600.

The long run takes the targets in turn, each on every core. Its corpora stay in .fuzz/corpus for the next one; an input that
broke its target lies in .fuzz/findings, and `python -m tests.fuzz TARGET FILE` runs that one alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fuzz import ROOT, TARGETS

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / ".fuzz"
LIMITS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1")
"""One oversize run and packets around it; no input takes a second, so twenty is a hang; a target takes some 200 MB."""
_DONE = re.compile(r"^stat::number_of_executed_units: (\d+)$|^#(\d+)\t", re.MULTILINE)
_ERROR = " === Uncaught Python exception: ==="


@dataclass(frozen=True)
class Run:
    """One process and what it writes: its log, and beside it the input that broke the target."""

    target: str
    process: subprocess.Popen[bytes]
    log: Path

    def finish(self) -> str | None:
        """None, or why it failed, with the input as hex."""
        if self.process.wait() == 0:
            return None
        said = self.log.read_text("utf-8", "replace")
        found = [f"{path}\n{path.read_bytes().hex()}" for path in self.log.parent.glob(f"{self.log.stem}-*")]
        return "\n".join([f"{self.target}: exit status {self.process.returncode}", said[said.rfind(_ERROR) :], *found])

    @property
    def executions(self) -> int:
        counts = [int(final or running) for final, running in _DONE.findall(self.log.read_text("utf-8", "replace"))]
        return max(counts, default=0)


def start(target: str, seed: int, corpus: Path, findings: Path, *flags: str) -> Run:
    """Starts one target with its seeds; what it learns is added to `corpus`."""
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    for data in importlib.import_module(f"tests.fuzz.{target}").seeds():
        (corpus / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    log = findings / f"{target}{seed}.log"
    prefix = f"-artifact_prefix={log.with_suffix('')}-"
    command = [sys.executable, "-m", "tests.fuzz", target, f"-seed={seed}", prefix, *LIMITS, *flags, str(corpus)]
    with log.open("wb") as out:
        hashing = {**os.environ, "PYTHONHASHSEED": "0"}
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=hashing)
    return Run(target, process, log)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of the whole run (600)")
    parser.add_argument("--seed", type=int, default=1, help="of the first process of each target (1)")
    parser.add_argument("targets", nargs="*", help=", ".join(TARGETS))
    given = parser.parse_args()
    targets = given.targets or TARGETS
    cores, share, found = os.cpu_count() or 1, max(1, given.seconds // len(targets)), []
    _say(f"{'target':14}{'executions':>12}{'per second':>12}{'corpus':>8}{'findings':>10}")
    for target in targets:
        corpus = FOLDER / "corpus" / target
        flags = (f"-max_total_time={share}", "-reload=1")
        runs = [start(target, given.seed + i, corpus, FOLDER / "findings", *flags) for i in range(cores)]
        failed = [failure for run in runs if (failure := run.finish())]
        total, kept = sum(run.executions for run in runs), len(list(corpus.iterdir()))
        _say(f"{target:14}{total:12}{total / share:12.0f}{kept:8}{len(failed):10}")
        found += failed
    for failure in found:
        _say("\n" + failure)
    return 1 if found else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
