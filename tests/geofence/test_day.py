"""A day of 500 machines, some with two terminals: shuffled, split, duplicated and batched anew, the same visits and pages.

Machines work, park, drive through and stand at borders; a third of the terminals lose contact for some hours and send
what they kept afterwards, in packets, while they report on.
"""

from __future__ import annotations

import numpy as np
import pytest

from columns.positions import Positions, Source, concatenate
from gateway.worker.duplicates import Recent
from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.ruleset import Ruleset
from tests.geofence.system import Database, Worker
from tests.geofence.test_presence import shown
from tests.geofence.world import SECOND, START, at, box, positions, zone

MACHINES = 500
FIXES = 36  # a day at 40 minutes
EVERY = 2400
HOUR = 3600 * SECOND


def _rules() -> Ruleset:
    zones = [
        zone(1, box(0, 0, 6000, 6000), lost_s=7200),
        zone(2, box(2000, 2000, 4000, 4000), tier="core", district="371503", slow_terminals="one_fix", lost_s=7200),
        zone(3, box(5000, -1000, 8000, 3000), valid_from=START + 6 * HOUR, valid_to=START + 18 * HOUR, lost_s=10_000),
        zone(4, box(-3000, 1000, 500, 2000), unknown_policy="alarm", merge_s=7200, lost_s=3600.0),
    ]
    versions = [Machine(i, emission_stage=["1", "2", "3", "unknown"][i % 4]) for i in range(MACHINES)]
    versions += [Machine(i, emission_stage="3", since=START + 12 * HOUR) for i in range(0, MACHINES, 16)]
    bindings = [Binding(1000 + i, i) for i in range(MACHINES)]
    bindings += [Binding(2000 + i, i) for i in range(0, MACHINES, 5)]
    return Ruleset(Fence.compile(zones), Machines(bindings, versions))


def _day(rng: np.random.Generator) -> Positions:
    parts = []
    devices = [1000 + i for i in range(MACHINES)] + [2000 + i for i in range(0, MACHINES, 5)]
    for device in devices:
        own = np.random.default_rng(device % 1000)  # two terminals of one machine are at one place
        goals = own.uniform(-4000, 9000, (int(own.integers(1, 7)), 2))
        place = np.repeat(goals, own.multinomial(FIXES, np.ones(len(goals)) / len(goals)), axis=0)
        lon, lat = np.round(at(*(place + rng.normal(0, 8, place.shape)).T), 6)
        time = START + (np.arange(FIXES) * EVERY + int(rng.integers(0, EVERY))) * SECOND
        received = time + SECOND
        source = np.zeros(FIXES, int)
        if rng.random() < 0.33:
            first = int(rng.integers(5, FIXES - 15))
            past = first + int(rng.integers(3, 13))
            packet = (np.arange(first, past) - first) // 6
            received[first:past] = time[past] + (5 + packet) * SECOND
            source[first:past] = Source.BACKFILL if device % 2 else Source.BATCH
        parts.append(
            positions(
                device,
                time,
                lon,
                lat,
                received=received,
                source=source,
                fingerprint=device * 100 + np.arange(FIXES),
                status=rng.integers(0, 2, FIXES),
                speed=rng.choice([0, 30, 300], FIXES),
            )
        )
    return concatenate(parts)


RULES = _rules()
DAY = _day(np.random.default_rng(8))
ARRIVED = DAY.take(np.argsort(DAY.received, kind="stable"))


def taken(batches: list[Positions]) -> Worker:
    """Batches through what drops repeated reports, and the worker."""
    worker, recent, stored = Worker(RULES, Database(page=100)), Recent(), set()
    for batch in batches:
        sifted = recent.sift(batch)
        keys = [(int(batch.device[i]), int(batch.time[i])) for i in sifted.suspects]  # here a second has one report
        news = sifted.suspects[[key not in stored for key in keys]] if keys else sifted.suspects
        new = batch.take(np.union1d(sifted.fresh, news))
        stored |= set(zip(new.device.tolist(), new.time.tolist(), strict=True))
        recent.remember(new)
        worker.take(new)
    return worker


def split(rows: Positions, places: np.ndarray) -> list[Positions]:
    return [rows.take(part) for part in np.split(np.arange(len(rows)), np.sort(places)) if len(part)]


@pytest.fixture(scope="module")
def recorded() -> Worker:
    """The day as it arrived, a few seconds to a batch."""
    rng = np.random.default_rng(3)
    return taken(split(ARRIVED, rng.integers(1, len(ARRIVED), 150)))


def packets(rows: Positions, size: int, rng: np.random.Generator) -> Positions:
    """Shuffled, a few rows of a terminal together."""
    number = np.arange(len(rows)) // size
    order = np.argsort(rng.permutation(number.max() + 1)[number], kind="stable")
    return rows.take(order)


def test_the_day_has_what_it_should(recorded):
    """Visits by the hundred, of two terminals too, late ones among them, and pages of both reasons."""
    database = recorded.database
    visits = database.shown()
    counted = (
        len(visits), sum(row["late"] for row in visits), recorded.rejudged + recorded.retraced,
        len({p.device for p in database.presences.values()} & set(range(2000, 2500))),
    )  # fmt: skip
    assert all(n > least for n, least in zip(counted, (150, 10, 50, 20), strict=True)), counted
    assert {reason for _, reason in database.paged().values()} == {"prompt", "after_late_data", None}


def test_any_order_gives_identical_visits(recorded):
    """Shuffled over the whole day, split, a tenth of it twice: presences and visits are the same, ids and all."""
    rng = np.random.default_rng(4)
    rows = packets(DAY, 3, rng)
    again = rows.take(rng.integers(0, len(rows), len(rows) // 10))
    mixed = concatenate([rows, again])
    mixed = mixed.take(np.argsort(np.concatenate([np.arange(len(rows)), rng.integers(0, len(rows), len(again))])))
    worker = taken(split(mixed, len(mixed) * np.array([85, 93]) // 100))
    assert shown(worker.database.presences.values()) == shown(recorded.database.presences.values())
    assert worker.database.shown() == recorded.database.shown()
    assert worker.rejudged > 50


def test_a_replay_gives_identical_pages(recorded):
    """The same arrival times in other batches: whoever was paged is, by the same fix, and nobody else."""
    worker = taken(split(ARRIVED, np.searchsorted(ARRIVED.received, START + np.arange(1, 15) * 6100 * SECOND)))
    assert worker.database.shown() == recorded.database.shown()
    corrected = worker.database.corrected | recorded.database.corrected
    assert len(corrected) < MACHINES / 10
    found, expected = (
        {visit: page for visit, page in run.database.paged().items() if int(visit.split("-")[0]) not in corrected}
        for run in (worker, recorded)
    )
    assert found == expected
