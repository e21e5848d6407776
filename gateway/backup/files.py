"""Files of a backup: copied, synced, and counted."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def copy_blobs(source: Path, target: Path) -> list[str]:
    """Copies every blob of a folder that ``target`` does not have; the names of all, sorted. A blob never changes."""
    names = sorted(str(path.relative_to(source)) for path in source.glob("??/*") if not path.name.startswith("."))
    for name in names:
        path = target / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_name(f".{path.name}")
        shutil.copyfile(source / name, scratch)
        scratch.chmod(0o600)
        _sync(scratch)
        scratch.rename(path)
    return names


def write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_tree(directory: Path, skip: Iterable[Path] = ()) -> None:
    """Makes files and names durable, all below ``directory`` but what is in ``skip``."""
    skipped = set(skip)
    for path in directory.iterdir():
        if path in skipped:
            continue
        if path.is_dir():
            sync_tree(path)
        else:
            _sync(path)
    _sync(directory)


def size_of(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def free_space(directory: Path) -> int:
    """Of the file system that ``directory``, or the nearest one above that exists, is on."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


def sync_parent(path: Path) -> None:
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
