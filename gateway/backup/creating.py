"""A backup, made while the gateway runs.

    hold trimming -> snapshots' sequences -> copy of the database -> the log from those sequences to its end -> secrets, blobs
    -> manifest -> sync -> read all back -> rename -> row in `backup`, which lets workers trim again, further than before

Why it is consistent: the copy of the database has, for each partition, an offset and a snapshot that are not below those
read before it, and the log's part begins there and ends after the copy was done. So database and log overlap, whatever was
committed meanwhile. Blobs come last: a blob is durable before the record that names it is in the log.

The directory appears under its name when it is whole and was read back; a backup that is killed leaves NAME.partial.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import secrets
import shutil
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from gateway.backup.errors import BackupError
from gateway.backup.files import copy_blobs, free_space, size_of, sync_parent, sync_tree, write_private
from gateway.backup.log_part import copy_out
from gateway.backup.manifest import Kind, Manifest, sha256_of
from gateway.backup.stores import opened_log, operator, running_log
from gateway.backup.verifying import read_back
from gateway.database import running_database
from gateway.nodes import postgres
from storage import backups, base_backup
from storage.blobs import Bucket, place
from storage.embedded import binaries
from storage.programs import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.backup.log_part import Extent
    from gateway.config import Settings

    Say = Callable[[str, str], None]
    """Tells the operator what was done: English, Chinese."""

MEGABYTE = 1024**2


def create(settings: Settings, target: Path, say: Say, *, with_database: bool = True) -> Manifest:
    """Raises BackupError, ProgramError, StreamChangedError, or what the stores raise; then there is no ``target``."""
    if target.exists():
        raise BackupError(f"{target} exists: name a new directory | {target} 已存在：请指定新目录")
    with (
        running_database(settings) as owner,
        running_log(settings),
        psycopg.connect(owner, autocommit=True, application_name="lezgate-backup") as conn,
    ):
        if not backups.hold_trimming(conn):
            raise BackupError("another backup of this database is running | 该数据库的另一备份正在进行")
        partial = target.with_name(target.name + ".partial")
        if partial.exists():  # of one that was killed: we are the only one who runs
            shutil.rmtree(partial)
        partial.mkdir(parents=True, mode=0o700)
        try:
            manifest = _fill(settings, partial, conn, say, with_database=with_database)
            read_back(partial, say)
            partial.rename(target)  # an OSError where somebody has made it meanwhile
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync_parent(target)
        _record(conn, manifest, target)
    return manifest


def _fill(
    settings: Settings, partial: Path, conn: psycopg.Connection[Any], say: Say, *, with_database: bool
) -> Manifest:
    places = backups.places(conn)
    kind = _copy_database(settings, partial, conn, say) if with_database else "none"
    taken_at = datetime.now(UTC)
    stream, extents, last = asyncio.run(_copy_log(settings, partial, places))
    size = sum(extent.bytes for extent in extents.values())
    count = sum(extent.messages for extent in extents.values())
    say(f"log: {count} batches, {size / MEGABYTE:.1f} MB", f"日志：{count} 批，{size / MEGABYTE:.1f} MB")
    where = place(settings.blobs)
    if isinstance(where, Bucket):
        blobs = settings.blobs_url
        say("blobs: in a bucket, which its owner backs up", "媒体文件：在存储桶中，由其所有者备份")
    else:
        blobs = "copied"
        (partial / "blobs").mkdir(mode=0o700)
        names = copy_blobs(where, partial / "blobs")
        (partial / "blobs.list").write_text("".join(f"{name}\n" for name in names))
        say(f"blobs: {len(names)}", f"媒体文件：{len(names)} 个")
    if (settings.data / "secrets.json").exists():
        write_private(partial / "secrets.json", (settings.data / "secrets.json").read_bytes())
    whole = {"database", "blobs"}
    listed = [
        path
        for path in sorted(partial.rglob("*"))
        if path.is_file() and path.relative_to(partial).parts[0] not in whole
    ]
    if kind == "cluster":
        listed.append(partial / "database" / "backup_manifest")
    manifest = Manifest(
        id=secrets.token_hex(8),
        lezgate=importlib.metadata.version("lezgate"),
        taken_at=taken_at.isoformat(),
        host=socket.gethostname(),
        actor=operator(),
        database=kind,
        postgresql=conn.info.parameter_status("server_version") or "",
        migrations=[name for (name,) in conn.execute("SELECT name FROM schema_migration ORDER BY name")],
        stream=stream,
        partitions=extents,
        last=last,
        blobs=blobs,
        auth_key="setting" if settings.auth_key else "secrets",
        bytes=size_of(partial),
        files={str(path.relative_to(partial)): sha256_of(path) for path in listed},
    )
    manifest.write(partial)
    sync_tree(partial, skip=[partial / "database"])  # pg_basebackup and pg_dump sync what they write
    return manifest


def _copy_database(settings: Settings, partial: Path, conn: psycopg.Connection[Any], say: Say) -> Kind:
    row = conn.execute("SELECT sum(pg_database_size(oid)) FROM pg_database WHERE datallowconn").fetchone()
    size, free = int(row[0]) if row else 0, free_space(partial)
    if size > free:
        raise BackupError(
            f"{partial.parent}: {free // MEGABYTE} MB free, but the database has {size // MEGABYTE} MB"
            f" | {partial.parent}：可用 {free // MEGABYTE} MB，而数据库有 {size // MEGABYTE} MB"
        )
    say(f"database: copying about {size / MEGABYTE:.0f} MB", f"数据库：正在复制约 {size / MEGABYTE:.0f} MB")
    if not settings.database_url:
        base_backup.take(binaries(), postgres(settings).url("superuser", "postgres"), partial / "database")
        return "cluster"
    if conn.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None:
        raise BackupError(
            "TimescaleDB is backed up by its own means (docs/backup.md): add --without-database for the log's part"
            " | TimescaleDB 须用其自身工具备份（见 docs/backup.md）：加 --without-database 只备份日志部分"
        )
    run(binaries(), "pg_dump", "--format=custom", "--no-password", f"--file={partial / 'database.dump'}",
        conninfo=settings.database_url)  # fmt: skip
    return "dump"


async def _copy_log(
    settings: Settings, partial: Path, places: dict[int, backups.Place]
) -> tuple[str, dict[int, Extent], int]:
    async with opened_log(settings) as log:
        stream = await log.stream()
        if strange := {one.stream for one in places.values()} - {stream.identity}:
            raise BackupError(
                f"the database follows log {', '.join(sorted(strange))}, but this one is {stream.identity}: they are no pair"
                " | 数据库记录的日志与当前日志不一致，无法一同备份"
            )
        (partial / "log").mkdir(mode=0o700)
        extents = {}
        for partition in range(stream.partitions):
            known = places.get(partition)
            path = partial / "log" / f"{partition}.part"
            extents[partition] = await copy_out(log, stream, partition, known.snapshot if known else 0, path)
        return stream.identity, extents, await log.last()


def _record(conn: psycopg.Connection[Any], manifest: Manifest, target: Path) -> None:
    """In the session that holds the trimming: were it gone, this would raise, and nothing would rely on the backup."""
    with conn.transaction():
        backups.record(
            conn,
            id_=manifest.id,
            stream=manifest.stream,
            needs={partition: extent.needs for partition, extent in manifest.partitions.items()},
            taken_at=datetime.fromisoformat(manifest.taken_at),
            size=manifest.bytes,
            place=f"{manifest.host}:{target}",
            actor=manifest.actor,
        )
        backups.note(
            conn,
            actor=manifest.actor,
            action="backup.create",
            object_=f"backup:{manifest.id}",
            detail={"place": str(target)},
        )
