"""Giving up what the log lost: the worker stops a partition where acknowledged batches are missing, and somebody says go on.

The partition's log is read again from its beginning: what is stored already is known by its edge's boot and number, and by
its key. Holes before the place that the log has now stop nobody any more. Another log began after the lost one had ended,
and its edges number on: their first batches there may come a while after this, hence STILL_TO_COME.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from gateway.backup.errors import BackupError
from gateway.backup.stores import opened_log, operator, running_log
from gateway.database import running_database
from storage import backups

if TYPE_CHECKING:
    from gateway.config import Settings

STILL_TO_COME = 10_000  # messages: a hundred edges for some seconds


async def present(settings: Settings) -> tuple[str, int]:
    """The identity of the log that is there, and the last sequence that it gave."""
    async with opened_log(settings) as log:
        if not await log.exists():
            raise BackupError("there is no log yet: start lezgate first | 尚无日志：请先启动 lezgate")
        return (await log.stream()).identity, await log.last()


def accept_loss(settings: Settings, partition: int, *, really: bool) -> tuple[str, str]:
    """What is given up, in English and Chinese; given up where ``really``."""
    with running_database(settings) as owner, running_log(settings), psycopg.connect(owner) as conn:
        identity, last = asyncio.run(present(settings))
        place = backups.places(conn).get(partition)
        if place is None:
            raise BackupError(
                f"the database knows no partition {partition}: give one that /readyz names"
                f" | 数据库中没有分区 {partition}：请使用 /readyz 中的分区号"
            )
        another = place.stream != identity or place.sequence > last
        accepted = last + STILL_TO_COME if another else last
        if really:
            backups.repoint(conn, identity, {partition: (0, 0)}, accepted)
            backups.note(
                conn, actor=operator(), action="log.accept_loss", object_=f"log:{identity}:{partition}",
                detail={"before": [place.stream, place.sequence], "accepted": accepted},
            )  # fmt: skip
    english = (
        f"partition {partition} stands at {place.sequence} of log {place.stream}; the log that is there is {identity} and ends"
        f" at {last}: reports that were acknowledged and are not in it are given up"
    )
    chinese = (
        f"分区 {partition} 已处理至日志 {place.stream} 的第 {place.sequence} 条；现有日志为 {identity}，末尾序号 {last}：已确认但不在"
        "该日志中的上报将被放弃"
    )
    return english, chinese
