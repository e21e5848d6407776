"""What a message of the catalogue is: its id, who sends it, its names, and its layout in each edition that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocols.jt808.framing import Edition
    from protocols.jt808.layout import Layout

    Layouts = Mapping[Edition, "Layout | tuple[Layout, ...]"]

UP: Literal["up"] = "up"
DOWN: Literal["down"] = "down"


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """direction: up from the terminal, down from the platform. An edition without the message is no key of `editions`.

    An edition with several layouts is one whose text and whose terminals differ; the first is the text's.
    """

    id: int
    direction: Literal["up", "down"]
    name: str
    name_zh: str
    editions: Layouts

    def layouts(self, edition: Edition) -> tuple[Layout, ...]:
        found = self.editions.get(edition, ())
        return found if isinstance(found, tuple) else (found,)


def every(layout: Layout) -> Layouts:
    """One layout in all three editions."""
    return {"2011": layout, "2013": layout, "2019": layout}


def since_2013(layout: Layout) -> Layouts:
    return {"2013": layout, "2019": layout}


def until_2013(layout: Layout) -> Layouts:
    return {"2011": layout, "2013": layout}
