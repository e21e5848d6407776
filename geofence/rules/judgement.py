"""Judgement: a verdict and what made it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from geofence.fence import FOREVER

if TYPE_CHECKING:
    from geofence.rules.rule import Condition


class Verdict(StrEnum):
    """The zone judgement, and nothing else is called a verdict."""

    VIOLATION = "violation"
    ALLOWED = "allowed"
    EXEMPT = "exempt"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one machine by one zone version at one time; equal where everything but ``until`` is.

    rule           index of the rule in the zone's list, the first of those that decided
    rule_version   of that rule (Rule.version)
    predicate      its innermost part that decided: a predicate, or an all_of of which every part holds; these three are
                   None where the machine is allowed
    note           code of a remark: "stage_x_as_pre"
    exemption      id of the exemption where the verdict is exempt; rule and predicate are what it exempts from
    alarm          whether staff are to be told: a violation, or unknown where the zone's policy is "alarm"
    until          the first time after the one that was asked for (us UTC) at which time alone may change this: a rule's
                   dates and windows, an exemption's dates; not the zone's own validity, nor the machine's versions
    """

    verdict: Verdict
    rule: int | None = None
    rule_version: str | None = None
    predicate: Condition | None = None
    note: str | None = None
    exemption: int | None = None
    alarm: bool = False
    until: int = field(default=FOREVER, compare=False)

    def to_json(self) -> dict[str, Any] | None:
        """What is recorded as the rule: {"index", "version", "predicate", "note"?, "exemption"?}, None where none fired."""
        if self.predicate is None:
            return None
        found = {"index": self.rule, "version": self.rule_version, "predicate": self.predicate.to_json()}
        beside = {"note": self.note, "exemption": self.exemption}
        return {**found, **{key: value for key, value in beside.items() if value is not None}}
