"""Rules: which machines a zone bans, and the verdict on one machine.

A zone's rules are a list; each is {"any_of": [predicate, ...]}. A machine is banned where any predicate of any rule
holds. Predicates answer yes, no or unknown, and unknown is a verdict of its own: the zone's policy says what it means.
Another kind of predicate is one class with the four members of Predicate and one line in _KINDS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from geofence.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Language = Literal["zh", "en"]

STAGES = ("pre", "1", "2", "3", "4", "x", "electric", "unknown")
"""Emission stages as the registry writes them (spec: pre, 1-4 are in order; the others are not on that scale)."""

_ORDER = {"pre": 0, "1": 1, "2": 2, "3": 3, "4": 4}
_NUMERALS_ZH = {"1": "国一", "2": "国二", "3": "国三", "4": "国四"}
# What is below a stage. Never a bare 国三以下: in law 以下 includes the number itself.
_BELOW_ZH = {"1": "国一以前", "2": "国一及以前", "3": "国二及以前", "4": "国三及以前"}


class Verdict(StrEnum):
    """The zone judgement, and nothing else is called a verdict."""

    VIOLATION = "violation"
    ALLOWED = "allowed"
    EXEMPT = "exempt"
    UNKNOWN = "unknown"


class Answer(Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Attributes(Protocol):
    """What a predicate may ask about a machine."""

    @property
    def emission_stage(self) -> str: ...


class Predicate(Protocol):
    def test(self, machine: Attributes) -> Answer:
        """Whether this machine is banned by this predicate."""

    def note(self, machine: Attributes) -> str | None:
        """Code of a remark that belongs beside the answer, or None."""

    def wording(self, language: Language) -> str:
        """What it bans, for people."""

    def to_json(self) -> dict[str, Any]:
        """The JSON it was read from."""


@dataclass(frozen=True, slots=True)
class StageBelow:
    """Bans machines whose emission stage is below ``stage`` (one of "1" to "4", itself not banned).

    "x" (环X, first stage and earlier or undeterminable) counts like "pre"; electric machines have no stage and are
    never banned by one; "unknown", and anything that is no stage, is unknown.
    """

    stage: str

    def test(self, machine: Attributes) -> Answer:
        stage = machine.emission_stage
        if stage == "electric":
            return Answer.NO
        order = _ORDER.get("pre" if stage == "x" else stage)
        if order is None:
            return Answer.UNKNOWN
        return Answer.YES if order < _ORDER[self.stage] else Answer.NO

    def note(self, machine: Attributes) -> str | None:
        return "stage_x_as_pre" if machine.emission_stage == "x" else None

    def wording(self, language: Language) -> str:
        if language == "en":
            return f"below stage {self.stage}"
        name = _NUMERALS_ZH[self.stage]
        return f"未达到{name}({_BELOW_ZH[self.stage]},不含{name})"

    def to_json(self) -> dict[str, Any]:
        return {"stage_below": self.stage}


@dataclass(frozen=True, slots=True)
class Rule:
    """Bans where any of its predicates holds."""

    any_of: tuple[Predicate, ...]

    def wording(self, language: Language) -> str:
        return (" or " if language == "en" else "或").join(each.wording(language) for each in self.any_of)

    def to_json(self) -> dict[str, Any]:
        return {"any_of": [each.to_json() for each in self.any_of]}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what made it.

    rule: index of the rule in the zone's list; predicate: the one that held (or could not be answered); both None
    where the machine is allowed. note: code of a remark, for example "stage_x_as_pre".
    """

    verdict: Verdict
    rule: int | None = None
    predicate: Predicate | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any] | None:
        """What a visit records as its rule: {"index", "predicate", "note"?}, or None where no rule fired."""
        if self.predicate is None:
            return None
        found: dict[str, Any] = {"index": self.rule, "predicate": self.predicate.to_json()}
        return found if self.note is None else {**found, "note": self.note}


def parse_rules(value: object, where: str = "properties.rules") -> tuple[Rule, ...]:
    """Reads a zone's rules. An empty list is a zone that bans nothing. Raises ZoneError ``rules`` with the path."""
    if not isinstance(value, list | tuple):
        raise _bad("a list of rules", "规则列表", where)
    return tuple(_rule(item, f"{where}[{i}]") for i, item in enumerate(value))


def rules_to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [rule.to_json() for rule in rules]


def judge(rules: Sequence[Rule], machine: Attributes) -> Judgement:
    """The verdict: violation where any predicate holds, else unknown where any cannot be answered, else allowed."""
    unanswered: Judgement | None = None
    for index, rule in enumerate(rules):
        for predicate in rule.any_of:
            answer = predicate.test(machine)
            if answer is Answer.YES:
                return Judgement(Verdict.VIOLATION, index, predicate, predicate.note(machine))
            if answer is Answer.UNKNOWN and unanswered is None:
                unanswered = Judgement(Verdict.UNKNOWN, index, predicate, predicate.note(machine))
    return unanswered or Judgement(Verdict.ALLOWED)


def wording(rules: Sequence[Rule], language: Language) -> str:
    """What a zone bans, in one phrase; "" where it bans nothing."""
    return ("; " if language == "en" else ";").join(rule.wording(language) for rule in rules)


def _rule(value: object, where: str) -> Rule:
    if not isinstance(value, dict) or set(value) != {"any_of"}:
        raise _bad('an object with the one key "any_of"', "只含 any_of 的对象", where)
    predicates = value["any_of"]
    if not isinstance(predicates, list | tuple) or not predicates:
        raise _bad("a list of at least one predicate", "至少一个条件的列表", f"{where}.any_of")
    return Rule(tuple(_predicate(item, f"{where}.any_of[{i}]") for i, item in enumerate(predicates)))


def _predicate(value: object, where: str) -> Predicate:
    if isinstance(value, dict) and len(value) == 1:
        kind, argument = next(iter(value.items()))
        if kind in _KINDS:
            return _KINDS[kind](argument, f"{where}.{kind}")
    raise _bad("an object with one key of " + ", ".join(_KINDS), "只含一个键的对象:" + "、".join(_KINDS), where)


def _stage_below(argument: object, where: str) -> Predicate:
    if not isinstance(argument, str) or argument not in _BELOW_ZH:
        raise _bad('one of "1", "2", "3", "4"', '"1"、"2"、"3"、"4" 之一', where)
    return StageBelow(argument)


_KINDS: dict[str, Callable[[object, str], Predicate]] = {"stage_below": _stage_below}


def _bad(expected_en: str, expected_zh: str, where: str) -> ZoneError:
    return ZoneError("rules", f"expected {expected_en}", f"此处应为{expected_zh}", where)
