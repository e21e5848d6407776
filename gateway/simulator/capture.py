"""Synthetic captures: what a few demonstration terminals of each edition send in ten minutes, from a seed.

    python -m gateway.simulator.capture fixtures/captures

writes 2011.jsonl, 2013.jsonl and 2019.jsonl, one packet a line: {"t": seconds since 1970, "phone": ..., "hex": ...}.
Only what terminals send is in them. Registration is answered with the code CAPTURE1, every other packet with success,
save while the platform is `away`: reports of that time follow later, as the standard says (0x0704 type 1; one by one in
edition 2011). The same seed and code write the same bytes.
"""

from __future__ import annotations

import heapq
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.demo.fleet import fleet
from gateway.simulator.fleet import EDITIONS
from gateway.simulator.motion import offset
from gateway.simulator.terminal import REGISTER, REGISTERED, Counts, Terminal
from protocols.jt808.framing import encode, unescape
from protocols.jt808.replies import GENERAL, general

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo.fleet import DemoMachine
    from protocols.jt808.framing import Edition

BEGIN = 1_767_571_200.0  # 2026-01-05 08:00 in China
SECONDS = 600.0
INTERVAL_S = 10.0
HEARTBEAT_S = 120.0
TERMINALS = 10
AWAY = (240.0, 330.0)
"""When the platform does not answer and every second terminal's connection is down, s after BEGIN."""
CODE = "CAPTURE1"


def _answer(packet: bytes, phone: bytes, edition: Edition) -> bytes:
    """What the platform says to one framed packet."""
    run = unescape(packet[1:-1])
    message, at = int.from_bytes(run[:2], "big"), 15 if edition == "2019" else 10
    serial = int.from_bytes(run[at : at + 2], "big")
    if message == REGISTER:
        return encode(REGISTERED, serial.to_bytes(2, "big") + b"\0" + CODE.encode(), phone, edition, 0)
    return encode(GENERAL, general(serial, message, 0), phone, edition, 0)


def _travellers(edition: Edition) -> list[DemoMachine]:
    """The machines of this edition that get farthest in the captured minutes: their tracks cross borders."""

    def metres(machine: DemoMachine) -> float:
        a, b = machine.itinerary.at(BEGIN), machine.itinerary.at(BEGIN + SECONDS)
        east, north = offset((a.lon, a.lat), (b.lon, b.lat))
        return east * east + north * north

    return sorted((m for m in fleet() if m.edition == edition), key=metres, reverse=True)[:TERMINALS]


def _sent(machine: DemoMachine, edition: Edition, number: int) -> Iterator[tuple[float, bytes]]:
    """(time, packet) of one terminal, in order."""
    terminal = Terminal(
        machine.terminal_phone, edition, machine.registration_number, Counts(), gather=3 if number % 4 == 3 else 1
    )
    time = BEGIN + number * INTERVAL_S / TERMINALS
    heartbeat_at, linked = time + HEARTBEAT_S, False
    while time < BEGIN + SECONDS:
        away = number % 2 == 1 and AWAY[0] <= time - BEGIN < AWAY[1]
        queue = b""
        if away and linked:
            terminal.disconnect()
        elif not away and not linked:
            queue = terminal.connect(time)
        linked = not away
        queue += terminal.report(machine.itinerary.at(time), time)
        if linked and time >= heartbeat_at:
            heartbeat_at += HEARTBEAT_S
            queue += terminal.heartbeat(time)
        at = time
        while queue:
            packet, _, queue = queue[1:].partition(b"\x7e")
            packet = b"\x7e" + packet + b"\x7e"
            yield round(at, 3), packet
            at += 0.02
            queue += terminal.receive(_answer(packet, terminal.header, edition), at).send
        time += INTERVAL_S


def capture(edition: Edition) -> str:
    """One edition's capture, as JSON lines in the order of time."""
    streams = [
        [(t, machine.terminal_phone, packet.hex()) for t, packet in _sent(machine, edition, number)]
        for number, machine in enumerate(_travellers(edition))
    ]
    return "".join(json.dumps({"t": t, "phone": phone, "hex": data}) + "\n" for t, phone, data in heapq.merge(*streams))


def main(folder: str) -> None:
    for edition in EDITIONS:
        path = Path(folder) / f"{edition}.jsonl"
        path.write_text(capture(edition), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1])
