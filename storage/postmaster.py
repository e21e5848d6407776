"""What postmaster.pid says: which process serves a data directory, where its socket is, and whether it is ready."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# Lines of the file, by PostgreSQL's miscadmin.h (LOCK_FILE_LINE_*), from 0.
_PID, _SOCKET_DIR, _STATUS = 0, 4, 7


@dataclass(frozen=True, slots=True)
class Postmaster:
    """``status`` is `starting`, `ready`, `standby`, `stopping`, or empty while the file is still being written."""

    pid: int
    socket_dir: Path | None
    status: str


def postmaster(cluster: Path) -> Postmaster | None:
    """The living postmaster of ``cluster``, or None. Leaves the file of a dead one alone."""
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
        pid = int(lines[_PID])
    except (FileNotFoundError, ValueError):
        return None
    if not serves(pid, cluster):
        return None
    socket_dir = lines[_SOCKET_DIR] if len(lines) > _SOCKET_DIR else ""
    status = lines[_STATUS].strip() if len(lines) > _STATUS else ""
    return Postmaster(pid, Path(socket_dir) if socket_dir else None, status)


def serves(pid: int, cluster: Path) -> bool:
    """Is ``pid`` alive and a server of this cluster?

    A number alone proves nothing: after a reboot, or in the next container, it may be any program, this one included.
    PostgreSQL works in its data directory, so its working directory tells.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == cluster
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # no /proc here: a living process must do; with one: it has just died
    except PermissionError:
        return False


def forget_stranger(cluster: Path) -> None:
    """Removes a postmaster.pid whose number now belongs to another program.

    PostgreSQL would take that program for its postmaster and refuse to start, for ever if it is the supervisor itself.
    Surviving backends are still found: PostgreSQL looks for the shared memory of the directory besides.
    """
    file = cluster / "postmaster.pid"
    try:
        pid = int(file.read_text().split("\n")[_PID])
    except (FileNotFoundError, ValueError):
        return
    if not serves(pid, cluster):
        file.unlink(missing_ok=True)
