"""A running `lezgate serve` with its own data directory, and hands to talk to it, to kill parts of it, to stop it."""

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
from pathlib import Path

import httpx
import pytest

LEZGATE = Path(sysconfig.get_path("scripts")) / "lezgate"
READY_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """One installation: start, stop, kill parts, ask the API, run commands."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.jt808_port, self.http_port = free_port(), free_port()
        own = {k: v for k, v in os.environ.items() if not k.startswith("LEZGATE_")}
        self.environment = {
            **own,
            "LEZGATE_DATA_DIR": str(data),
            "LEZGATE_JT808_PORT": str(self.jt808_port),
            "LEZGATE_HTTP_PORT": str(self.http_port),
            **{f"LEZGATE_{name.upper()}": value for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.base = f"http://127.0.0.1:{self.http_port}"
        self._tokens: dict[str, str] = {}

    def start(self) -> None:
        """Returns when it is ready."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [LEZGATE, "serve"], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_ready(self, seconds: float = READY_S) -> None:
        end = time.monotonic() + seconds
        answer = "nothing"
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                response = httpx.get(f"{self.base}/readyz", timeout=2)
            except httpx.HTTPError as error:
                answer = repr(error)
            else:
                if response.status_code == 200:
                    return
                answer = response.text
            time.sleep(0.1)
        log = (self.data / "serve.log").read_text()[-6000:]
        raise TimeoutError(f"not ready: {answer}\n{log}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def command(self, *words: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [LEZGATE, *words],
            check=False,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def token(self, role: str = "city_admin", district: str | None = None) -> str:
        key = f"{role}/{district}"
        if key not in self._tokens:
            words = ["tokens", "create", "--role", role]
            self._tokens[key] = self.command(*words, *(["--district", district] if district else [])).strip()
        return self._tokens[key]

    def ask(self, method: str, path: str, *, role: str = "city_admin", **kwargs: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        return httpx.request(method, f"{self.base}{path}", headers=headers, timeout=10, **kwargs)

    def get(self, path: str, **params: object) -> dict:
        response = self.ask("GET", path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    # ---- processes ----

    def pids(self, what: str) -> list[int]:
        """Process ids of `edge`, `worker`, `api`, `nats-server` or `postgres` (the postmaster) of this gateway."""
        assert self.process is not None
        if what == "postgres":
            path = self.data / "postgres" / "cluster" / "postmaster.pid"
            return [int(path.read_text().split()[0])] if path.exists() else []
        found = []
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            mine = parent == self.process.pid
            if mine and (what.encode() in words or words[0].endswith(what.encode())):
                found.append(int(path.name))
        return found

    def kill(self, what: str) -> None:
        assert self.kill_any(what), f"no {what} runs"

    def kill_any(self, what: str) -> int:
        """kill -9 of those that run now; how many that were."""
        killed = 0
        for pid in self.pids(what):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def stored(self) -> int:
        """What the offsets' rows say is stored."""
        text = httpx.get(f"{self.base}/metrics", headers={"Authorization": f"Bearer {self.token()}"}).text
        lines = [line for line in text.splitlines() if line.startswith("lezgate_positions_total") and "stored" in line]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


@pytest.fixture(scope="session")
def made(reachable_dir: Path) -> Gateway:
    """One that was set up and never started: to make a cluster takes a second of CPU and hundreds of fsyncs."""
    one = Gateway(reachable_dir / "made")
    one.token()
    return one


@pytest.fixture(scope="session")
def made_data(made: Gateway) -> Path:
    """Its data directory, to be copied."""
    return made.data


def copy_data(made: Path, to: Path) -> bool:
    """Where the cluster had to live elsewhere (storage/placement.py), there is nothing to copy: ``to`` starts anew."""
    if (made / "postgres" / "elsewhere").exists():
        return False
    subprocess.run(["cp", "--archive", "--reflink=auto", made, to], check=True)
    (to / "postgres" / "socket_dir").unlink(missing_ok=True)
    return True


@pytest.fixture(scope="module")
def gateway_over(request):
    """Starts gateways with settings by name: gateway_over(enrolment="open"). They stop with the module.

    ``first``: over an empty directory, as a user starts it first. ``wait``: until it is ready.
    """
    started: list[tuple[Gateway, Path]] = []

    def start(*, first: bool = False, wait: bool = True, **settings: str) -> Gateway:
        # Not tmp_path: pytest makes that 0700, and as root the embedded PostgreSQL runs as a user of its own.
        directory = Path(tempfile.mkdtemp(prefix="lezgate-test-"))
        directory.chmod(0o755)
        one = Gateway(directory / "var", **settings)
        if not first and "database_url" not in settings:
            made = request.getfixturevalue("made")
            if copy_data(made.data, one.data):
                one._tokens.update(made._tokens)
        started.append((one, directory))
        one.spawn()
        if wait:
            one.wait_ready()
        return one

    yield start
    for one, directory in started:
        one.stop()
        if request.session.testsfailed:
            sys.stderr.write((one.data / "serve.log").read_text()[-4000:])
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def gateway(request, gateway_over):
    """A started gateway; settings by `@pytest.mark.parametrize("gateway", [{...}], indirect=True, scope="module")`.

    Tests of a module share it (a start takes seconds), so each uses terminals of its own.
    """
    return gateway_over(**getattr(request, "param", {}))
