"""Prometheus text exposition: families of samples as bytes, the histograms' buckets summed up as `le` wants them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Sample(NamedTuple):
    labels: dict[str, str]
    value: float
    suffix: str = ""
    """Of the family's name: a histogram's _bucket, _sum, _count."""


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: str
    help: str
    samples: Sequence[Sample]
    """None where the figure is not known now: the family is shown all the same, so that its name can be looked up."""


def buckets(labels: dict[str, str], told: dict[str, Any]) -> list[Sample]:
    """A histogram's samples of {"le": bounds, "counts": of each bucket alone, "sum"} (gateway/histogram.py)."""
    totals = list(accumulate(told["counts"]))
    bounds = [*(f"{bound:g}" for bound in told["le"]), "+Inf"]
    return [
        *(Sample({**labels, "le": le}, n, "_bucket") for le, n in zip(bounds, totals, strict=True)),
        Sample(labels, told["sum"], "_sum"),
        Sample(labels, totals[-1], "_count"),
    ]


def render(families: list[Family]) -> Response:
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for labels, value, suffix in family.samples:
            inner = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
            number = value + 0  # True is 1 here
            name = family.name + suffix
            lines.append(f"{name}{{{inner}}} {number}" if inner else f"{name} {number}")
    return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
