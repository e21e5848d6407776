"""The disk floor: how much of the embedded log's disk stays free, so that JetStream never meets a full one.

nats-server 2.15 that meets ENOSPC answers no append any more, and does not begin again when there is room: it would have to be
restarted. So an edge looks before each append, and writes nothing while less than the floor is free. What several edges may
append between a look and a write (256 KiB each, a partition) is far below any sensible floor.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


class DiskFloor:
    """``floor``: bytes; 0 lets everything pass. ``directory`` may be made later; until then its nearest parent counts."""

    def __init__(self, directory: Path, floor: int) -> None:
        self.floor = floor
        self._directory = directory

    def free(self) -> int:
        """Bytes that are free for us on the log's disk."""
        place = self._directory
        while not place.exists() and place != place.parent:
            place = place.parent
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize

    def reason(self) -> str | None:
        """Why nothing may be appended now, and what to do about it; None where there is room."""
        if not self.floor or (free := self.free()) >= self.floor:
            return None
        return (
            f"the log's disk is nearly full: {free // MIB} MiB free in {self._directory}, LEZGATE_DISK_FLOOR_BYTES keeps"
            f" {self.floor // MIB} MiB; free space there, and it goes on by itself"
            f" | 日志所在磁盘空间不足：{self._directory} 剩余 {free // MIB} MiB，低于 LEZGATE_DISK_FLOOR_BYTES 的"
            f" {self.floor // MIB} MiB；请清理磁盘空间，随后自动恢复"
        )
