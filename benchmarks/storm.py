"""A storm: 15,000 terminals that connect, register and authenticate at once, and then stay. Time, and memory for each."""

from __future__ import annotations

import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving import ServingError, processes, settle

if TYPE_CHECKING:
    from benchmarks.serving import Serving

TERMINALS = 15_000
FILES = 20_000  # that the edge, and the load generator, must be allowed to open
FIRST_PHONE = 15_000_000_000
SECONDS_BAR, KB_BAR = 15.0, 10.0
IDLE_S = 12
_AUTHENTICATED = re.compile(r"all (\d+) authed in ([\d.]+)s")


@dataclass(frozen=True, slots=True)
class Storm:
    """seconds: until the last of the terminals was authenticated; kb: resident memory of the edge for each."""

    terminals: int
    seconds: float
    kb: float

    def __str__(self) -> str:
        return (
            f"{self.terminals:,} terminals at once: all authenticated in {self.seconds:.1f} s"
            f" (bar {SECONDS_BAR:g} s: {'met' if self.seconds <= SECONDS_BAR else 'MISSED'}),"
            f" {self.kb:.1f} KB resident for each"
            f" (bar {KB_BAR:g} KB: {'met' if self.kb <= KB_BAR else 'MISSED'})"
        )


def storm(gateway: Serving, source: Path) -> Storm | str:
    """Measures it; or why it can't be, where fewer files may be opened. ``source``: the load generator's, in C."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed < FILES:
        return f"not measured: {FILES:,} open files are needed, {allowed:,} are allowed"
    settle(gateway.pid)
    (edge,) = (pid for pid, command in processes(gateway.pid).items() if " edge" in command)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "loadgen"
        subprocess.run(["gcc", "-O2", "-o", program, source, "-lm"], check=True, stderr=subprocess.DEVNULL)
        before = _resident_kb(edge)
        words = [program, gateway.jt808_port, TERMINALS, 1, IDLE_S, 0, 20, FIRST_PHONE]
        with subprocess.Popen(
            list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as load:
            assert load.stderr is not None
            said = _AUTHENTICATED.search(load.stderr.readline())
            if said is None or int(said[1]) != TERMINALS:
                load.kill()
                raise ServingError("the terminals of the storm were not all authenticated within a minute")
            time.sleep(IDLE_S / 2)
            kb = (_resident_kb(edge) - before) / TERMINALS
    return Storm(TERMINALS, float(said[2]), kb)


def _resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
