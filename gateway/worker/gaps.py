"""Gaps: numbers of batches that the log should have and does not.

An edge numbers the batches of its boot and a partition from 1, one by one, and appends a number only after the one before is
on disk. So a number that is left out is a batch that was acknowledged and is gone: the log lost it, or it was trimmed
because a database that is not this one (any more) had it. Pure.

Where it cannot be told it is no gap: of a boot that was forgotten among MOST_BOOTS others, and as many numbers as there
were messages that did not read (UNREAD counts these; they are parked, and have numbers that nobody knows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BOOTS = 64  # edge boots remembered: a boot that was silent while 64 others came and went has ended
UNREAD = "unread"
"""Stands among the boots, which are hexadecimal."""


@dataclass(frozen=True, slots=True)
class Gap:
    """At ``sequence`` of the log boot ``boot`` goes on with ``number``; ``last`` was its last one, 0: it is unknown."""

    sequence: int
    boot: str
    last: int
    number: int


def unread(boots: dict[str, int]) -> None:
    """A message did not read: it had some boot's next number."""
    boots[UNREAD] = boots.pop(UNREAD, 0) + 1


def missing(boots: dict[str, int], last: int, number: int) -> bool:
    """Whether ``number`` leaves any out after ``last``. ``boots``: those of all others."""
    left_out = number - last - 1
    if left_out <= 0 or (not last and len(boots) >= MOST_BOOTS):
        return False
    known = boots.get(UNREAD, 0)
    if left_out > known:
        return True
    boots[UNREAD] = known - left_out
    return False


def described(partition: int, gaps: Sequence[Gap]) -> str:
    """Why a partition stops before these, and what to do, in two languages."""
    first = gaps[0]
    lost = sum(gap.number - gap.last - 1 for gap in gaps)
    return (
        f"the log lacks {lost} acknowledged batches of partition {partition} before sequence {first.sequence} (edge"
        f" {first.boot} goes on from {first.last} to {first.number}): it lost them, or this database is not the one that"
        " had them. Restore the newer of the two, or give them up by `lezgate log accept-loss --partition"
        f" {partition}` | 日志分区 {partition} 在序号 {first.sequence} 之前缺少 {lost} 个已确认的批次：日志丢失，或数据库不是原来的"
        f"那一个。请恢复较新的备份，或执行 lezgate log accept-loss --partition {partition} 放弃这些数据"
    )
