"""A cluster belongs to one major version of PostgreSQL: another one's server refuses it, so we say what to do instead.

cluster           the one in use
cluster.N         one of major N that an upgrade has left behind
cluster.upgraded  what an upgrade has made, whole, in the moment before it takes the place of `cluster`
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from storage.programs import major_of_cluster, major_of_programs

if TYPE_CHECKING:
    from pathlib import Path

UPGRADED = "cluster.upgraded"
_KEPT = re.compile(r"cluster\.\d+")


class OtherMajorError(RuntimeError):
    """The cluster is of another major version than the programs, or an upgrade was interrupted."""


def kept(data_dir: Path) -> list[Path]:
    """Clusters that upgrades have left."""
    return sorted(path for path in data_dir.glob("cluster.*") if _KEPT.fullmatch(path.name))


def check_major(cluster: Path, programs: Path) -> None:
    """Raises OtherMajorError where a start would fail, or would begin anew beside what an upgrade was about to replace."""
    if not cluster.exists():
        if kept(cluster.parent):
            raise OtherMajorError(
                f"{cluster} is missing and {kept(cluster.parent)[-1]} is there: an upgrade was interrupted. Run"
                f" `lezgate db upgrade`, or rename the old one back | {cluster} 缺失：升级曾中断，请执行 lezgate db upgrade，或将旧目录改回原名"
            )
        return
    ours, theirs = major_of_programs(programs), major_of_cluster(cluster)
    if ours < theirs:
        raise OtherMajorError(
            f"{cluster} is of PostgreSQL {theirs}, and this lezgate brings {ours}: use a lezgate with {theirs}"
            f" | {cluster} 属于 PostgreSQL {theirs}，而本程序自带 {ours}：请使用自带 {theirs} 的版本"
        )
    if ours > theirs:
        raise OtherMajorError(
            f"{cluster} is of PostgreSQL {theirs}, and this lezgate brings {ours}. Nothing was changed. Back up with the lezgate"
            f" of before, then run `lezgate db upgrade` (docs/backup.md) | {cluster} 属于 PostgreSQL {theirs}，而本程序自带 {ours}，"
            "数据未改动。请先用原版本备份，再执行 lezgate db upgrade（见 docs/backup.md）"
        )
