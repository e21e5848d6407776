"""Rules compiled to columns: every predicate is asked once per distinct value of its attribute, every rule answered for
all classes of machines at once; a verdict is a look-up by class and by which rules count at the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geofence.rules.attributes import Classes
from geofence.rules.judgement import Judgement, Verdict
from geofence.rules.predicates import Answer
from geofence.rules.rule import Group, decisive, note
from geofence.rules.schedule import Timetable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geofence.rules.attributes import Attributes
    from geofence.rules.rule import Condition, Rule

# Stretches of time that are kept apart: a rule list with night windows has two a day, so this is many rule lists' all.
_MOST_STRETCHES = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """The rules that count (bool[rules]), and the judgements found for classes so far; one for all times alike."""

    counting: NDArray[np.bool_]
    found: dict[Attributes, Judgement]


class CompiledRules:
    """One list of rules. A class that was not among those it was compiled for is answered in the same way, by itself."""

    def __init__(self, rules: tuple[Rule, ...], classes: Classes) -> None:
        self._rules = rules
        self._timetable = Timetable(tuple(rule.schedule for rule in rules))
        self._rows = classes.rows
        self._answers = _answers(rules, classes)
        self._stretches: dict[tuple[int, int], _Stretch] = {}
        self._alike: dict[bytes, _Stretch] = {}

    def judge(self, machine: Attributes, at: int) -> tuple[Judgement, int, int]:
        """(judgement without exemptions and policy, since, until): the same at every time in [since, until), us UTC.

        Violation where a counting rule answers yes, else unknown where one cannot be answered, else allowed.
        """
        key, since, until = self._timetable.around(at)
        stretch = self._stretches.get(key)
        if stretch is None:
            if len(self._stretches) >= _MOST_STRETCHES:
                self._stretches.clear()
                self._alike.clear()
            counting = np.array([rule.schedule.counts_at(at) for rule in self._rules], np.bool_)
            stretch = self._alike.setdefault(counting.tobytes(), _Stretch(counting, {}))
            self._stretches[key] = stretch
        found = stretch.found.get(machine)
        if found is None:
            found = stretch.found[machine] = self._judge(machine, stretch.counting)
        return found, since, until

    def _judge(self, machine: Attributes, counting: NDArray[np.bool_]) -> Judgement:
        row = self._rows.get(machine)
        answers = _answers(self._rules, Classes.of([machine]))[0] if row is None else self._answers[row]
        answers = answers * counting
        if not answers.any():
            return Judgement(Verdict.ALLOWED)
        index = int(answers.argmax())  # the first of the greatest: yes before unknown
        rule = self._rules[index]
        predicate = decisive(rule.condition, machine)
        verdict = Verdict.VIOLATION if answers[index] == Answer.YES else Verdict.UNKNOWN
        return Judgement(verdict, index, rule.version, predicate, note(predicate, machine))


def _answers(rules: tuple[Rule, ...], classes: Classes) -> NDArray[np.uint8]:
    """Answers as uint8[classes, rules], whenever the rules count."""
    known: dict[Condition, NDArray[np.uint8]] = {}

    def of(condition: Condition) -> NDArray[np.uint8]:
        found = known.get(condition)
        if found is None:
            if isinstance(condition, Group):
                join = np.minimum if condition.every else np.maximum
                found = join.reduce([of(each) for each in condition.members])
            else:
                found = classes.answers(condition)
            known[condition] = found
        return found

    table = np.empty((len(classes.rows), len(rules)), np.uint8)
    for place, rule in enumerate(rules):
        table[:, place] = of(rule.condition)
    return table
