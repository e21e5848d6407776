"""A backup becomes a data directory that `lezgate serve` starts from.

restore()    everything was lost: a new log gets the backup's messages, and the database's offsets are re-pointed into it
beside_log() the database was lost and the log survives: the database comes back and reads on, so nothing is lost

(The log was lost and the database survives: gateway/backup/lost.py.)

Invariants: what is restored was read back before; a data directory appears whole, by a rename; the numbers seen of each edge
boot are kept, so no batch counts twice; who did it is in the audit of the restored database.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from gateway.backup.errors import BackupError
from gateway.backup.files import copy_blobs, free_space, sync_parent, write_private
from gateway.backup.relogging import append_all, reaches_back
from gateway.backup.stores import opened_log, operator, running_log
from gateway.backup.verifying import read_back
from gateway.data_lock import alone
from gateway.database import running_database
from gateway.nodes import postgres
from storage import backups, base_backup
from storage.blobs import Bucket, place
from storage.embedded import binaries
from storage.placement import home_of
from storage.programs import major_of_cluster, major_of_programs, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.backup.manifest import Manifest
    from gateway.config import Settings

    Say = Callable[[str, str], None]


def restore(settings: Settings, source: Path, say: Say) -> Manifest:
    """Into ``settings.data``, which is missing or empty. Raises BackupError or what the stores raise."""
    data = settings.data
    if data.exists() and any(data.iterdir()):
        raise BackupError(
            f"{data} is not empty: name a new directory with --data-dir | {data} 非空：请用 --data-dir 指定新目录"
        )
    manifest = read_back(source, say)
    _check(settings, manifest, source)
    work = data.with_name(data.name + ".restoring")
    _discard(work)
    work.mkdir(parents=True, mode=0o755)
    try:
        _fill(replace(settings, data_dir=str(work)), manifest, source, say)
        os.sync()
        if data.exists():
            data.rmdir()
        work.rename(data)
    except BaseException:
        _discard(work)
        raise
    sync_parent(data)
    return manifest


def beside_log(settings: Settings, source: Path, say: Say) -> Manifest:
    """The database of ``settings.data``, whose log survives. The lost cluster, if there is one, is put aside."""
    manifest = read_back(source, say)
    _check(settings, manifest, source)
    with alone(settings.data):
        _check_secrets(settings, source)
        with running_log(settings):
            silent = asyncio.run(_reaches_back(settings, manifest))
        if silent:
            say(f"partitions {silent} had no message at the time: of these it cannot be told whether the log is whole",
                f"分区 {silent} 备份时没有数据，无法判断其日志是否完整")  # fmt: skip
        _copy_blobs(settings, source)
        aside = _database(settings, manifest, source)
        try:
            _follow(settings, manifest, source)
        except BaseException:
            if manifest.database == "cluster":
                shutil.rmtree(postgres(settings).cluster)
            if aside is not None:
                aside.rename(postgres(settings).cluster)
            raise
    if aside is not None:
        say(
            f"the lost cluster is kept as {aside}: remove it when all is well",
            f"原数据库保留在 {aside}，确认无误后可删除",
        )
    say("the worker reads the rest from the log", "其余数据将由处理进程从日志读取")
    return manifest


def _follow(settings: Settings, manifest: Manifest, source: Path) -> None:
    with running_database(settings) as owner, psycopg.connect(owner) as conn:
        strange = {one.stream for one in backups.places(conn).values()} - {manifest.stream}
        if strange:
            raise BackupError(f"the restored database follows {strange} | 恢复出的数据库属于其他日志")
        _note(conn, manifest, source, "backup.restore", "kept")


def _check(settings: Settings, manifest: Manifest, source: Path) -> None:
    if (manifest.database == "cluster") == bool(settings.database_url):
        kind, kind_zh = (
            (
                "of an embedded PostgreSQL: unset LEZGATE_DATABASE_URL",
                "来自内嵌 PostgreSQL：请取消 LEZGATE_DATABASE_URL",
            )
            if manifest.database == "cluster"
            else ("of a server of your own: set LEZGATE_DATABASE_URL", "来自自备数据库：请设置 LEZGATE_DATABASE_URL")
        )
        raise BackupError(f"this backup is {kind} | 该备份{kind_zh}")
    if manifest.database == "cluster":
        ours, theirs = major_of_programs(binaries()), major_of_cluster(source / "database")
        if ours != theirs:
            raise BackupError(
                f"the backup is of PostgreSQL {theirs} and this lezgate brings {ours}: restore it with a lezgate that brings"
                f" {theirs}, then `lezgate db upgrade` | 备份属于 PostgreSQL {theirs}，本程序自带 {ours}："
                f"请用自带 {theirs} 的版本恢复，再执行 lezgate db upgrade"
            )
    size = sum(extent.bytes for extent in manifest.partitions.values())
    if size > settings.log_max_bytes:
        raise BackupError(
            f"the log's part has {size} bytes, more than LEZGATE_LOG_MAX_BYTES={settings.log_max_bytes}: raise that"
            f" | 日志部分为 {size} 字节，超过 LEZGATE_LOG_MAX_BYTES：请调大"
        )
    if manifest.bytes > free_space(settings.data):
        raise BackupError(
            f"{settings.data}: {free_space(settings.data)} bytes free, {manifest.bytes} needed"
            f" | {settings.data}：空间不足，需要 {manifest.bytes} 字节"
        )


def _check_secrets(settings: Settings, source: Path) -> None:
    """The cluster opens with the passwords of its time; terminals keep codes made with the key of theirs."""
    ours, theirs = settings.data / "secrets.json", source / "secrets.json"
    if not theirs.exists():
        return
    if not ours.exists():
        write_private(ours, theirs.read_bytes())
    kept, backed = json.loads(ours.read_text()), json.loads(theirs.read_text())
    if any(kept.get(name) != backed.get(name) for name in ("postgres_superuser", "auth_key")):
        raise BackupError(
            f"{ours} is of another installation than the backup: put it aside and try again, the backup's is taken then"
            f" | {ours} 与备份不属于同一安装：请将其移开后重试，届时采用备份中的文件"
        )


def _fill(settings: Settings, manifest: Manifest, source: Path, say: Say) -> None:
    if (source / "secrets.json").exists():
        write_private(settings.data / "secrets.json", (source / "secrets.json").read_bytes())
    _copy_blobs(settings, source)
    _database(settings, manifest, source)
    say("database: copied; recovering", "数据库：已复制，正在恢复")
    with running_database(settings) as owner, running_log(settings), psycopg.connect(owner) as conn:
        stream, places = asyncio.run(_append(settings, manifest, source, backups.places(conn)))
        backups.repoint(conn, stream, places)
        _note(conn, manifest, source, "backup.restore", stream)
    count = sum(extent.messages for extent in manifest.partitions.values())
    say(f"log: made anew with {count} batches", f"日志：已重建，含 {count} 批")


async def _append(
    settings: Settings, manifest: Manifest, source: Path, places: dict[int, backups.Place]
) -> tuple[str, dict[int, tuple[int, int]]]:
    async with opened_log(settings) as log, opened_log(settings, "edge") as appender:
        return await append_all(log, appender, settings, manifest, source, places)


async def _reaches_back(settings: Settings, manifest: Manifest) -> list[int]:
    async with opened_log(settings) as log:
        if not await log.exists():
            raise BackupError(
                "no log survives there: restore without --keep-log | 现有日志不存在：请不加 --keep-log 恢复"
            )
        return await reaches_back(log, manifest)


def _copy_blobs(settings: Settings, source: Path) -> None:
    where = place(settings.blobs)
    if (source / "blobs").is_dir() and not isinstance(where, Bucket):
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy_blobs(source / "blobs", where)


def _database(settings: Settings, manifest: Manifest, source: Path) -> Path | None:
    """Puts the backup's database in place; the lost cluster's path where there was one."""
    if manifest.database == "none":
        return None
    if manifest.database == "dump":
        with psycopg.connect(settings.database_url) as conn:
            if (
                conn.execute("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace LIMIT 1").fetchone()
                is not None
            ):
                raise BackupError(
                    "the database of LEZGATE_DATABASE_URL is not empty: name an empty one"
                    " | LEZGATE_DATABASE_URL 指向的数据库非空：请指定空数据库"
                )
        words = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", "--no-password")
        run(binaries(), "pg_restore", *words, source / "database.dump", conninfo=settings.database_url)
        return None
    server = postgres(settings)
    if server.alive():
        raise BackupError("PostgreSQL runs there: stop it first | 该目录的 PostgreSQL 正在运行：请先停止")
    aside = None
    if server.cluster.exists():
        aside = server.cluster.with_name(f"cluster.lost-{time.strftime('%Y%m%d-%H%M%S')}")
        server.cluster.rename(aside)
    try:
        base_backup.install(server, source / "database")
    except BaseException:
        if aside is not None:
            aside.rename(server.cluster)
        raise
    return aside


def _note(conn: psycopg.Connection, manifest: Manifest, source: Path, action: str, log: str) -> None:
    detail = {"from": str(source), "taken_at": manifest.taken_at, "taken_on": manifest.host, "log": log}
    backups.note(conn, actor=operator(), action=action, object_=f"backup:{manifest.id}", detail=detail)


def _discard(work: Path) -> None:
    """What a restore that failed or was killed has left, the cluster's place outside the directory too."""
    if (work / "postgres" / "elsewhere").exists():
        shutil.rmtree(home_of(work / "postgres"), ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)
