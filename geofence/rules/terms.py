"""The values that a rule may name, with their words: one vocabulary with the registry and the console.

Types are the thirteen of 环办大气函〔2019〕655号, stages those of GB 20891, smoke classes those of GB 36886-2018.
"""

from __future__ import annotations

from typing import Literal

Language = Literal["zh", "en"]

STAGES = ("pre", "1", "2", "3", "4", "x", "electric", "unknown")
"""Emission stages as the registry writes them; pre, 1 to 4 are in order, the others are not on that scale."""

STAGE_WORDS = {
    "pre": ("国一以前(无阶段)", "before stage 1"),
    "1": ("国一", "stage 1"),
    "2": ("国二", "stage 2"),
    "3": ("国三", "stage 3"),
    "4": ("国四", "stage 4"),
    "x": ("环X(国一及以前或无法判定)", "ring X (stage 1 or earlier, or undeterminable)"),
    "electric": ("不适用(电动)", "not applicable (electric)"),
    "unknown": ("排放阶段不明", "stage unknown"),
}

SMOKE_WORDS = {"1": ("Ⅰ类", "I"), "2": ("Ⅱ类", "II"), "3": ("Ⅲ类", "III")}

TYPE_WORDS = {
    "excavator": ("挖掘机", "excavator"),
    "crane": ("起重机", "crane"),
    "bulldozer": ("推土机", "bulldozer"),
    "loader": ("装载机", "loader"),
    "roller": ("压路机", "road roller"),
    "paver": ("摊铺机", "paver"),
    "grader": ("平地机", "grader"),
    "forklift": ("叉车", "forklift"),
    "pile_driver": ("桩工机械", "piling machine"),
    "stacker": ("堆高机", "stacker"),
    "tow_tractor": ("牵引车", "tow tractor"),
    "shuttle_bus": ("摆渡车", "shuttle bus"),
    "in_plant": ("场内车辆", "in-plant vehicle"),
}
TYPE_CODES = {zh: code for code, (zh, _) in TYPE_WORDS.items()}

REGISTRATION_WORDS = {"machinery": ("机械", "machinery"), "in_plant": ("场内车辆", "in-plant vehicle")}

ENERGY_WORDS = {
    "diesel": ("柴油", "diesel"),
    "gasoline": ("汽油", "gasoline"),
    "gas": ("燃气", "gas"),
    "hybrid": ("混合动力", "hybrid"),
    "electric": ("电动", "electric"),
    "other": ("其他能源", "other"),
}

WEEKDAY_WORDS = {
    1: ("周一", "Mon"),
    2: ("周二", "Tue"),
    3: ("周三", "Wed"),
    4: ("周四", "Thu"),
    5: ("周五", "Fri"),
    6: ("周六", "Sat"),
    7: ("周日", "Sun"),
}


def listed(values: tuple[str, ...], words: dict[str, tuple[str, str]], language: Language) -> str:
    """The words of some values, one after the other; a value without a word is shown as it is."""
    shown = (words[value][language == "en"] if value in words else value for value in values)
    return (", " if language == "en" else "、").join(shown)
