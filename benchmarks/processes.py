"""What the processes of a gateway use: CPU and memory of one and all its descendants, from /proc. Linux only."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """name: what it is in a table (edge, worker, api, serve, nats-server, postgres); command: its whole command line.

    cpu_s: seconds of CPU so far; own_kb: resident memory without what is shared with others, which PostgreSQL counts in each
    of its processes; shared_kb: that.
    """

    name: str
    command: str
    cpu_s: float
    own_kb: int
    shared_kb: int


def family(root: int) -> dict[int, Process]:
    """A process and all its descendants, by pid."""
    stats: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                stats[int(folder.name)] = text.rpartition(")")[2].split()
    members, grew = {root}, True
    while grew:
        more = {pid for pid, fields in stats.items() if int(fields[1]) in members} - members
        grew = bool(more)
        members |= more
    found = {}
    for pid in members & stats.keys():
        with contextlib.suppress(OSError):
            found[pid] = _process(pid, (int(stats[pid][11]) + int(stats[pid][12])) / _TICK)
    return found


def _process(pid: int, cpu_s: float) -> Process:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    memory = {"VmRSS": 0, "RssShmem": 0}  # a process that ends has none
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in memory:
            memory[name] = int(value.split()[0])
    return Process(name_of(command), command, cpu_s, memory["VmRSS"] - memory["RssShmem"], memory["RssShmem"])


def name_of(command: str) -> str:
    """By the command line: a subcommand of lezgate is that, a process of PostgreSQL is postgres, any other its program."""
    if command.startswith("postgres:"):
        return "postgres"
    words = command.split()
    for at, word in enumerate(words[:-1]):
        if Path(word).name == "lezgate":
            return words[at + 1]
    return Path(words[0]).name if words else "?"


def by_name(before: dict[int, Process], after: dict[int, Process]) -> dict[str, float]:
    """Seconds of CPU between two looks, by name, the most first. Who is new counts from its beginning."""
    spent: dict[str, float] = {}
    for pid, process in after.items():
        since = before[pid].cpu_s if pid in before else 0.0
        spent[process.name] = spent.get(process.name, 0.0) + process.cpu_s - since
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def machine_cpu_s() -> float:
    """Seconds of CPU that the whole machine has been busy, all cores together."""
    line = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = (int(value) for value in line.split()[1:])
    return (user + nice + system + irq + softirq) / _TICK


def settle(root: int, quiet: float = 0.05, limit_s: float = 60.0) -> None:
    """Waits until a process and its descendants use less than 5 % of a core: an import's work is not a report's cost."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        before = _cpu(root)
        time.sleep(1)
        if _cpu(root) - before < quiet:
            return


def _cpu(root: int) -> float:
    return sum(process.cpu_s for process in family(root).values())
