"""The results as Markdown tables, as docs/detection.md has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.fleet.faults import FAULTS
from benchmarks.fleet.moving import INTERVALS_S
from benchmarks.fleet.score import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.fleet.moving import Outcome
    from benchmarks.fleet.parked import Parked

_PERCENTILES = (5, 50, 90, 99)
_UPPER_95 = {0: 3.0, 1: 4.74, 2: 6.3, 3: 7.75, 4: 9.15, 5: 10.51}
"""One-sided 95 % upper limit of a Poisson mean, by the number of events counted (the exact one: half of chi-square)."""


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def detection(outcomes: Sequence[Outcome]) -> str:
    """Healthy terminals and all terminals."""
    rows = []
    for name, fault in (("healthy terminals", "none"), ("all terminals, faulty ones too", None)):
        s = _sum(outcomes, fault=fault)
        rows.append(
            [name, s.entries, s.seen, s.right, s.repeat, s.neither, s.false, f"{s.precision:.4f}", f"{s.recall:.4f}"]
        )
    return table(
        ["", "true entries", "could be seen", "right", "repeat", "neither", "false", "precision", "recall"], rows
    )


def delays(outcomes: Sequence[Outcome], asked: Score) -> str:
    """Healthy terminals by report interval; then 60 s ones that answer 0x8201."""
    scores = [(f"{interval} s", _sum(outcomes, fault="none", interval_s=interval)) for interval in INTERVALS_S]
    scores.append(("60 s, asked by 0x8201", asked))
    rows = [
        [name, len(s.delays_s), *(f"{s.delay(percent):.0f}" for percent in _PERCENTILES), f"{max(s.delays_s):.0f}"]
        for name, s in scores
    ]
    return table(["report interval", "pages", *(f"p{percent}, s" for percent in _PERCENTILES), "most, s"], rows)


def by_fault(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for fault in FAULTS:
        s = _sum(outcomes, fault=fault)
        when = [f"{s.delay(50):.0f}", f"{s.delay(99):.0f}"] if s.delays_s else ["-", "-"]
        rows.append([fault, s.entries, s.seen, s.found, s.paged, s.repeat, s.false, *when])
    return table(
        ["fault", "true entries", "could be seen", "found", "paged", "repeat", "false", "delay p50, s", "p99, s"], rows
    )


def by_distance(runs: dict[float, list[Parked]], outside_m: Sequence[float]) -> str:
    """False alarms per 1,000 machine-days by distance outside the line and guard."""
    rows = []
    for metres in outside_m:
        cells = [_rate(parts, metres) for parts in runs.values()]
        rows.append([f"{metres:g} m" if metres else "0 m (on the line)", *cells])
    days = [f"guard {guard:g} m ({_machine_days(parts, outside_m[0]):,.0f} days)" for guard, parts in runs.items()]
    return table(["outside the line", *days], rows)


def by_sigma(parts: Sequence[Parked], least_m: float, most_m: float) -> str:
    """The same by the receiver's sigma."""
    rows = []
    for low, high in ((2, 4), (4, 6), (6, 8)):
        count, machine_days = 0, 0.0
        for part in parts:
            chosen = (part.sigma_m >= low) & (part.sigma_m < high)
            chosen &= (part.outside_m >= least_m) & (part.outside_m <= most_m)
            alarms, days, _ = part.per_1000_days(chosen)
            count, machine_days = count + alarms, machine_days + days
        rows.append([f"{low} to {high} m", f"{machine_days:,.0f}", count, f"{1000 * count / machine_days:.1f}"])
    return table(["sigma", "machine-days", "false alarms", "per 1,000 machine-days"], rows)


def rates(named: Sequence[tuple[str, Parked]], outside_m: Sequence[float]) -> str:
    """False alarms per 1,000 machine-days of several runs by distance."""
    rows = [[name, *(_rate([part], metres) for metres in outside_m)] for name, part in named]
    return table(["", *(f"{metres:g} m outside" for metres in outside_m)], rows)


def inside(part: Parked) -> str:
    """How soon a machine that stands inside is told of, by its depth."""
    rows = []
    for metres in sorted(set(part.outside_m.tolist()), reverse=True):
        chosen = part.outside_m == metres
        first = part.first_s[chosen]
        within = [f"{100 * np.mean(first <= minutes * 60):.0f} %" for minutes in (2, 10, 60, 720)]
        rows.append([f"{-metres:g} m", int(chosen.sum()), *within])
    return table(["inside the line", "machines", "within 2 min", "10 min", "1 h", "12 h"], rows)


def bar(parts: Sequence[Parked], least_m: float) -> tuple[int, float, float]:
    """(false alarms, machine-days, 95 % upper limit per 1,000 machine-days) of all machines at least so far outside."""
    counted = [part.per_1000_days(part.outside_m >= least_m) for part in parts]
    count, machine_days = sum(each[0] for each in counted), sum(each[1] for each in counted)
    upper = _UPPER_95.get(count, count + 1.645 * np.sqrt(count) + 2.0)
    return count, machine_days, float(1_000 * upper / machine_days)


def _sum(outcomes: Sequence[Outcome], **which: Any) -> Score:
    return sum((outcome.total(**which) for outcome in outcomes), Score())


def _machine_days(parts: Sequence[Parked], metres: float) -> float:
    return sum(part.per_1000_days(part.outside_m == metres)[1] for part in parts)


def _rate(parts: Sequence[Parked], metres: float) -> str:
    counted = [part.per_1000_days(part.outside_m == metres) for part in parts]
    return f"{1_000 * sum(each[0] for each in counted) / sum(each[1] for each in counted):.1f}"
