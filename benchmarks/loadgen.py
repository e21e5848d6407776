"""The yardstick's load generator as a child: built, started, and its one line read."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.city import YARDSTICK
from benchmarks.serving import ServingError

if TYPE_CHECKING:
    from pathlib import Path

NO_GCC = (
    "gcc is missing: the load generator is a C program. Install gcc and libc6-dev (Debian)."
    " | 缺少 gcc：负载程序为 C 程序，请先安装 gcc 与 libc6-dev。"
)
_AUTHENTICATED = re.compile(r"all (\d+) authed in ([\d.]+)s")
_LINE = re.compile(
    r"msgs=(\d+) rate=(\d+)/s bad=(\d+) other=(\d+) p50=([\d.]+)ms p99=([\d.]+)ms p99\.9=([\d.]+)ms"
)  # fmt: skip
_SPARE_S = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to. acked: reports that were acknowledged; bad: answers that were not a success, or no answer that reads,

    and connections that were closed; other: packets that answer nothing. Milliseconds; 1,000 is "or more".
    """

    acked: int
    rate: float
    bad: int
    other: int
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @staticmethod
    def read(line: str) -> Load:
        """Raises ValueError where this is not the load generator's line."""
        found = _LINE.search(line)
        if found is None:
            raise ValueError(f"not a line of the load generator: {line!r}")
        acked, rate, bad, other, p50, p99, p999 = found.groups()
        return Load(int(acked), float(rate), int(bad), int(other), float(p50), float(p99), float(p999))


def build(folder: Path) -> Path:
    """Compiles it into a folder. Raises ServingError without a compiler."""
    if shutil.which("gcc") is None:
        raise ServingError(NO_GCC)
    program = folder / "loadgen"
    source = YARDSTICK / "loadgen.c"
    subprocess.run(["gcc", "-O2", "-o", program, source, "-lm"], check=True, stderr=subprocess.DEVNULL)
    return program


class Loading:
    """A load that runs: open loop at ``rate`` reports/s (0: closed), for ``seconds`` once all terminals are authenticated."""

    def __init__(self, program: Path, port: int, connections: int, seconds: float, rate: int, first: int) -> None:
        words = [program, port, connections, 1, seconds, 0, rate, first]
        self._seconds = seconds
        self._process = subprocess.Popen(
            list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        said = _AUTHENTICATED.search(self._process.stderr.readline())
        if said is None or int(said[1]) != connections:
            self.stop()
            raise ServingError("the terminals of the load were not all authenticated within a minute")
        self.authenticated_s = float(said[2])

    def end(self) -> Load:
        """Waits for the end; what it came to."""
        line, errors = self._process.communicate(timeout=self._seconds + _SPARE_S)
        try:
            return Load.read(line)
        except ValueError as error:
            raise ServingError(f"{error}; {errors[-500:]}") from error

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
