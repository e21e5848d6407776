"""The properties of a zone under the names and in the spellings that other programs write.

English names are ours and go first; Chinese ones, and the pinyin initials of survey offices' tables (MC 名称, XZQDM
行政区代码), follow in order, and the first that is not blank counts. A value that is not understood goes through as it is,
for the checks to refuse.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAMES = {
    "name": ("名称", "区域名称", "禁用区名称", "禁用区", "MC", "QYMC", "zone_name", "title"),
    "district": ("辖区代码", "行政区代码", "区划代码", "行政区划代码", "XZQDM", "辖区", "所属辖区", "行政区", "区县", "XZQMC"),
    "tier": ("级别", "区域级别", "类别", "区域类型", "等级", "JB", "level"),
    "crs": ("坐标系",),
    "rules": ("规则", "禁用规则"),
    "doc_no": ("文号", "公告文号", "发文字号", "文件号", "WH"),
    "valid_from": ("开始", "开始时间", "开始日期", "生效", "生效时间", "生效日期", "施行日期", "起始日期", "start"),
    "valid_to": ("结束", "结束时间", "结束日期", "失效日期", "失效时间", "截止", "截止日期", "截止时间", "end"),
    "guard_m": ("内缓冲", "内缓冲米"),
    "halo_m": ("外缓冲", "外缓冲米"),
    "unknown_policy": ("阶段不明", "未知处理"),
    "merge_s": ("合并秒", "合并时限"),
    "lost_s": ("失联秒", "失联时限"),
    "lost_merge_s": ("失联合并秒", "失联合并时限"),
    "slow_terminals": ("低频终端",),
}  # fmt: skip
# A Shapefile's column name has ten bytes: unknown_policy arrives as unknown_po.
_COLUMN = 10
# What our own export writes beside these; it is known, and says nothing to an import.
EXPORTED = frozenset({
    "state", "version", "source_crs", "author", "created_at", "submitted_by", "submitted_at", "reviewed_by", "reviewed_at",
    "review_note", "published_at", "direct",
})  # fmt: skip

_SPELLINGS = {
    "tier": {"核心": "core", "核心区": "core", "core": "core", "一般": "general", "一般区": "general", "普通": "general",
             "general": "general"},
    "unknown_policy": {"记录": "record", "仅记录": "record", "record": "record", "报警": "alarm", "alarm": "alarm"},
    "slow_terminals": {"询问": "ask", "ask": "ask", "单点": "one_fix", "one_fix": "one_fix", "等待": "wait", "wait": "wait"},
}  # fmt: skip
_NUMBERS = ("guard_m", "halo_m", "merge_s", "lost_s", "lost_merge_s")
_DAY = re.compile(r"(\d{4})(?:-(\d\d?)-(\d\d?)|/(\d\d?)/(\d\d?)|年(\d\d?)月(\d\d?)日|(\d\d)(\d\d))", re.ASCII)


def _key(name: str) -> str:
    return re.sub(r"[\s_]", "", name).lower()


_PROPERTY_OF = {
    _key(name): property_
    for property_, names in NAMES.items()
    for name in (property_[:_COLUMN], property_, *names)
}  # fmt: skip
_RANK = {_key(name): rank for property_, names in NAMES.items() for rank, name in enumerate((property_, *names))}


def translated(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Properties under our own names, our own values where they are understood; ``defaults`` where a file is silent."""
    known = sorted((_RANK.get(_key(name), 0), name) for name in given if _key(name) in _PROPERTY_OF)
    found: dict[str, Any] = {}
    for _, name in known:
        property_, value = _PROPERTY_OF[_key(name)], given[name]
        if property_ not in found and not _is_blank(value):
            found[property_] = _value(property_, value)
    return {**defaults, **found}


def unknown(names: Iterable[str]) -> list[str]:
    """Those that no property answers to, in their order, each once."""
    return list(dict.fromkeys(name for name in names if _key(name) not in _PROPERTY_OF and name not in EXPORTED))


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _value(property_: str, value: Any) -> Any:
    if not isinstance(value, str):
        # A code that was typed as a number.
        return str(value) if property_ == "district" and type(value) is int else value
    text = value.strip()
    if property_ in _SPELLINGS:
        return _SPELLINGS[property_].get(text.lower(), text)
    if property_ in _NUMBERS:
        return _number(text)
    if property_ == "rules":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    if property_ in {"valid_from", "valid_to"}:
        return _day(text, last=property_ == "valid_to")
    return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _day(text: str, *, last: bool) -> str:
    """A bare day as a time in China. A zone's last day (有效期至) still counts, so it ends with the next one's beginning."""
    found = _DAY.fullmatch(text)
    if found is None:
        return text
    year, month, day = (int(number) for number in found.groups() if number is not None)
    try:
        at = date(year, month, day) + timedelta(days=last)
    except (ValueError, OverflowError):
        return text
    return f"{at.isoformat()}T00:00:00+08:00"
