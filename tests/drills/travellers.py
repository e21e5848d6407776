"""Terminals that drive into a zone while they report as fast as they are acknowledged, and know what they were told."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from tests.plugins.terminals import Terminal
from tests.town import found

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.serve import Gateway

# 98 m on either side of the zone's edge: nobody jumps in the 4 s that the crossing takes.
OUTSIDE, INSIDE, LATITUDE = 115.9989, 116.0011, 36.41
_CROSSING_S = 4.0
_MILLION = 1_000_000


def phone_of(number: int) -> str:
    return f"1380001{number:04d}"


def settle(gateway: Gateway, terminals: int, scratch: Path) -> None:
    """A zone that bans the machines of so many terminals."""
    found(
        gateway,
        scratch,
        [f"2-{n:08d},{phone_of(n)},excavator,machinery,2,120,diesel,371502\n" for n in range(terminals)],
    )


class Traveller(threading.Thread):
    """``acknowledged``: numbers of its reports; a report's number is its latitude's microdegrees above LATITUDE.

    What is not acknowledged is sent again, byte for byte.
    """

    def __init__(self, port: int, number: int, enters_after_s: float, *, first: int = 0, code: str = "") -> None:
        super().__init__(daemon=True)
        self.port = port
        self.phone = phone_of(number)
        self.acknowledged: set[int] = set()
        self.resent = 0
        self.code = code
        self.stopping = False
        self._next = first
        self._enters_at = time.monotonic() + enters_after_s

    def run(self) -> None:
        terminal: Terminal | None = None
        inside = False
        report: tuple[float, int] | None = None
        while not self.stopping:
            if not inside and time.monotonic() > self._enters_at and report is None:
                inside = True
                time.sleep(_CROSSING_S)
            if report is None:
                report = (INSIDE if inside else OUTSIDE, time.time_ns() // 1000)
            try:
                if terminal is None:
                    terminal = self._joined()
                if terminal.report(report[0], LATITUDE + self._next / _MILLION, report[1]) == 0:
                    self.acknowledged.add(self._next)
                    self._next += 1
                    report = None
            except (OSError, AssertionError):
                self.resent += 1
                if terminal is not None:
                    terminal.close()
                terminal = None
                time.sleep(0.1)
        if terminal is not None:
            terminal.close()

    @property
    def next(self) -> int:
        return self._next

    def _joined(self) -> Terminal:
        terminal = Terminal(self.port, self.phone)
        terminal.code = self.code
        if not self.code:
            assert terminal.register() == 0
            self.code = terminal.code
        if terminal.authenticate() != 0:
            raise ConnectionError("not authenticated")
        return terminal


@dataclass(frozen=True)
class Ledger:
    """What a database holds of the travellers: every row, and how many alarms each terminal has."""

    rows: list[tuple[str, int]]
    alarms: dict[str, int]

    @staticmethod
    def read(database: str) -> Ledger:
        with psycopg.connect(database) as connection:
            rows = connection.execute(
                "SELECT t.phone, p.lat - %s FROM position p JOIN terminal t ON t.device = p.terminal"
                " WHERE t.phone LIKE '1380001%%'",
                [round(LATITUDE * _MILLION)],
            ).fetchall()
            alarms = connection.execute(
                "SELECT t.phone, count(*) FROM alarm a JOIN terminal t USING (device)"
                " WHERE a.kind = 'zone_entry' AND a.merged_into IS NULL AND t.phone LIKE '1380001%%' GROUP BY t.phone"
            ).fetchall()
        return Ledger([(phone, int(number)) for phone, number in rows], dict(alarms))

    def lost(self, acknowledged: set[tuple[str, int]]) -> int:
        return len(acknowledged - set(self.rows))

    @property
    def doubled(self) -> int:
        return len(self.rows) - len(set(self.rows))

    def missed_alarms(self, before: Ledger) -> int:
        return len(set(before.alarms) - set(self.alarms))

    @property
    def doubled_alarms(self) -> int:
        return sum(count - 1 for count in self.alarms.values())


def acknowledged(travellers: list[Traveller]) -> set[tuple[str, int]]:
    return {(one.phone, number) for one in travellers for number in tuple(one.acknowledged)}
