"""Lives: where a process runs, and runs again after each death."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.loop import Process
    from tests.simulation.weather import Weather


class Life(Protocol):
    """From a process's start to its death."""

    process: Process


LifeT = TypeVar("LifeT", bound=Life)


class Lives(Generic[LifeT]):
    """One life after the other. name: of what lives here; begin: the life of this number; chance: what may befall it."""

    life: LifeT

    def __init__(
        self, name: str, weather: Weather, begin: Callable[[int], LifeT], chance: Callable[[Process], None]
    ) -> None:
        self.weather = weather
        self.count = 0
        self._name = name
        self._begin = begin
        self._chance = chance
        self.died()

    def died(self) -> None:
        if not self.weather.over:
            self.weather.loop.after(self.weather.pause(1.0) if self.count else 0.0, self._start)

    def _start(self) -> None:
        self.count += 1
        self.weather.say(f"{self._name} starts for the {self.count}. time")
        self.life = self._begin(self.count)
        self._chance(self.life.process)
