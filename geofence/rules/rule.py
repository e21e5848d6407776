"""A rule: a group of predicates, joined by any_of or all_of, and when it counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from geofence.rules.predicates import Answer, Predicate
from geofence.rules.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geofence.rules.attributes import Attributes
    from geofence.rules.terms import Language


@dataclass(frozen=True, slots=True)
class Group:
    """Predicates and further groups: banned where any of them holds, or (every) where all of them do."""

    members: tuple[Condition, ...]
    every: bool = False

    def wording(self, language: Language) -> str:
        """Members joined by or, and; a group inside stands in brackets."""
        said = (
            f"({each.wording(language)})"
            if isinstance(each, Group) and len(each.members) > 1
            else each.wording(language)
            for each in self.members
        )
        words = {"en": (" or ", " and "), "zh": ("或", "且")}
        return words[language][self.every].join(said)

    def to_json(self) -> dict[str, Any]:
        """The JSON it was read from."""
        return {"all_of" if self.every else "any_of": [each.to_json() for each in self.members]}


Condition: TypeAlias = Predicate | Group


@dataclass(frozen=True, slots=True)
class Rule:
    """Bans where its condition holds, while its schedule counts. name: for people."""

    condition: Group
    schedule: Schedule = field(default_factory=Schedule)
    name: str | None = None

    def wording(self, language: Language) -> str:
        """When, and what it bans."""
        said = [self.schedule.wording(language), self.condition.wording(language)]
        if self.name is not None:
            said.insert(0, self.name)
        return (": " if language == "en" else ":").join(filter(None, said))

    def to_json(self) -> dict[str, Any]:
        """Its JSON, each value in one spelling."""
        found = {**self.condition.to_json(), **self.schedule.to_json()}
        return found if self.name is None else {**found, "name": self.name}

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that another rule does not have: of the SHA-256 of its JSON."""
        return _version(self)


@lru_cache(4096)
def _version(rule: Rule) -> str:
    text = json.dumps(rule.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def answer(condition: Condition, machine: Attributes) -> Answer:
    """Whether a machine is banned by a condition, in Kleene's logic: no wins over unknown in all_of, yes in any_of."""
    if not isinstance(condition, Group):
        return condition.test(getattr(machine, condition.attribute))
    answers = (answer(each, machine) for each in condition.members)
    return min(answers) if condition.every else max(answers)


def decisive(condition: Condition, machine: Attributes) -> Condition:
    """The innermost part that made the answer, the first of several; an all_of that holds is decided by all of it."""
    found = answer(condition, machine)
    while isinstance(condition, Group) and (
        len(condition.members) == 1 or not (condition.every and found is Answer.YES)
    ):
        condition = next(each for each in condition.members if answer(each, machine) is found)
    return condition


def note(condition: Condition, machine: Attributes) -> str | None:
    """The remark that belongs beside the answer of a decisive condition: the first of its predicates'."""
    if not isinstance(condition, Group):
        return condition.note(getattr(machine, condition.attribute))
    return next(filter(None, (note(each, machine) for each in condition.members)), None)


def rules_to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [rule.to_json() for rule in rules]


def wording(rules: Sequence[Rule], language: Language) -> str:
    """What a zone bans, in one phrase; "" where it bans nothing."""
    return ("; " if language == "en" else ";").join(rule.wording(language) for rule in rules)
