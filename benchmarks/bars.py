"""The bars: what a report may cost, as agreed for every change, and how a measurement stands to them.

A closed-loop bar is a multiple of the C floor measured in the same run; the open-loop bar is microseconds of CPU, because
at 5,000 reports/s both sides mostly pay for waking up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """One mode of load, and its bars: ``ratio`` to the floor or ``us`` of CPU.

    stretch: everything for less than a gateway in Go spends that decodes, answers and stores nothing.
    """

    name: str
    window: int
    rate: int
    unit: str
    edge: float
    everything: float
    stretch: float
    connections: int = 1000


POINTS = (
    Point("1 in flight", 1, 0, "ratio", 2.2, 5.0, 3.3),
    Point("8 in flight", 8, 0, "ratio", 3.0, 9.0, 9.0),
    Point("open loop 5,000/s", 1, 5000, "us", 20.0, 39.0, 39.0),
)
ACK_P99_MS = 50.0


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one report in one part of the gateway, beside its bar."""

    us: float
    ratio: float
    bar: float
    unit: str
    stretch: float | None = None

    @property
    def met(self) -> bool:
        return self.within(self.bar)

    def within(self, bar: float) -> bool:
        return (self.ratio if self.unit == "ratio" else self.us) <= bar

    def __str__(self) -> str:
        unit = "x" if self.unit == "ratio" else " us"
        said = f"bar {self.bar:g}{unit}: {'met' if self.met else 'MISSED'}"
        if self.stretch is not None:
            said += f", stretch {self.stretch:g}{unit}: {'met' if self.within(self.stretch) else 'missed'}"
        return f"{self.us:6.2f} us {self.ratio:5.2f}x ({said})"


@dataclass(frozen=True, slots=True)
class Result:
    point: Point
    floor_us: float
    edge: Cost
    everything: Cost
    ack_p50_ms: float
    ack_p99_ms: float
    by: dict[str, float]
    bad: int
    rate: float

    def to_json(self) -> dict[str, Any]:
        return {
            "point": self.point.name,
            "floor_us": self.floor_us,
            **{
                name: {
                    "us": cost.us,
                    "ratio": cost.ratio,
                    "bar": cost.bar,
                    "unit": cost.unit,
                    "met": cost.met,
                    "stretch": cost.stretch,
                }
                for name, cost in (("edge", self.edge), ("everything", self.everything))
            },
            "ack_p50_ms": self.ack_p50_ms,
            "ack_p99_ms": self.ack_p99_ms,
            "rate": self.rate,
            "bad": self.bad,
            "by": self.by,
        }


def judge(point: Point, summary: dict[str, Any]) -> Result:
    """From the yardstick's last line. The edge is every process with that word in its name."""
    floor, total = summary["limit_us"], summary["server_us"]
    edge = round(sum(us for name, us in summary["by"].items() if "edge" in name), 2)
    return Result(
        point=point,
        floor_us=floor,
        edge=Cost(edge, round(edge / floor, 2), point.edge, point.unit),
        everything=Cost(total, summary["ratio"], point.everything, point.unit, point.stretch),
        ack_p50_ms=summary["ack_p50_ms"],
        ack_p99_ms=summary["ack_p99_ms"],
        by=summary["by"],
        bad=summary["bad"],
        rate=summary["rate"],
    )


def table(results: list[Result]) -> str:
    """For people: one block per point."""
    lines = []
    for r in results:
        p99 = "met" if r.ack_p99_ms <= ACK_P99_MS else "MISSED"
        by = ", ".join(f"{name} {us:.2f}" for name, us in sorted(r.by.items(), key=lambda item: -item[1]))
        lines += [
            f"{r.point.connections:,} connections, {r.point.name}: {r.rate:,.0f} reports/s, {r.bad} bad answers",
            f"  C floor      {r.floor_us:6.2f} us",
            f"  edge alone   {r.edge}",
            f"  everything   {r.everything}",
            f"  ack          p50 {r.ack_p50_ms:.1f} ms, p99 {r.ack_p99_ms:.1f} ms (bar {ACK_P99_MS:g} ms: {p99})",
            f"  by process   {by}",
        ]
    return "\n".join(lines)


def markdown(results: list[Result]) -> str:
    """For docs/benchmarks.md: one row per point, and what a report costs by process."""
    lines = ["| point | C floor | edge alone | everything | ack p50, p99 |", "|---|---|---|---|---|"]
    lines += [
        f"| {r.point.name}: {r.rate:,.0f}/s | {r.floor_us:.1f} us | {r.edge} | {r.everything}"
        f" | {r.ack_p50_ms:.0f}, {r.ack_p99_ms:.0f} ms |"
        for r in results
    ]
    return "\n".join([*lines, "", by_process(results)])


def by_process(results: list[Result]) -> str:
    """CPU of one report, a row for each process and a column for each point; the most expensive first."""
    names = {name for r in results for name in r.by}
    order = sorted(names, key=lambda name: (-sum(r.by.get(name, 0.0) for r in results), name))
    lines = [
        f"| us of CPU per report | {' | '.join(r.point.name for r in results)} |",
        "|---" * (len(results) + 1) + "|",
    ]
    for name in order:
        cells = " | ".join(f"{r.by[name]:.1f}" if name in r.by else "" for r in results)
        lines.append(f"| {name.removeprefix('python lezgate ')} | {cells} |")
    lines.append(f"| **everything** | {' | '.join(f'{r.everything.us:.1f}' for r in results)} |")
    lines.append(f"| the C floor | {' | '.join(f'{r.floor_us:.1f}' for r in results)} |")
    return "\n".join(lines)
