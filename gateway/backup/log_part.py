"""The log's part of a backup: one file for each partition, written as it is read, and read back record by record.

    magic "LZL1" | record ... | end
    record: sequence u64 LE | length u32 LE | CRC-32 u32 LE of sequence, length and data | data
    end:    a record of sequence 2^64 - 1 whose data is the number of records, u64 LE

A file without its end was cut off. The data is a batch with a CRC of its own (columns/batch.py); one that did not read in
the log already is kept as it was, for the worker keeps it too.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from gateway.backup.errors import BackupError, DamagedBackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.log import Log, Stream

MAGIC = b"LZL1"
_HEAD = struct.Struct("<QII")
_COUNT = struct.Struct("<Q")
_END = 2**64 - 1
_GATHER_BYTES = 8 * 1024**2
_PATIENCE = 30  # empty answers of a second each: an election in the log's cluster takes 4-9 s


@dataclass(frozen=True, slots=True)
class Extent:
    """What a file holds of a partition. needs: what the log must keep for this backup; first, last: 0 where it is empty."""

    needs: int
    first: int
    last: int
    messages: int
    bytes: int


async def copy_out(log: Log, stream: Stream, partition: int, needs: int, path: Path) -> Extent:
    """Writes all that the log has of a partition now, from ``needs`` on, and syncs the file."""
    _, last = await log.ends(partition)
    first = written = count = size = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(MAGIC)
        if last >= needs and last:
            reader = log.reader(partition, max(needs - 1, 0), stream)
            left = _PATIENCE
            try:
                while written < last:
                    messages = await reader.gather(0.0, _GATHER_BYTES)
                    left = _PATIENCE if messages else left - 1
                    if not left:
                        raise BackupError(
                            f"the log stopped answering at {written} of {last}: try again when /readyz is ok"
                            f" | 日志在 {written}/{last} 处停止响应：请待 /readyz 正常后重试"
                        )
                    for sequence, data in messages:
                        if sequence > last:
                            break
                        _write(file, sequence, data)
                        first, written = first or sequence, sequence
                        count, size = count + 1, size + len(data)
            finally:
                await reader.close()
        _write(file, _END, _COUNT.pack(count))
        file.flush()
        os.fsync(file.fileno())
    return Extent(needs, first, written, count, size)


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """(sequence, data) in order. Raises DamagedBackupError at the first byte that is not as it was written."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _damaged(path, "no file of ours", "不是备份文件")
        count = before = 0
        while True:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise _damaged(path, "cut off", "文件不完整")
            sequence, length, crc = _HEAD.unpack(head)
            data = file.read(length)
            if len(data) < length or zlib.crc32(data, zlib.crc32(head[:-4])) != crc:
                raise _damaged(path, f"record {count + 1} does not match its CRC", f"第 {count + 1} 条记录校验失败")
            if sequence == _END:
                if data != _COUNT.pack(count) or file.read(1):
                    raise _damaged(path, "records are missing", "记录缺失")
                return
            if sequence <= before:
                raise _damaged(path, "records are out of order", "记录顺序错误")
            yield sequence, data
            count, before = count + 1, sequence


def _write(file: IO[bytes], sequence: int, data: bytes) -> None:
    head = _HEAD.pack(sequence, len(data), 0)[:-4]
    file.write(head + zlib.crc32(data, zlib.crc32(head)).to_bytes(4, "little") + data)


def _damaged(path: Path, why: str, why_zh: str) -> DamagedBackupError:
    return DamagedBackupError(f"{path}: {why} | {path}：{why_zh}")
