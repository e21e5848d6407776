"""A NATS cluster of three servers on loopback, each a process with a store of its own, that fsyncs every message."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from gateway.nats_server import MAX_PAYLOAD, PERMISSIONS, binary, free_port

START_S = 30


class NatsCluster:
    """start() and stop() all; kill(name), freeze(name), thaw(name), run(name) of one; url(role) names all of them."""

    NAMES = ("a", "b", "c")

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {name: free_port() for name in self.NAMES}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._routes = {name: free_port() for name in self.NAMES}

    def url(self, role: str, *names: str) -> str:
        return ",".join(f"nats://{role}:word@127.0.0.1:{self.ports[name]}" for name in names or self.NAMES)

    def start(self) -> None:
        for name in self.NAMES:
            self.run(name)

    def run(self, name: str) -> None:
        """Starts one, and returns when it listens."""
        config = self.directory / f"{name}.conf"
        config.write_text(json.dumps({
            "server_name": name,
            "listen": f"127.0.0.1:{self.ports[name]}",
            "max_payload": MAX_PAYLOAD,
            "jetstream": {
                "store_dir": str(self.directory / name), "sync_interval": "always", "max_file_store": 1024**3,
            },
            "cluster": {
                "name": "lezgate", "listen": f"127.0.0.1:{self._routes[name]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in self._routes.values()],
            },
            "authorization": {
                "users": [{"user": role, "password": "word", "permissions": allowed}
                          for role, allowed in PERMISSIONS.items()],
            },
        }))  # fmt: skip
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([binary(), "-c", config], stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.ports[name]), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError((self.directory / f"{name}.log").read_text()[-2000:])

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def freeze(self, name: str) -> None:
        """It hangs, and its connections stay: as with a cable that is out."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def nats_cluster():
    """A started NatsCluster."""
    directory = Path(tempfile.mkdtemp(prefix="lezgate-cluster-"))
    cluster = NatsCluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
