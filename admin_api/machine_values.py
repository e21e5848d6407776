"""What people write in a machine's fields, in English or Chinese, as the registry's values. Pure functions of text."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from admin_api.parameters import CHINA
from admin_api.phones import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

Value = str | float | date | datetime


class ValueFault(ValueError):  # noqa: N818 - ValueError is taken
    """A value that cannot be taken; ``field`` names which, and so does the message, in both languages."""

    def __init__(self, field: str, message: str, message_zh: str) -> None:
        super().__init__(f"{message} | {message_zh}")
        self.field = field
        self.message = message
        self.message_zh = message_zh


def plain(value: str) -> str:
    """One spelling of what looks alike: full-width forms and Roman numerals as ASCII, no space around."""
    return unicodedata.normalize("NFKC", value).strip()


TYPES = {
    "excavator": "挖掘机",
    "crane": "起重机",
    "bulldozer": "推土机",
    "loader": "装载机",
    "roller": "压路机",
    "paver": "摊铺机",
    "grader": "平地机",
    "forklift": "叉车",
    "pile_driver": "桩工机械",
    "stacker": "堆高机",
    "tow_tractor": "牵引车",
    "shuttle_bus": "摆渡车",
    "in_plant": "场内车辆",
}

STAGES = ("pre", "1", "2", "3", "4", "x", "electric", "unknown")
_NUMERALS = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "一": "1", "二": "2", "三": "3", "四": "4"}
_STAGE_WORDS = {
    "国一以前": "pre", "国一前": "pre", "无阶段": "pre", "国零": "pre", "国0": "pre", "国i以前": "pre", "国1以前": "pre",
    "环x": "x", "国一及以前": "x", "国一及以前或无法判定": "x", "环x(国一及以前或无法判定)": "x",
    "国一以前(无阶段)": "pre",
    "电动": "electric", "纯电动": "electric", "不适用": "electric", "不适用(电动)": "electric", "新能源": "electric",
    "不明": "unknown", "未知": "unknown", "排放阶段不明": "unknown", "排放阶段不明(待核实)": "unknown", "待核实": "unknown",
}  # fmt: skip
_STAGE = re.compile(r"(?:国家?|第|stage|tier|t)?(iv|i{1,3}|[1-4一二三四])(?:阶段|排放阶段|排放|标准|\.0)?")

ENERGIES = {
    "diesel": ("柴油", "柴油机", "0号柴油"),
    "electric": ("电", "电动", "纯电动", "电力", "电能"),
    "hybrid": ("混合动力", "混动", "油电混合"),
    "gas": ("天然气", "燃气", "lng", "cng", "液化气", "液化石油气"),
    "gasoline": ("汽油",),
    "other": ("其他", "其它"),
}
_ENERGY_OF = {word: code for code, words in ENERGIES.items() for word in (code, *words)}
_REGISTRATIONS = {
    "machinery": "machinery", "机械": "machinery", "非道路移动机械": "machinery", "工程机械": "machinery",
    "in_plant": "in_plant", "in-plant": "in_plant", "场内": "in_plant", "场内车辆": "in_plant", "厂内": "in_plant",
    "厂内车辆": "in_plant",
}  # fmt: skip
# GB 36886-2018: the strictest class of its three that the machine's exhaust has passed.
_SMOKE_WORDS = {
    "none": "none", "不合格": "none", "未达标": "none", "不达标": "none", "超标": "none",
    "unknown": "unknown", "未检测": "unknown", "未知": "unknown", "不明": "unknown", "待检测": "unknown",
}  # fmt: skip
_SMOKE = re.compile(r"(?:class)?(i{1,3}|[1-3一二三])(?:类|级|类限值|\.0)?")
_STATUSES = {
    "in_use": "in_use", "在用": "in_use", "使用中": "in_use", "正常": "in_use", "已登记": "in_use",
    "cancelled": "cancelled", "注销": "cancelled", "已注销": "cancelled", "报废": "cancelled", "已报废": "cancelled",
    "转出": "cancelled", "已转出": "cancelled",
}  # fmt: skip
# Dates as people and spreadsheets write them; a time may follow.
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?")
_YEARS = range(1970, 2200)
# What a spreadsheet makes of a long number: its digits are gone for good.
_SCIENTIFIC = re.compile(r"\d(\.\d+)?e\+?\d+", re.IGNORECASE)
_POWER = re.compile(r"(\d+(?:\.\d+)?)(?:kw|千瓦)?", re.IGNORECASE)
_MOST_KW = 10_000
_LONGEST = 200
# A column of a city's table holds the same few words thirty thousand times.
_repeated = lru_cache(1024)


@_repeated
def emission_stage(text: str) -> str:
    word = plain(text).lower().replace(" ", "")
    if word in STAGES:
        return word
    if word in _STAGE_WORDS:
        return _STAGE_WORDS[word]
    if match := _STAGE.fullmatch(word):
        return _NUMERALS.get(match[1], match[1])
    raise ValueFault(
        "emission_stage",
        f"emission_stage {text!r} is no emission stage; known are {', '.join(STAGES)}",
        f"“{text}”不是排放阶段；可填：国一以前、国一、国二、国三、国四、环X、电动、不明",
    )


@_repeated
def machine_type(text: str) -> str:
    """One of the thirteen kinds; another word is kept as it is written."""
    word = plain(text)
    code = re.sub(r"[\s-]+", "_", word.lower())
    if code in TYPES:
        return code
    for kind, name in TYPES.items():
        if name in word:
            return kind
    return _short("machine_type", word)


@_repeated
def registration_type(text: str) -> str:
    word = plain(text).lower()
    if word not in _REGISTRATIONS:
        raise ValueFault(
            "registration_type",
            f"registration_type {text!r} is neither machinery nor in_plant",
            f"登记类型“{text}”应为 机械 或 场内",
        )
    return _REGISTRATIONS[word]


def power_kw(text: str) -> float:
    match = _POWER.fullmatch(plain(text).replace(",", "").replace(" ", ""))
    if match is None or not 0 < float(match[1]) < _MOST_KW:
        raise ValueFault("power_kw", f"power_kw {text!r} is no power in kW; give a number below {_MOST_KW}",
                         f"功率“{text}”无效，应为小于 {_MOST_KW} 的千瓦数")  # fmt: skip
    return float(match[1])


@_repeated
def energy(text: str) -> str:
    word = plain(text).lower()
    if word not in _ENERGY_OF:
        raise ValueFault(
            "energy",
            f"energy {text!r} is none of {', '.join(ENERGIES)}",
            f"能源类型“{text}”应为：柴油、电动、混合动力、天然气、汽油、其他",
        )
    return _ENERGY_OF[word]


@_repeated
def smoke_class(text: str) -> str:
    word = plain(text).lower().replace(" ", "")
    if word in _SMOKE_WORDS:
        return _SMOKE_WORDS[word]
    if match := _SMOKE.fullmatch(word):
        return _NUMERALS.get(match[1], match[1])
    raise ValueFault(
        "smoke_class",
        f"smoke_class {text!r} is none of 1, 2, 3 (the strictest class passed), none, unknown",
        f"烟度等级“{text}”应为：Ⅰ类、Ⅱ类、Ⅲ类（通过的最严类别）、不合格、未检测",
    )


@_repeated
def status(text: str) -> str:
    word = plain(text).lower()
    if word not in _STATUSES:
        raise ValueFault("status", f"status {text!r} is neither in_use nor cancelled", f"状态“{text}”应为 在用 或 注销")
    return _STATUSES[word]


@_repeated
def effective_from(text: str) -> datetime:
    """A time; a day is its beginning in China."""
    return _moment("effective_from", text)


@_repeated
def smoke_tested_on(text: str) -> date:
    return _moment("smoke_tested_on", text).date()


def _moment(field: str, text: str) -> datetime:
    word = plain(text)
    if match := _DATE.match(word):
        word = f"{match[1]}-{match[2]:0>2}-{match[3]:0>2}{word[match.end() :]}"
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise ValueFault(
            field,
            f"{field} {text!r} is no date such as 2026-03-01 or 2026-03-01T08:00:00+08:00",
            f"{_NAMES_ZH[field]}“{text}”不是日期，应如 2026-03-01 或 2026-03-01T08:00:00+08:00",
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=CHINA)


def terminal_phone(text: str) -> str:
    word = plain(text).replace(" ", "").replace("-", "")
    if _SCIENTIFIC.fullmatch(word):
        raise ValueFault(
            "terminal_phone",
            f"terminal_phone {text!r}: the spreadsheet has cut the number; format the column as text",
            f"终端手机号“{text}”已被表格软件截断，请将该列设为文本格式后重新填写",
        )
    try:
        return normalise(word)
    except ValueError:
        raise ValueFault(
            "terminal_phone",
            f"terminal_phone {text!r} is no terminal phone: 1 to 20 digits",
            f"“{text}”不是终端手机号：应为 1 至 20 位数字",
        ) from None


def registration_number(text: str) -> str:
    """As written, leading zeros and all, in capitals and without spaces."""
    return _short("registration_number", re.sub(r"\s+", "", plain(text)).upper(), 40)


_NAMES_ZH = {
    "registration_number": "环保登记号码", "machine_type": "机械类型", "district": "辖区", "owner_name": "所有人",
    "owner_phone": "所有人电话", "brand": "品牌", "model": "型号", "project": "项目", "purpose": "用途",
    "effective_from": "生效日期", "smoke_tested_on": "烟度检测日期",
}  # fmt: skip


def _short(field: str, word: str, longest: int = _LONGEST) -> str:
    if not word or len(word) > longest:
        raise ValueFault(
            field, f"{field} has 1 to {longest} characters", f"{_NAMES_ZH[field]}的长度应为 1 至 {longest} 个字符"
        )
    return word


def _text(field: str) -> Callable[[str], str]:
    return lambda text: _short(field, plain(text))


READERS: dict[str, Callable[[str], Value]] = {
    "registration_number": registration_number,
    "terminal_phone": terminal_phone,
    "machine_type": machine_type,
    "registration_type": registration_type,
    "emission_stage": emission_stage,
    "power_kw": power_kw,
    "energy": energy,
    "smoke_class": smoke_class,
    "smoke_tested_on": smoke_tested_on,
    "project": _text("project"),
    "purpose": _text("purpose"),
    "status": status,
    "effective_from": effective_from,
    "district": _text("district"),
    "owner_name": _text("owner_name"),
    "owner_phone": _text("owner_phone"),
    "brand": _text("brand"),
    "model": _text("model"),
}


def read(fields: dict[str, str]) -> dict[str, Value]:
    """A machine's fields as the registry's values; blank ones are left out. Raises ValueFault.

    A number that begins with 环X says its stage where the table does not.
    """
    values = {name: READERS[name](text) for name, text in fields.items() if text.strip()}
    if "emission_stage" not in values and str(values.get("registration_number", "")).startswith("环X"):
        values["emission_stage"] = "x"
    return values
