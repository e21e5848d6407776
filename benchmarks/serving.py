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

from benchmarks.city import write_world
from benchmarks.machine import ROOT
from benchmarks.processes import settle

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

    def stored(self, *, rows: bool = False) -> int:
        """Stored reports: the totals that the workers keep, or the rows counted one by one."""
        words = [sys.executable, "-m", "benchmarks.stored", *(["--rows"] if rows else [])]
        return int(
            subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True).stdout
        )

    def import_world(self, seed: int) -> None:
        """160 zones and 30,000 machines for the load generator's terminals."""
        with tempfile.TemporaryDirectory() as folder:
            write_world(folder, seed)
            began = time.monotonic()
            self.lezgate("zones", "import", f"{folder}/zones.geojson", "--crs", "wgs84", "--publish")
            self.lezgate("machines", "import", f"{folder}/machines.csv")
            print(f"imported in {time.monotonic() - began:.1f} s", flush=True)
        settle(self.pid)


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
