"""A real `lezgate serve` in a data directory of its own, for as long as a measurement lasts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_S = 120.0
STOP_S = 60.0


class ServingError(RuntimeError):
    """The gateway did not come up; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Serving:
    pid: int
    jt808_port: int
    http_port: int
    data: Path
    environment: dict[str, str]

    def lezgate(self, *words: str) -> str:
        """Runs a command against this gateway; what it printed."""
        done = subprocess.run(command(*words), env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServingError(f"lezgate {' '.join(words)}: {done.stderr.strip()[-2000:]}")
        return done.stdout


def command(*words: str) -> list[str]:
    return [sys.executable, str(Path(sysconfig.get_path("scripts")) / "lezgate"), *words]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(**settings: str) -> Iterator[Serving]:
    """Starts, waits for /readyz, stops, and removes the data. Settings as for the environment, without the prefix."""
    data = Path(tempfile.mkdtemp(prefix="lezgate-bench-"))
    data.chmod(0o711)  # as root, PostgreSQL runs as another user and must get through
    jt808, http = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEZGATE_")}
    environment |= {
        "LEZGATE_DATA_DIR": str(data),
        "LEZGATE_JT808_PORT": str(jt808),
        "LEZGATE_HTTP_PORT": str(http),
        "LEZGATE_ENROLMENT": "open",
        **{f"LEZGATE_{name.upper()}": value for name, value in settings.items()},
    }
    log = data / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command("serve"), env=environment, stdout=out, stderr=out)
    try:
        _wait(process, http, log)
        yield Serving(process.pid, jt808, http, data, environment)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    why = "nothing listens"
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as error:
            why = error.read().decode(errors="replace")[:500]
        except OSError as error:
            why = str(error)
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-3000:]
    raise ServingError(f"serve is not ready: {why}\n{tail}")


def settle(root: int, quiet: float = 0.05, limit_s: float = 60.0) -> None:
    """Waits until a process and its descendants use less than 5 % of a core: an import's work is not a report's cost."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        before = _cpu(root)
        time.sleep(1)
        if _cpu(root) - before < quiet:
            return


def _cpu(root: int) -> float:
    """CPU seconds of a process and all its descendants."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum((int(fields[11]) + int(fields[12])) / ticks for fields in _family(root).values())


def processes(root: int) -> dict[int, str]:
    """The command of a process and of all its descendants, by pid."""
    found = {}
    for pid in _family(root):
        with contextlib.suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def _family(root: int) -> dict[int, list[str]]:
    """What /proc/PID/stat says after the name, of a process and all its descendants."""
    stats: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                stats[int(folder.name)] = text.rpartition(")")[2].split()
    family, grew = {root}, True
    while grew:
        more = {pid for pid, fields in stats.items() if int(fields[1]) in family} - family
        grew = bool(more)
        family |= more
    return {pid: stats[pid] for pid in family if pid in stats}
