"""A storm: 15,000 terminals that connect, register and authenticate at once, and then stay. Time, and memory for each."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.loadgen import Loading, build
from benchmarks.processes import family, settle

if TYPE_CHECKING:
    from benchmarks.serving import Serving

TERMINALS = 15_000
FILES = 20_000  # that the edge, and the load generator, must be allowed to open
FIRST_PHONE = 15_000_000_000
SECONDS_BAR, KB_BAR = 15.0, 10.0
IDLE_S = 12
REPORTS = 20  # a second: a closed loop would not be idle


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


def storm(gateway: Serving) -> Storm | str:
    """Measures it; or why it can't be, where fewer files may be opened."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed < FILES:
        return f"not measured: {FILES:,} open files are needed, {allowed:,} are allowed"
    settle(gateway.pid)
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        before = _edge_kb(gateway)
        load = Loading(program, gateway.jt808_port, TERMINALS, IDLE_S, REPORTS, FIRST_PHONE)
        try:
            time.sleep(IDLE_S / 2)
            kb = (_edge_kb(gateway) - before) / TERMINALS
        finally:
            load.stop()
    return Storm(TERMINALS, load.authenticated_s, kb)


def _edge_kb(gateway: Serving) -> int:
    return sum(process.own_kb for process in family(gateway.pid).values() if process.name == "edge")
