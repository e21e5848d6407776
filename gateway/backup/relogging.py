"""The log's part of a backup, appended to a new log, and the places of offsets and snapshots there.

Order within a partition is kept, so the one consistent place of an offset is behind the last message that it had seen. The new
log counts on from the lost one: no sequence that is noted anywhere (dead letters, events) ever means two messages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.backup.errors import BackupError
from gateway.backup.log_part import records

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.backup.manifest import Manifest
    from gateway.config import Settings
    from gateway.log import Log
    from storage.backups import Place

_STALLED_S = 60.0
_LOOK_S = 1.0


async def append_all(
    log: Log, appender: Log, settings: Settings, manifest: Manifest, directory: Path, places: dict[int, Place]
) -> tuple[str, dict[int, tuple[int, int]]]:
    """The new log's identity, and (offset, snapshot) of every partition of ``places`` in it."""
    if await log.exists():
        raise BackupError(
            "there is a log already: restore into an empty NATS, or with --keep-log where that is the log of this backup"
            " | 日志已存在：请恢复到空的 NATS；若该日志即备份所属日志，请用 --keep-log"
        )
    stream = await log.create(
        len(manifest.partitions), settings.log_max_bytes, settings.log_replicas, manifest.last + 1
    )
    appended = 0

    async def append(partition: int) -> tuple[int, int]:
        nonlocal appended
        place = places.get(partition)
        offset = snapshot = manifest.last
        for sequence, data in records(directory / "log" / f"{partition}.part"):
            new = await appender.append(partition, data, f"restore-{manifest.id}-{partition}-{sequence}")
            appended += 1
            if place is not None and sequence <= place.sequence:
                offset = new
            if place is not None and sequence <= place.snapshot:
                snapshot = new
        return offset, snapshot

    async def watch() -> None:
        """An append never gives up; a log that refuses for a minute, full or without a leader, ends the restore."""
        before, since = appended, 0.0
        while True:
            await asyncio.sleep(_LOOK_S)
            before, since = appended, 0.0 if appended != before else since + _LOOK_S
            if since > _STALLED_S:
                raise BackupError(f"the log takes nothing: {appender.trouble} | 日志无法写入：{appender.trouble}")

    async def append_each() -> dict[int, tuple[int, int]]:
        numbers = sorted(manifest.partitions)
        return dict(zip(numbers, await asyncio.gather(*map(append, numbers)), strict=True))

    watching, appending = asyncio.create_task(watch()), asyncio.create_task(append_each())
    try:
        await asyncio.wait([watching, appending], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        found = await appending
    finally:
        watching.cancel()
        appending.cancel()
    return stream.identity, {partition: found[partition] for partition in places if partition in found}


async def reaches_back(log: Log, manifest: Manifest) -> list[int]:
    """Raises BackupError unless a surviving log has all that this backup needs of it.

    Each partition of the log keeps the message at the snapshot that the backup began with; where it is still there, nothing
    after it was trimmed. Returns the partitions that had no message then: of these it cannot be told.
    """
    stream = await log.stream()
    if stream.identity != manifest.stream:
        raise BackupError(
            f"the backup is of log {manifest.stream}, but this one is {stream.identity}: restore without --keep-log"
            " into a new data directory | 备份所属日志与现有日志不一致：请不加 --keep-log，恢复到新的数据目录"
        )
    silent = []
    for partition, extent in manifest.partitions.items():
        first, last = await log.ends(partition)
        if not extent.first:
            silent.append(partition)
        elif not first or first > extent.first:
            raise BackupError(
                f"partition {partition} of the log begins at {first}, but the backup needs it from {extent.first}: it was"
                " trimmed since (LEZGATE_TRIM_AFTER=backup prevents that); use a newer backup"
                f" | 日志分区 {partition} 从 {first} 开始，而备份需要从 {extent.first} 起的数据：其间已被删除，请使用更新的备份"
            )
        elif last < extent.last:
            raise BackupError(
                f"partition {partition} of the log ends at {last}, before the backup's {extent.last}: it has lost its end;"
                " restore without --keep-log | 日志末尾缺失：请不加 --keep-log 恢复"
            )
    return silent
