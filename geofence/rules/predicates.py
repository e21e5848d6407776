"""Predicates: one question about one attribute of a machine, answered yes (banned), no or unknown.

Another kind of predicate is one class with the members of Predicate, and its reader in geofence.rules.reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Protocol

from geofence.rules.terms import (
    ENERGY_WORDS,
    REGISTRATION_WORDS,
    SMOKE_WORDS,
    STAGE_WORDS,
    TYPE_WORDS,
    Language,
    listed,
)  # fmt: skip

_ORDER = {"pre": 0, "1": 1, "2": 2, "3": 3, "4": 4}
# What is below a stage. Never a bare 国三以下: in law 以下 includes the number itself.
_BELOW_ZH = {"1": "国一以前", "2": "国一及以前", "3": "国二及以前", "4": "国三及以前"}


class Answer(IntEnum):
    """In Kleene's order, so that any_of is the greatest of its members and all_of the smallest."""

    NO = 0
    UNKNOWN = 1
    YES = 2


def _of(held: bool) -> Answer:
    return Answer.YES if held else Answer.NO


class Predicate(Protocol):
    """A frozen dataclass. attribute: the field of Attributes that it asks about."""

    attribute: ClassVar[str]

    def test(self, value: Any) -> Answer:
        """Whether a machine with this value of the attribute is banned by this predicate."""

    def note(self, value: Any) -> str | None:
        """Code of a remark that belongs beside the answer, or None."""

    def wording(self, language: Language) -> str:
        """What it bans, for people."""

    def to_json(self) -> dict[str, Any]:
        """The JSON it was read from."""


class _Plain:
    """For predicates without a remark."""

    __slots__ = ()

    def note(self, value: Any) -> str | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class StageBelow:
    """Bans machines whose emission stage is below ``stage`` (one of "1" to "4", itself not banned).

    "x" (环X, first stage and earlier or undeterminable) counts like "pre", with the remark "stage_x_as_pre"; electric
    machines have no stage and are never banned by one; "unknown" is unknown.
    """

    attribute: ClassVar[str] = "emission_stage"
    stage: str

    def test(self, value: str) -> Answer:
        if value == "electric":
            return Answer.NO
        order = _ORDER.get("pre" if value == "x" else value)
        return Answer.UNKNOWN if order is None else _of(order < _ORDER[self.stage])

    def note(self, value: str) -> str | None:
        return "stage_x_as_pre" if value == "x" else None

    def wording(self, language: Language) -> str:
        if language == "en":
            return f"below stage {self.stage}"
        name = STAGE_WORDS[self.stage][0]
        return f"未达到{name}({_BELOW_ZH[self.stage]},不含{name})"

    def to_json(self) -> dict[str, Any]:
        return {"stage_below": self.stage}


@dataclass(frozen=True, slots=True)
class StageIn:
    """Bans machines of the listed stages; "unknown" and "electric" only where they are listed by name.

    "x" (国一及以前或无法判定) is banned where it is listed, or both "pre" and "1" are (with the remark
    "stage_x_as_pre"); where one of these two is, nobody can say. A machine of unknown stage is unknown unless "unknown" is listed.
    """

    attribute: ClassVar[str] = "emission_stage"
    stages: tuple[str, ...]

    def test(self, value: str) -> Answer:
        if value in self.stages:
            return Answer.YES
        if value == "unknown":
            return Answer.UNKNOWN
        if value == "x":
            return (Answer.NO, Answer.UNKNOWN, Answer.YES)[("pre" in self.stages) + ("1" in self.stages)]
        return Answer.NO

    def note(self, value: str) -> str | None:
        return "stage_x_as_pre" if value == "x" and {"pre", "1"}.issubset(self.stages) else None

    def wording(self, language: Language) -> str:
        said = listed(self.stages, STAGE_WORDS, language)
        return f"emission stage is one of: {said}" if language == "en" else f"排放阶段为{said}"

    def to_json(self) -> dict[str, Any]:
        return {"stage_in": list(self.stages)}


@dataclass(frozen=True, slots=True)
class SmokeClassNotMet(_Plain):
    """Bans machines that did not pass this class of GB 36886-2018 ("1" to "3", 3 is the strictest). Electric: never."""

    attribute: ClassVar[str] = "smoke_class"
    smoke_class: str

    def test(self, value: str | None) -> Answer:
        if value is None:
            return Answer.UNKNOWN
        return _of(value != "electric" and (value == "none" or value < self.smoke_class))

    def wording(self, language: Language) -> str:
        zh, en = SMOKE_WORDS[self.smoke_class]
        return f"smoke class {en} not met (GB 36886)" if language == "en" else f"烟度未达到{zh}限值(GB 36886)"

    def to_json(self) -> dict[str, Any]:
        return {"smoke_class_not_met": self.smoke_class}


@dataclass(frozen=True, slots=True)
class TypeIn(_Plain):
    """Bans the listed types: our code for each of the thirteen, or another word as the registry has it."""

    attribute: ClassVar[str] = "machine_type"
    types: tuple[str, ...]

    def test(self, value: str | None) -> Answer:
        return Answer.UNKNOWN if value is None else _of(value in self.types)

    def wording(self, language: Language) -> str:
        said = listed(self.types, TYPE_WORDS, language)
        return f"type is one of: {said}" if language == "en" else f"机械类型为{said}"

    def to_json(self) -> dict[str, Any]:
        return {"type_in": list(self.types)}


@dataclass(frozen=True, slots=True)
class TypeNotIn(_Plain):
    """Bans every type but the listed ones."""

    attribute: ClassVar[str] = "machine_type"
    types: tuple[str, ...]

    def test(self, value: str | None) -> Answer:
        return Answer.UNKNOWN if value is None else _of(value not in self.types)

    def wording(self, language: Language) -> str:
        said = listed(self.types, TYPE_WORDS, language)
        return f"type is none of: {said}" if language == "en" else f"机械类型非{said}"

    def to_json(self) -> dict[str, Any]:
        return {"type_not_in": list(self.types)}


@dataclass(frozen=True, slots=True)
class RegistrationType(_Plain):
    """Bans what is registered as "machinery" (机械), or as "in_plant" (场内车辆)."""

    attribute: ClassVar[str] = "registration_type"
    registered_as: str

    def test(self, value: str | None) -> Answer:
        return Answer.UNKNOWN if value is None else _of(value == self.registered_as)

    def wording(self, language: Language) -> str:
        zh, en = REGISTRATION_WORDS[self.registered_as]
        return f"registered as {en}" if language == "en" else f"登记类型为{zh}"

    def to_json(self) -> dict[str, Any]:
        return {"registration_type": self.registered_as}


@dataclass(frozen=True, slots=True)
class PowerKw(_Plain):
    """Bans rated powers in [least, below) kW: the lower end is in, the upper is not, as GB 20891-2014 writes its bands.

    At least one end is given.
    """

    attribute: ClassVar[str] = "power_kw"
    least: float | None = None
    below: float | None = None

    def test(self, value: float | None) -> Answer:
        if value is None:
            return Answer.UNKNOWN
        return _of((self.least is None or self.least <= value) and (self.below is None or value < self.below))

    def wording(self, language: Language) -> str:
        least, below = (None if end is None else f"{end:.10g}" for end in (self.least, self.below))
        if least is None:
            return f"rated power below {below} kW" if language == "en" else f"额定功率不足{below}千瓦"
        if below is None:
            return f"rated power {least} kW or more" if language == "en" else f"额定功率{least}千瓦及以上"
        if language == "en":
            return f"rated power from {least} kW to below {below} kW"
        return f"额定功率{least}千瓦(含)至{below}千瓦(不含)"

    def to_json(self) -> dict[str, Any]:
        ends = {"min": self.least, "max": self.below}
        return {
            "power_kw": {name: int(end) if end == int(end) else end for name, end in ends.items() if end is not None}
        }


@dataclass(frozen=True, slots=True)
class EnergyIn(_Plain):
    """Bans the listed energies."""

    attribute: ClassVar[str] = "energy"
    energies: tuple[str, ...]

    def test(self, value: str | None) -> Answer:
        return Answer.UNKNOWN if value is None else _of(value in self.energies)

    def wording(self, language: Language) -> str:
        said = listed(self.energies, ENERGY_WORDS, language)
        return f"energy is one of: {said}" if language == "en" else f"能源为{said}"

    def to_json(self) -> dict[str, Any]:
        return {"energy_in": list(self.energies)}
