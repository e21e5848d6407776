"""What a start finds in place of a cluster that it can use, and what to do about it: nothing is made over what was there.

cluster           the one in use
made              an empty file: there was one, so where `cluster` is missing it was lost
cluster.N         one of major N that an upgrade has left behind
cluster.upgraded  what an upgrade has made, whole, in the moment before it takes the place of `cluster`
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from storage.programs import major_of_cluster, major_of_programs

if TYPE_CHECKING:
    from pathlib import Path

MADE = "made"
UPGRADED = "cluster.upgraded"
_KEPT = re.compile(r"cluster\.\d+")


class ClusterError(RuntimeError):
    """The cluster is lost, or of another major version than the programs, or an upgrade was interrupted."""


def kept(data_dir: Path) -> list[Path]:
    """Clusters that upgrades have left."""
    return sorted(path for path in data_dir.glob("cluster.*") if _KEPT.fullmatch(path.name))


def check_cluster(cluster: Path, programs: Path) -> None:
    """Raises ClusterError where a start would fail, or would begin anew in place of what there was."""
    if not cluster.exists():
        if kept(cluster.parent):
            raise ClusterError(
                f"{cluster} is missing and {kept(cluster.parent)[-1]} is there: an upgrade was interrupted. Run"
                f" `lezgate db upgrade`, or rename the old one back | {cluster} 缺失：升级曾中断，请执行 lezgate db upgrade，或将旧目录改回原名"
            )
        if (cluster.parent / MADE).exists():
            raise ClusterError(
                f"{cluster} is gone: run `lezgate backup restore DIR --keep-log` (docs/backup.md); to begin anew, with no zone, no"
                f" machine and no track, remove {cluster.parent} | {cluster} 丢失：请执行 lezgate backup restore DIR --keep-log"
                f"（见 docs/backup.md）；若要放弃全部数据重新开始，请删除 {cluster.parent}"
            )
        return
    ours, theirs = major_of_programs(programs), major_of_cluster(cluster)
    if ours < theirs:
        raise ClusterError(
            f"{cluster} is of PostgreSQL {theirs}, and this lezgate brings {ours}: use a lezgate with {theirs}"
            f" | {cluster} 属于 PostgreSQL {theirs}，而本程序自带 {ours}：请使用自带 {theirs} 的版本"
        )
    if ours > theirs:
        raise ClusterError(
            f"{cluster} is of PostgreSQL {theirs}, and this lezgate brings {ours}. Nothing was changed. Back up with the lezgate"
            f" of before, then run `lezgate db upgrade` (docs/backup.md) | {cluster} 属于 PostgreSQL {theirs}，而本程序自带 {ours}，"
            "数据未改动。请先用原版本备份，再执行 lezgate db upgrade（见 docs/backup.md）"
        )
