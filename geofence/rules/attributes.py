"""What a predicate may ask about a machine: one tuple per class of machines that no rule can tell apart, and columns of
all classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.rules.terms import ENERGY_WORDS, REGISTRATION_WORDS, STAGES, TYPE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from geofence.machines import Machine
    from geofence.rules.predicates import Predicate

_SMOKE = frozenset({"1", "2", "3", "none"})


class Attributes(NamedTuple):
    """None is unknown, except that an unknown stage is a stage of its own, "unknown", which a rule may name.

    smoke_class: "1" to "3" (the strictest that was passed), "none", or "electric": nothing to measure.
    """

    emission_stage: str
    smoke_class: str | None
    machine_type: str | None
    registration_type: str | None
    power_kw: float | None
    energy: str | None


def attributes(machine: Machine) -> Attributes:
    """What the registry says, with one spelling for each thing. A value that we don't know is unknown, never allowed.

    Electric is an energy: it makes an unknown stage "electric", and a stage "electric" says the energy.
    """
    stage = machine.emission_stage if machine.emission_stage in STAGES else "unknown"
    energy = machine.energy if machine.energy in ENERGY_WORDS else None
    if stage == "unknown" and energy == "electric":
        stage = "electric"
    elif stage == "electric" and energy is None:
        energy = "electric"
    smoke = machine.smoke_class if machine.smoke_class in _SMOKE else None
    type_ = machine.machine_type
    return Attributes(
        stage,
        "electric" if stage == "electric" else smoke,
        TYPE_CODES.get(type_, type_) or None,
        machine.registration_type if machine.registration_type in REGISTRATION_WORDS else None,
        machine.power_kw,
        energy,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Classes of machines as columns: each attribute as codes (intp[classes]) of its distinct values, in field order.

    rows: the row of each class. None of it ever changes: ``further`` makes another.
    """

    rows: dict[Attributes, int]
    codes: tuple[dict[object, int], ...]
    columns: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, classes: Iterable[Attributes]) -> Classes:
        """Of some classes, each counted once."""
        none = np.empty(0, np.intp)
        return cls({}, ({},) * len(Attributes._fields), (none,) * len(Attributes._fields)).further(classes)

    def further(self, classes: Iterable[Attributes]) -> Classes:
        """These and some others behind them; the same ones where all of them are there already."""
        new = [each for each in dict.fromkeys(classes) if each not in self.rows]
        if not new:
            return self
        codes = tuple(dict(known) for known in self.codes)
        columns = []
        for place, known in enumerate(codes):
            more = [known.setdefault(each[place], len(known)) for each in new]
            columns.append(np.append(self.columns[place], np.array(more, np.intp)))
        rows = self.rows | {each: row for row, each in enumerate(new, len(self.rows))}
        return Classes(rows, codes, tuple(columns))

    def answers(self, predicate: Predicate) -> NDArray[np.uint8]:
        """The answer of a predicate for every class."""
        place = Attributes._fields.index(predicate.attribute)
        table = np.array([predicate.test(value) for value in self.codes[place]], np.uint8)
        return table[self.columns[place]]
