"""A copy of the embedded cluster: taken while the server runs, checked, and made a cluster again.

pg_basebackup copies the files with the WAL that makes them consistent, and a manifest with the SHA-256 of each, which
pg_verifybackup reads back together with the WAL. A server that starts from the copy recovers to the end of the backup.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from storage.programs import run
from storage.service_user import give, require_reachable, service_user

if TYPE_CHECKING:
    from pathlib import Path

    from storage.embedded import EmbeddedPostgres


def take(programs: Path, superuser: str, target: Path) -> None:
    """``superuser``: conninfo. Returns when the copy is synced. Raises ProgramError."""
    words = (
        "--checkpoint=fast",
        "--wal-method=stream",
        "--manifest-checksums=SHA256",
        "--label=lezgate",
        "--no-password",
    )
    run(programs, "pg_basebackup", f"--pgdata={target}", *words, conninfo=superuser)


def verify(programs: Path, copy: Path) -> None:
    """Reads everything back. Raises ProgramError, which names the file."""
    run(programs, "pg_verifybackup", "--quiet", copy)


def install(server: EmbeddedPostgres, copy: Path) -> None:
    """``copy`` becomes the cluster of a server that has none, as its user's own."""
    user = service_user(server.cluster)
    require_reachable(server.cluster, user)
    server.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    give(server.data_dir, user)
    building = server.cluster.with_suffix(".new")
    if building.exists():
        shutil.rmtree(building)
    shutil.copytree(copy, building, symlinks=True)
    for path in (building, *building.rglob("*")):
        give(path, user)
    building.chmod(0o700)
    building.rename(server.cluster)
