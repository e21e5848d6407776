"""Banned machines that drive into a zone at moments that are known: what they send, and which alarm answers which entry.

Each has a terminal of its own on a connection of its own and reports every REPORT_S seconds: twice outside, and then inside
until it stops. The second fix inside confirms the entry (docs/fences.md), so the moment at which that one is sent is what
the delay of its alarm counts from.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.simulator.connection import Link
from gateway.simulator.motion import Fix, Mode, moved
from gateway.simulator.terminal import Counts, Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.stream import Event

FIRST_PHONE = 15_900_000_000
ZONES = 10
CORNER = (117.0, 36.2)  # beyond the yardstick's square, so that no other zone is entered
SIDE = 0.02
REPORT_S = 5.0
WAY_M = (-420.0, -170.0, 80.0, 180.0, 190.0, 200.0)
"""Metres from the border, outside negative: 180 km/h at most, 30 m beyond the guard with the first fix inside."""
CONFIRMS = 3  # of these, the fix that confirms
LEAD_S = REPORT_S * (CONFIRMS + 1)  # from dialling to the confirming report
READY_S = 4.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A machine that entered. sent: monotonic seconds at which the confirming report was handed to the socket."""

    phone: str
    sent: float


@dataclass(frozen=True, slots=True)
class Matched:
    """delays: seconds from the confirming report to the first event of its alarm; missed: phones without one; doubled: phones

    with more than one alarm; strangers: alarms of machines that did not enter; again: further events of an alarm that was
    told already (its grade, its end).
    """

    delays: list[float]
    missed: list[str]
    doubled: list[str]
    strangers: int
    again: int


def match(entries: Sequence[Entry], events: Sequence[Event]) -> Matched:
    """Alarms of terminals below FIRST_PHONE are those of the load, and not looked at."""
    told: dict[str, dict[int, float]] = {entry.phone: {} for entry in entries}
    strangers: set[int] = set()
    again = 0
    for event in events:
        phone = event.data.get("terminal_phone")
        if event.kind != "alarm" or event.data["kind"] != "zone_entry" or phone is None or int(phone) < FIRST_PHONE:
            continue
        alarm = event.data["id"]
        if phone not in told:
            strangers.add(alarm)
        elif alarm in told[phone]:
            again += 1
        else:
            told[phone][alarm] = event.at
    return Matched(
        [min(told[entry.phone].values()) - entry.sent for entry in entries if told[entry.phone]],
        [phone for phone, alarms in told.items() if not alarms],
        [phone for phone, alarms in told.items() if len(alarms) > 1],
        len(strangers),
        again,
    )


def zones() -> dict[str, Any]:
    """Squares of 2 km in a row, which ban what is older than stage 3."""
    features = []
    for i in range(ZONES):
        west, south = _corner(i)
        ring = [[west, south], [west + SIDE, south], [west + SIDE, south + SIDE], [west, south + SIDE], [west, south]]
        features.append({
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"name": f"entrance {i}", "district": "371502", "tier": "general", "crs": "wgs84",
                           "doc_no": "bench", "rules": [{"any_of": [{"stage_below": "3"}]}]},
        })  # fmt: skip
    return {"type": "FeatureCollection", "features": features}


def machines(count: int) -> str:
    """CSV of machines of stage 1, one for each entry."""
    lines = [
        "registration_number,terminal_phone,machine_type,registration_type,emission_stage,power_kw,energy,district"
    ]
    lines += [f"1-9{i:07d},{FIRST_PHONE + i:012d},excavator,machinery,1,120,diesel,371502" for i in range(count)]
    return "\n".join(lines) + "\n"


def _corner(i: int) -> tuple[float, float]:
    return CORNER[0], CORNER[1] + 2 * SIDE * (i % ZONES)


def way(i: int) -> list[Fix]:
    """The fixes of the i-th machine: from the west, over the middle of its zone's western border."""
    west, south = _corner(i)
    fixes = []
    for metres in WAY_M:
        lon, lat = moved((west, south + SIDE / 2 + SIDE / 1000 * (i // ZONES % 100 - 50) / 10), metres, 0.0)
        fixes.append(Fix(lon, lat, 45, 20.0, 90, 100.0 + metres / 1000, 12, True, Mode.DRIVING))
    return fixes


async def enter(host: str, port: int, number: int, at: float) -> Entry:
    """Drives one machine in, so that the confirming report is sent at ``at`` (monotonic seconds) or soon after."""
    phone = str(FIRST_PHONE + number)
    terminal = Terminal(phone, "2013", f"1-9{number:07d}", Counts())
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at - LEAD_S - time.monotonic())
    _, link = await loop.create_connection(lambda: Link(terminal, time.time), host, port)
    until = time.monotonic() + READY_S
    while not terminal.ready:
        if not link.open or time.monotonic() > until:
            raise ConnectionError(f"terminal {phone} was not authenticated within {READY_S:g} s")
        await asyncio.sleep(0.05)
    sent = 0.0
    try:
        for step, fix in enumerate(way(number)):
            await asyncio.sleep(at + (step - CONFIRMS) * REPORT_S - time.monotonic())
            packet = terminal.report(fix, time.time())
            if step == CONFIRMS:
                sent = time.monotonic()
            link.write(packet)
        await asyncio.sleep(REPORT_S)
    finally:
        link.close()
    return Entry(phone, sent)


async def enter_all(host: str, port: int, moments: Sequence[float]) -> list[Entry]:
    return await asyncio.gather(*(enter(host, port, number, at) for number, at in enumerate(moments)))
