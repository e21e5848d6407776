"""A fleet under load whose every acknowledgement is remembered, and the audit of what became of each report.

Machines make one trip each: from outside into the zone of tests/e2e/test_alarm.py and out again. Banned ones must leave
exactly one alarm, clean ones none. A report that is not acknowledged is sent again, as the standard says; some that were
acknowledged are sent again too, alone or in a 0x0704.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import psycopg

from gateway.config import load
from gateway.nodes import database_url
from protocols.jt808 import terminal
from tests import town
from tests.plugins.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.serve import Gateway

PHONES = "1380"
OUTSIDE, INSIDE = 115.997, 116.004
PLACES = (OUTSIDE, OUTSIDE, INSIDE, INSIDE, INSIDE, INSIDE, OUTSIDE, OUTSIDE, OUTSIDE)
STEP_US, SECOND_US = 12_000_000, 1_000_000
RESENDS, BATCHES = (
    0.2,
    0.3,
)  # share of reports that are sent again though acknowledged, and of trips that end in a 0x0704


@dataclass(frozen=True)
class Trip:
    """Its reports are of the last two minutes, so that they are news and not late."""

    phone: str
    banned: bool
    begin_us: int

    def body(self, n: int) -> bytes:
        return terminal.location(self.begin_us + n * STEP_US, PLACES[n] + n * 1e-5, 36.41, speed_kmh=20)

    def key(self, n: int) -> tuple[str, int]:
        return self.phone, (self.begin_us + n * STEP_US) // SECOND_US


class Driver(threading.Thread):
    """Drives one machine after the other; ends when told to, after the trip it is on."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._random = random.Random(seed)  # noqa: S311  a fleet that does the same each time
        self._one: Terminal | None = None

    def run(self) -> None:
        fleet = self._fleet
        while not fleet.stopping:
            try:
                phone, banned = fleet.parked.get_nowait()
            except queue.Empty:
                return
            begin = (time.time_ns() // 1000 - 110 * SECOND_US) // SECOND_US * SECOND_US
            self._drive(Trip(phone, banned, begin))

    def _drive(self, trip: Trip) -> None:
        fleet, last = self._fleet, len(PLACES)
        code = ""
        batched = self._random.random() < BATCHES
        single = last - 3 if batched else last
        messages = [(0x0200, trip.body(n), [n]) for n in range(single)]
        if batched:  # what was driven while there was no network, and with it what had arrived already
            numbers = list(range(single - 2, last))
            messages.append((0x0704, terminal.batch([trip.body(n) for n in numbers], 0), numbers))
        for message, body, numbers in messages:
            first = time.monotonic()
            while True:
                try:
                    code = self._join(trip.phone, code)
                    if self._say(message, body, len(numbers)):
                        break
                except (OSError, AssertionError):
                    fleet.broken += 1
                self._leave()
                time.sleep(0.05)
            fleet.heard(trip, numbers, first)
            if self._random.random() < RESENDS:
                try:
                    if self._say(message, body, len(numbers)):
                        fleet.repeated += len(numbers)
                except (OSError, AssertionError):
                    self._leave()
            time.sleep(fleet.pace_s)
        self._leave()
        fleet.done.append(trip)

    def _join(self, phone: str, code: str) -> str:
        if self._one is None:
            self._one = Terminal(self._fleet.gateway.jt808_port, phone)
            self._one.code = code
            if not code and self._one.register() != 0:
                raise ConnectionError("not registered")
            if self._one.authenticate() != 0:
                raise ConnectionError("not authenticated")
        return self._one.code

    def _say(self, message: int, body: bytes, positions: int) -> bool:
        self._fleet.sent += positions
        assert self._one is not None
        return self._one.ask(message, body).result == 0

    def _leave(self) -> None:
        if self._one is not None:
            self._one.close()
            self._one = None


class Fleet:
    """start(), then whatever is done to the gateway, then finish() and audit()."""

    def __init__(
        self, gateway: Gateway, directory: Path, machines: int, *, drivers: int = 12, pace_s: float = 0.03
    ) -> None:
        self.gateway = gateway
        self.pace_s = pace_s
        self.stopping = False
        self.parked: queue.Queue[tuple[str, bool]] = queue.Queue()
        self.done: list[Trip] = []
        self.acknowledged: dict[tuple[str, int], float] = {}
        """(phone, time of the fix in s): when it was, monotonic."""
        self.times: list[float] = []
        """When each acknowledgement came, monotonic."""
        self.longest_wait_s = 0.0
        self.sent = self.repeated = self.broken = 0
        rows = []
        for n in range(machines):
            banned = n % 4 != 3
            phone = f"{PHONES}{n:07d}"
            rows.append(
                f"{2 if banned else 4}-{n:08d},0{phone},excavator,machinery,{2 if banned else 4},120,diesel,371502\n"
            )
            self.parked.put((phone, banned))
        town.found(gateway, directory, rows)
        self._drivers = [Driver(self, n) for n in range(drivers)]

    def start(self) -> None:
        """Returns when acknowledgements come."""
        for one in self._drivers:
            one.start()
        self.wait(3 * len(self._drivers))

    def heard(self, trip: Trip, numbers: list[int], first: float) -> None:
        now = time.monotonic()
        if self.times:  # before, terminals wait to be known
            self.longest_wait_s = max(self.longest_wait_s, now - first)
        self.times.append(now)
        self.acknowledged |= {trip.key(n): now for n in numbers}

    def wait(self, more: int, seconds: float = 60) -> None:
        """Until so many more acknowledgements have come."""
        before, end = len(self.times), time.monotonic() + seconds
        while len(self.times) < before + more:
            assert self.driving, "every machine has made its trip: give the fleet more"
            assert time.monotonic() < end, f"{len(self.times) - before} acknowledgements in {seconds} s"
            time.sleep(0.02)

    @property
    def driving(self) -> bool:
        return any(one.is_alive() for one in self._drivers)

    def finish(self) -> None:
        """Every trip that was begun is driven to its end."""
        self.stopping = True
        for one in self._drivers:
            one.join(60)
        assert not self.driving, "a terminal waits for its acknowledgement"

    def page_reasons(self) -> dict[str, str | None]:
        """By phone, of machines that have an alarm."""
        with psycopg.connect(database_url(load(None, self.gateway.environment), "owner")) as connection:
            return dict(_Books(connection).alarms)

    def longest_gap_s(self, since: float) -> float:
        """Between two acknowledgements, whosever they are, from this moment on."""
        times = [since, *sorted(at for at in self.times if at >= since)]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def audit(self, seconds: float = 60, others: tuple[int, int] = (0, 0)) -> dict[str, object]:
        """Raises AssertionError where something was lost, doubled or missed. The figures.

        others: (acknowledged, sent) positions of other terminals, which reported each once.
        """
        end = time.monotonic() + seconds
        with psycopg.connect(
            database_url(load(None, self.gateway.environment), "owner"), autocommit=True
        ) as connection:
            while True:  # the worker is a moment behind
                books = _Books(connection)
                troubles = self._troubles(books, *others)
                if not troubles or time.monotonic() > end:
                    break
                time.sleep(0.3)
        assert not troubles, "\n".join(troubles)
        return {
            "trips": len(self.done), "acknowledged": len(self.acknowledged), "rows": len(books.rows),
            "sent again": self.sent - len(self.acknowledged), "duplicate": books.duplicate, "alarms": len(books.alarms),
            "longest wait s": round(self.longest_wait_s, 2),
        }  # fmt: skip

    def _troubles(self, books: _Books, others_acknowledged: int, others_sent: int) -> list[str]:
        stored = set(books.rows)
        lost = self.acknowledged.keys() - stored
        strange = stored - {trip.key(n) for trip in self.done for n in range(len(PLACES))}
        banned = {trip.phone for trip in self.done if trip.banned}
        pages = {phone for phone, reason in books.alarms if reason is not None}
        raised = {phone for phone, _ in books.alarms}
        counted = books.stored + books.duplicate
        acknowledged = len(self.acknowledged) + self.repeated + others_acknowledged
        sent = self.sent + others_sent
        checks = {
            f"{len(lost)} acknowledged reports lost: {sorted(lost)[:5]}": lost,
            f"{len(strange)} rows that nobody sent": strange,
            f"{len(books.rows) - len(stored)} reports stored twice": len(books.rows) != len(stored),
            f"the counter of stored reports is {books.stored}, there are {books.all_rows} rows": books.stored
            != books.all_rows,
            f"{acknowledged} acknowledgements, {counted} counted, {sent} sent": not acknowledged <= counted <= sent,
            f"quarantined {books.quarantined}, rejected {books.rejected}": books.quarantined or books.rejected,
            f"alarms missed: {sorted(banned - raised)[:5]}": banned - raised,
            f"{len(books.alarms)} alarms of {len(banned)} visits": len(books.alarms) != len(banned),
            f"not paged: {sorted(banned - pages)[:5]}": banned - pages,
            f"{books.open} alarms of machines that have left are open": books.open,
            f"{books.told_twice} events told twice": books.told_twice,
        }
        return [text for text, wrong in checks.items() if wrong]


class _Books:
    """What the database says now, of the fleet's terminals; the counters are of all."""

    def __init__(self, connection: psycopg.Connection) -> None:
        def rows(query: str) -> list[tuple]:
            return connection.execute(query).fetchall()

        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self.rows = [(phone, int(at)) for phone, at in rows(
                "SELECT t.phone, extract(epoch FROM p.time)::bigint FROM position p JOIN terminal t ON t.device = p.terminal"
                f" WHERE t.phone LIKE '{PHONES}%'"
            )]  # fmt: skip
            self.all_rows = rows("SELECT count(*) FROM position")[0][0]
            of_ours = (
                f"FROM alarm a JOIN terminal t USING (device) WHERE a.kind = 'zone_entry' AND t.phone LIKE '{PHONES}%'"
            )
            self.alarms = rows(f"SELECT t.phone, a.page_reason {of_ours}")
            self.open = rows(f"SELECT count(*) {of_ours} AND exited_at IS NULL")[0][0]
            self.told_twice = rows(
                "SELECT count(*) FROM (SELECT 1 FROM event WHERE kind = 'alarm' GROUP BY data HAVING count(*) > 1) AS twice"
            )[0][0]
            ((self.stored, self.duplicate, self.quarantined),) = rows(
                "SELECT sum(stored)::int, sum(duplicate)::int, sum(quarantined)::int FROM log_offset"
            )
            self.rejected = sum(
                count for (reasons,) in rows("SELECT rejected FROM log_offset") for reason, count in reasons.items()
                if reason not in {"unknown_terminal", "not_authenticated", "bad_code"}
            )  # fmt: skip
