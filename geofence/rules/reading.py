"""Rules from JSON. What does not read is refused with the path and what is possible: a rule that reads differently than it
was meant is a wrong verdict.

    {"any_of" | "all_of": [predicate or group, ...], "valid_from"?, "valid_to"?, "weekdays"?, "hours"?, "name"?}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geofence.rules.predicates import (
    EnergyIn,
    PowerKw,
    Predicate,
    RegistrationType,
    SmokeClassNotMet,
    StageBelow,
    StageIn,
    TypeIn,
    TypeNotIn,
)  # fmt: skip
from geofence.rules.refusal import expected
from geofence.rules.rule import Condition, Group, Rule
from geofence.rules.terms import ENERGY_WORDS, REGISTRATION_WORDS, SMOKE_WORDS, STAGES, TYPE_CODES, TYPE_WORDS
from geofence.rules.times import read_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_RULES = 1_000
"""Of one zone. No notice we know has ten; beyond this a rule list is a table that was pasted into the wrong field."""
MOST_MEMBERS = 100
"""Of one group: more types, say, than the registry knows."""
DEEPEST = 4
"""Groups inside groups. Notices need two (场内车辆 and 国三 or older, or else ...); nobody checks more by reading."""

_GROUPS = ("any_of", "all_of")
_WHEN = ("valid_from", "valid_to", "weekdays", "hours")
_LONGEST_NAME = 200
_MOST_KW = 100_000  # more is a slip in the unit: the largest excavators have 3,000


def parse_rules(value: object, where: str = "properties.rules") -> tuple[Rule, ...]:
    """Reads a zone's rules. An empty list is a zone that bans nothing. Raises ZoneError ``rules`` with the path."""
    if not isinstance(value, list | tuple) or len(value) > MOST_RULES:
        raise expected(f"a list of at most {MOST_RULES} rules", f"规则列表(最多 {MOST_RULES} 条)", where)
    return tuple(_rule(item, f"{where}[{i}]") for i, item in enumerate(value))


def _rule(value: object, where: str) -> Rule:
    kinds = [kind for kind in _GROUPS if kind in value] if isinstance(value, dict) else []
    if not isinstance(value, dict) or len(kinds) != 1:
        raise expected('an object with either "any_of" or "all_of"', "含 any_of 或 all_of 之一的对象", where)
    possible = (kinds[0], *_WHEN, "name")
    if set(value) - set(possible):
        raise expected("no other keys than " + ", ".join(possible), "仅可含以下键的对象:" + "、".join(possible), where)
    name = value.get("name")
    if name is not None and (not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME):
        raise expected(
            f"a text of 1 to {_LONGEST_NAME} characters", f"1 至 {_LONGEST_NAME} 个字符的文本", f"{where}.name"
        )
    return Rule(
        _group(value, kinds[0], where, 1),
        read_schedule({key: value[key] for key in _WHEN if value.get(key) is not None}, where),
        None if name is None else name.strip(),
    )


def _group(value: dict[str, Any], kind: str, where: str, depth: int) -> Group:
    where = f"{where}.{kind}"
    members = value[kind]
    if depth > DEEPEST:
        raise expected(f"at most {DEEPEST} groups inside one another", f"最多 {DEEPEST} 层的条件组", where)
    if not isinstance(members, list | tuple) or not 0 < len(members) <= MOST_MEMBERS:
        raise expected(f"a list of 1 to {MOST_MEMBERS} predicates", f"1 至 {MOST_MEMBERS} 个条件的列表", where)
    return Group(tuple(_condition(item, f"{where}[{i}]", depth) for i, item in enumerate(members)), kind == "all_of")


def _condition(value: object, where: str, depth: int) -> Condition:
    if isinstance(value, dict) and len(value) == 1:
        kind, argument = next(iter(value.items()))
        if kind in _GROUPS:
            return _group(value, kind, where, depth + 1)
        if kind in _KINDS:
            return _KINDS[kind](argument, f"{where}.{kind}")
    possible = (*_KINDS, *_GROUPS)
    raise expected(
        "an object with one key of " + ", ".join(possible), "只含以下一个键的对象:" + "、".join(possible), where
    )


def _one_of(value: object, where: str, choices: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in choices:
        shown = [f'"{choice}"' for choice in choices]
        raise expected("one of " + ", ".join(shown), "、".join(shown) + " 之一", where)
    return value


def _several(value: object, where: str, read: Callable[[object, str], str]) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_MEMBERS:
        raise expected(f"a list of 1 to {MOST_MEMBERS} values", f"1 至 {MOST_MEMBERS} 个值的列表", where)
    found = tuple(read(item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(set(found)) != len(found):
        raise expected("each value once", "不重复的值", where)
    return found


def _type(value: object, where: str) -> str:
    """A code of ours, the Chinese word for it, or another Chinese word: an unknown code is a slip that bans nothing."""
    word = value.strip() if isinstance(value, str) else ""
    if not word or (word.isascii() and word not in TYPE_WORDS):
        raise expected("one of " + ", ".join(TYPE_WORDS) + ", or a type in Chinese as the registry writes it",
                   "、".join(TYPE_WORDS) + " 之一,或登记所用的中文机械类型", where)  # fmt: skip
    return TYPE_CODES.get(word, word)


def _power(value: object, where: str) -> Predicate:
    if not isinstance(value, dict) or not value or set(value) - {"min", "max"}:
        raise expected('an object with "min" (included) or "max" (not included) or both, in kW',
                   "含 min(含)或 max(不含)的对象,单位千瓦", where)  # fmt: skip
    ends = {}
    for key, end in value.items():
        if isinstance(end, bool) or not isinstance(end, int | float) or not 0 <= end <= _MOST_KW:
            raise expected(f"a number of kW from 0 to {_MOST_KW}", f"0 至 {_MOST_KW} 之间的千瓦数", f"{where}.{key}")
        ends[key] = float(end)
    if "max" in ends and ends["max"] <= ends.get("min", 0):
        raise expected("a max above min: max itself is not included", "大于 min 的 max(不含 max 本身)", f"{where}.max")
    return PowerKw(ends.get("min"), ends.get("max"))


_KINDS: dict[str, Callable[[object, str], Predicate]] = {
    "stage_below": lambda value, where: StageBelow(_one_of(value, where, ("1", "2", "3", "4"))),
    "stage_in": lambda value, where: StageIn(_several(value, where, lambda each, at: _one_of(each, at, STAGES))),
    "smoke_class_not_met": lambda value, where: SmokeClassNotMet(_one_of(value, where, SMOKE_WORDS)),
    "type_in": lambda value, where: TypeIn(_several(value, where, _type)),
    "type_not_in": lambda value, where: TypeNotIn(_several(value, where, _type)),
    "registration_type": lambda value, where: RegistrationType(_one_of(value, where, REGISTRATION_WORDS)),
    "power_kw": _power,
    "energy_in": lambda value, where: EnergyIn(
        _several(value, where, lambda each, at: _one_of(each, at, ENERGY_WORDS))
    ),
}
