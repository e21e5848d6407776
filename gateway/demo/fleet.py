"""The demonstration's machines: three hundred, of all thirteen kinds and every emission stage, each with a part to play.

Numbers, phones, makers and models are invented: phones are 1390000xxxx, makers are called 示例.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from gateway.demo.districts import SEED
from gateway.demo.scenes import ROLES, Role, Stage, place
from gateway.simulator.machines import KINDS, Kind

if TYPE_CHECKING:
    from gateway.simulator.motion import Itinerary
    from protocols.jt808.framing import Edition

FIRST_PHONE = 13_900_000_001
EDITIONS: tuple[Edition, ...] = ("2013", "2019", "2013", "2011", "2019")

# How often each kind turns up, roughly as in a city's register.
_WEIGHTS = {
    "excavator": 30, "crane": 6, "bulldozer": 4, "loader": 24, "roller": 8, "paver": 3, "grader": 3, "forklift": 14,
    "pile_driver": 2, "stacker": 2, "tow_tractor": 2, "shuttle_bus": 1, "in_plant": 1,
}  # fmt: skip
# What a painted number begins with: the stage, 环X where that is 国一 or older or undetermined, D for electric.
_PREFIX: dict[Stage, str] = {"pre": "X", "unknown": "X", "x": "环X", "electric": "D"}
_ENERGY = ("diesel", "diesel", "diesel", "diesel", "gas", "hybrid")


@dataclass(frozen=True, slots=True)
class DemoMachine:
    """One row of the registry, its terminal, and the role that says how it moves."""

    registration_number: str
    terminal_phone: str
    kind: Kind
    emission_stage: Stage
    energy: str
    power_kw: int
    district: str
    brand: str
    model: str
    edition: Edition
    role: Role
    itinerary: Itinerary

    def registry_row(self) -> dict[str, str]:
        """The fields of `lezgate machines import`."""
        return {
            "registration_number": self.registration_number,
            "terminal_phone": self.terminal_phone,
            "machine_type": self.kind.code,
            "registration_type": self.kind.registration,
            "emission_stage": self.emission_stage,
            "power_kw": str(self.power_kw),
            "energy": self.energy,
            "district": self.district,
            "brand": self.brand,
            "model": self.model,
        }


def _kinds(rng: Random, role: Role, count: int) -> list[Kind]:
    """Kinds for a role: those that fit it, by weight; the widest role begins with one of each."""
    fit = [kind for kind in KINDS.values() if kind.road_kmh >= role.road_kmh]
    every = list(KINDS.values()) if role.every_kind else []
    return [*every, *rng.choices(fit, [_WEIGHTS[kind.code] for kind in fit], k=count - len(every))]


@cache
def fleet() -> tuple[DemoMachine, ...]:
    rng = Random(SEED)
    machines: list[DemoMachine] = []
    numbers = iter(rng.sample(range(10**6), 2000))
    for role in ROLES:
        for turn, kind in enumerate(_kinds(rng, role, role.count)):
            index = len(machines)
            stage = rng.choice(role.stages)
            scene = place(role, turn, kind, index)
            low, high = kind.power_kw
            machines.append(
                DemoMachine(
                    registration_number=f"{_PREFIX.get(stage, stage)}-30{next(numbers):06d}",
                    terminal_phone=str(FIRST_PHONE + index),
                    kind=kind,
                    emission_stage=stage,
                    energy="electric" if stage == "electric" else rng.choice(_ENERGY),
                    power_kw=rng.randint(low, high),
                    district=scene.district,
                    brand=f"示例{rng.choice('甲乙丙丁戊')}",
                    model=f"DEMO-{kind.code[:2].upper()}{rng.randint(5, 99) * 10}",
                    edition=EDITIONS[index % len(EDITIONS)],
                    role=role,
                    itinerary=scene.itinerary,
                )
            )
    return tuple(machines)
