"""Which terminals to simulate: any number on made-up rounds, or the demonstration's machines."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from gateway.simulator.connection import live
from gateway.simulator.machines import KINDS
from gateway.simulator.motion import Itinerary, drive, moved, park, work
from gateway.simulator.terminal import Counts, Terminal

if TYPE_CHECKING:
    from gateway.simulator.motion import Leg, Point
    from protocols.jt808.framing import Edition

CENTRE: Point = (115.98, 36.45)
SPREAD_M = 35_000.0
EDITIONS: tuple[Edition, ...] = ("2013", "2019", "2011")
_GATHERS_EVERY = 9
"""Every so many terminals saves its reports up and sends them as an ordinary 0x0704."""
_GATHER = 4


@dataclass(frozen=True, slots=True)
class Player:
    """A terminal to be, and how it moves."""

    phone: str
    edition: Edition
    plate: str
    itinerary: Itinerary
    interval_s: float


def round_of(seed: int, index: int) -> Itinerary:
    """Two to four places of work somewhere in the city's lands, visited in turn."""
    rng = Random(f"{seed} round {index}")  # noqa: S311  motion, not secrets
    kind = rng.choice(list(KINDS.values()))
    far, bearing = SPREAD_M * math.sqrt(rng.random()), rng.random() * math.tau
    stops = [moved(CENTRE, far * math.sin(bearing), far * math.cos(bearing))]
    stops += [moved(stops[0], rng.uniform(-4000, 4000), rng.uniform(-4000, 4000)) for _ in range(rng.randint(1, 3))]
    legs: list[Leg] = []
    for start, end in zip(stops, [*stops[1:], stops[0]], strict=True):
        legs += [*work(kind, start, rng.uniform(240, 900), rng.uniform(15, 60)), *park(start, rng.uniform(60, 600))]
        legs += drive(kind, [start, end], rng)
    return Itinerary(tuple(legs), rng.uniform(0, 10_000), seed + index)


def anybody(count: int, seed: int, first_phone: int, interval_s: float) -> list[Player]:
    """``count`` terminals with consecutive phones, in all three editions."""
    return [
        Player(
            str(first_phone + i),
            EDITIONS[i % len(EDITIONS)],
            f"3-S{seed % 1000:03d}{i:04d}",
            round_of(seed, i),
            interval_s,
        )
        for i in range(count)
    ]


def demonstration(count: int | None, seed: int, interval_s: float | None) -> list[Player]:
    """The machines that `lezgate demo` registers, or the first ``count``; every 2 to 5 s each unless told otherwise."""
    from gateway.demo.fleet import fleet  # noqa: PLC0415  only the demonstration needs its zones

    rng = Random(f"{seed} intervals")  # noqa: S311  motion, not secrets
    return [
        Player(
            phone=machine.terminal_phone,
            edition=machine.edition,
            plate=machine.registration_number,
            itinerary=machine.itinerary,
            interval_s=interval_s or rng.uniform(2, 5),
        )
        for machine in fleet()[:count]
    ]


async def play(players: list[Player], host: str, port: int, seed: int, counts: Counts) -> None:
    """Runs every player for ever; cancel to end them."""
    async with asyncio.TaskGroup() as tasks:
        for i, player in enumerate(players):
            terminal = Terminal(
                player.phone, player.edition, player.plate, counts, gather=_GATHER if i % _GATHERS_EVERY == 5 else 1
            )
            rng = Random(f"{seed} link {i}")  # noqa: S311  jitter, not secrets
            tasks.create_task(live(terminal, player.itinerary, host, port, player.interval_s, rng))
