"""The manifest of a backup: what is in it, of which versions and which log, and the SHA-256 of every file.

manifest.json is written last. It holds its own SHA-256, so a backup whose manifest reads is one that was written to its end.
`database/` has PostgreSQL's own manifest (backup_manifest, SHA-256 of every file), of which this one holds the sum.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from gateway.backup.errors import DamagedBackupError
from gateway.backup.log_part import Extent

if TYPE_CHECKING:
    from pathlib import Path

NAME = "manifest.json"
FORMAT = 1
Kind = Literal["cluster", "dump", "none"]
"""Of the database: a copy of the embedded cluster's files, a pg_dump, or backed up by its owner."""
_CHUNK = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Manifest:
    """partitions: of the log, by number; last: the log's last sequence; taken_at: what was acknowledged before is in it."""

    id: str
    lezgate: str
    taken_at: str
    host: str
    actor: str
    database: Kind
    postgresql: str
    migrations: list[str]
    stream: str
    partitions: dict[int, Extent]
    last: int
    blobs: str
    """`copied`, or the URL of the bucket, which its owner backs up."""
    auth_key: str
    """`secrets`, or `setting` where LEZGATE_AUTH_KEY is set: keep that by yourself."""
    bytes: int
    files: dict[str, str]
    """Path -> SHA-256."""
    format: int = FORMAT

    def write(self, directory: Path) -> None:
        values = asdict(self)
        values["sha256"] = _sum(values)
        (directory / NAME).write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")

    @staticmethod
    def read(directory: Path) -> Manifest:
        """Raises DamagedBackupError."""
        path = directory / NAME
        try:
            values = json.loads(path.read_bytes())
            told, form = values.pop("sha256"), values["format"]
            values["partitions"] = {int(key): Extent(**extent) for key, extent in values["partitions"].items()}
            manifest = Manifest(**values)
        except FileNotFoundError:
            raise DamagedBackupError(
                f"{directory}: no backup: {NAME} is missing | {directory}：不是备份，缺少 {NAME}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedBackupError(f"{path}: does not read: {error!r} | {path}：无法读取") from error
        if told != _sum(asdict(manifest)):
            raise DamagedBackupError(f"{path}: does not match its SHA-256 | {path}：校验失败")
        if form > FORMAT:
            raise DamagedBackupError(f"{path}: of a newer lezgate, format {form} | {path}：由更新版本的 lezgate 创建")
        return manifest


def sha256_of(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _sum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
