"""Prometheus text exposition: families of samples as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: str
    help: str
    samples: Sequence[tuple[dict[str, str], float]]


def render(families: list[Family]) -> Response:
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            inner = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
            number = value + 0  # True is 1 here
            lines.append(f"{family.name}{{{inner}}} {number}" if inner else f"{family.name} {number}")
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
