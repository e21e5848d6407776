"""A backup is read back, to its last byte, with no store and no network: a copy can be checked wherever it lies."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from columns.batch import BatchError, decode
from gateway.backup.errors import DamagedBackupError
from gateway.backup.log_part import records
from gateway.backup.manifest import Manifest, sha256_of
from storage import base_backup
from storage.embedded import binaries
from storage.programs import ProgramError, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read_back(directory: Path, say: Callable[[str, str], None]) -> Manifest:
    """The manifest of a backup of which every byte is as it was written. Raises DamagedBackupError."""
    manifest = Manifest.read(directory)
    for name, told in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise DamagedBackupError(f"{path} is missing | 缺少 {path}")
        if sha256_of(path) != told:
            raise DamagedBackupError(f"{path} does not match its SHA-256 | {path} 校验失败")
    unread = _log(directory, manifest)
    count = _blobs(directory, manifest)
    try:
        if manifest.database == "cluster":
            base_backup.verify(binaries(), directory / "database")
        elif manifest.database == "dump":
            run(binaries(), "pg_restore", "--file=/dev/null", directory / "database.dump")
    except ProgramError as error:
        raise DamagedBackupError(f"{directory}: the database's part is damaged: {error} | 数据库部分已损坏") from error
    messages = sum(extent.messages for extent in manifest.partitions.values())
    say(
        f"read back: {len(manifest.files)} files by SHA-256, the database by its manifest, {messages} batches by CRC"
        f" ({unread} of them did not read in the log either), {count} blobs",
        f"已全部读回校验：{len(manifest.files)} 个文件、数据库、{messages} 批日志（其中 {unread} 批在原日志中即无法解读）、{count} 个媒体文件",
    )
    return manifest


def _log(directory: Path, manifest: Manifest) -> int:
    """How many batches are whole and yet do not read: the worker parks such ones."""
    unread = 0
    for partition, extent in manifest.partitions.items():
        path = directory / "log" / f"{partition}.part"
        first = last = count = 0
        for sequence, data in records(path):
            first, last, count = first or sequence, sequence, count + 1
            try:
                decode(data)
            except BatchError:
                unread += 1
        if (first, last, count) != (extent.first, extent.last, extent.messages):
            raise DamagedBackupError(f"{path} is not the file of this backup | {path} 不属于该备份")
    return unread


def _blobs(directory: Path, manifest: Manifest) -> int:
    if manifest.blobs != "copied":
        return 0
    names = (directory / "blobs.list").read_text().split()
    for name in names:
        path = directory / "blobs" / name
        if not path.is_file():
            raise DamagedBackupError(f"{path} is missing | 缺少 {path}")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != path.name:
                raise DamagedBackupError(f"{path} does not match its name | {path} 与其名称不符")
    return len(names)
