"""A diff of zones as lines for people, in English and Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from admin_api.zone_plan import REPAIRABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from admin_api.zone_plan import Planned
    from geofence.importing.reading import Incoming

_CHANGES_ZH = {"new": "新增", "changed": "变更", "unchanged": "未变", "refused": "拒绝"}
_FIELDS_ZH = {
    "geometry": "边界", "rules": "规则", "tier": "级别", "doc_no": "文号", "unknown_policy": "阶段不明", "guard_m": "内缓冲",
    "halo_m": "外缓冲", "merge_s": "合并时限", "lost_s": "失联时限", "lost_merge_s": "失联合并时限",
    "slow_terminals": "低频终端", "valid_from": "开始", "valid_to": "结束", "state": "状态",
}  # fmt: skip


def zone_lines(planned: Planned) -> Iterator[str]:
    """One line for the zone (id, version, what becomes of it, name), then one for each difference, indented."""
    document = planned.document()
    zone, version = document["zone"] or "-", f"v{document['version']}" if document["version"] else "-"
    change = f"{planned.kind} {_CHANGES_ZH[planned.kind]}"
    yield "\t".join(map(str, (zone, version, change, document["district"] or "-", document["name"] or "-")))
    for each in document["differences"]:
        yield f"    {_difference(each)}"


def refusal_lines(incoming: Sequence[Incoming], planned: Sequence[Planned] = ()) -> list[str]:
    """Every reason, with the zone's place in the file; those of the plan too, where one was made."""
    faults = [(each.incoming, each.faults) for each in planned] or [(each, each.faults) for each in incoming]
    lines = []
    for each, reasons in faults:
        of = f" of {each.layer}" if each.layer else ""
        name = f" {each.name}" if each.name else ""
        for fault in reasons:
            where = f" ({fault.where})" if fault.where else ""
            to_do = ("; or give --crs", "；也可用 --crs 指明") if fault.code == "crs_missing" else ("", "")
            lines.append(
                f"feature {each.number}{of}{name}{where}: {fault.message_en}{to_do[0]} | {fault.message_zh}{to_do[1]}"
            )
    if any(fault.code in REPAIRABLE for _, reasons in faults for fault in reasons):
        lines.append(
            "nothing is repaired silently: `lezgate zones repair FILE` shows what the shapes might have meant | "
            "系统不会自动修复图形：可用 lezgate zones repair FILE 预览修复结果"
        )
    return lines


def _difference(each: dict[str, Any]) -> str:
    name, name_zh = each["field"], _FIELDS_ZH[each["field"]]
    if name == "geometry":
        return (
            f"{name}: {each['area_m2']:,.0f} m2 differ, the border moved by up to {each['shift_m']:,.2f} m, "
            f"{each['before']:,} m2 -> {each['after']:,} m2 | {name_zh}：相差 {each['area_m2']:,.0f} 平方米，"
            f"边界最大移动 {each['shift_m']:,.2f} 米"
        )
    return f"{name}: {_shown(each['before'])} -> {_shown(each['after'])} | {name_zh}"


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()
