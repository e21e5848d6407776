"""Tampering: columns against a slow reader of single reports, in any batches; and what an episode is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Positions, Quality, Source, concatenate
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.presence import decide
from geofence.ruleset import Ruleset
from geofence.state import State
from geofence.tampering import CLEAR_REPORTS, CLEAR_US, KINDS, NAMES, Began, Ended, Episode, Watch, follow
from tests.geofence.world import SECOND, START, at, box, positions, zone

POWER, ANTENNA, MOVED = 1 << 8, 1 << 5, 1 << 28
ONE, TWO, LOOSE = 11, 12, 13
ZONES = [
    zone(1, box(0, 0, 1000, 1000)),
    zone(2, box(500, 0, 1500, 1000), tier="core", valid_from=START + 600 * SECOND),
]
RULES = Ruleset(
    Fence.compile(ZONES),
    Machines.bound({ONE: Machine(1, emission_stage="2", district="371521"), TWO: Machine(2, emission_stage="4")}),
)
INSIDE, NEAR, BETWEEN, CORE, OUT = (100, 500), (-20, 500), (700, 500), (1200, 500), (-5000, 500)


def row(seconds: int, alarm: int, place: tuple[int, int] = INSIDE, device: int = ONE, **more: object) -> Positions:
    lon, lat = at(*place)
    return positions(device, START + seconds * SECOND, lon, lat, alarm=alarm, fingerprint=seconds, **more)


@dataclass
class Worker:
    """State and watch, batch by batch."""

    state: State
    watch: Watch

    @classmethod
    def new(cls) -> Worker:
        state = State()
        state.adopt(RULES)
        return cls(state, Watch())

    def take(self, *rows: Positions) -> list[Began | Ended]:
        batch = concatenate(rows)
        followed = follow(self.watch, self.state, RULES, batch)
        self.state.apply(decide(self.state, RULES, batch).delta)
        self.watch = followed.after
        return list(followed.changes)


def shown(changes: list[Began | Ended]) -> list[tuple[object, ...]]:
    return [
        ("began", one.kind, one.device, one.zone.id, (one.at - START) // SECOND)
        if isinstance(one, Began)
        else ("ended", one.kind, one.device, (one.at - START) // SECOND)
        for one in changes
    ]


# ---- what an episode is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("place", [INSIDE, NEAR])
def test_each_bit_of_each_kind_begins_one(kind: str, place: tuple[int, int]) -> None:
    """In the zone and in its halo; the bits that were there are named, and whose machine it is."""
    for bit in KINDS[kind]:
        (began,) = Worker.new().take(row(0, 1 << bit, place))
        assert isinstance(began, Began)
        assert (began.kind, began.bits, began.machine, began.machine_district) == (kind, (bit,), 1, "371521")
        assert (began.inside, began.verdict, began.late, began.fixed) == (place == INSIDE, "violation", False, True)


def test_elsewhere_and_on_no_machine_it_is_nothing() -> None:
    """Outside every halo, of a terminal that waits for its machine, and other bits: no episode."""
    worker = Worker.new()
    assert (
        worker.take(
            row(0, POWER, OUT), row(1, POWER, device=LOOSE), row(2, 0xFFFFFFFF & ~(POWER | ANTENNA | MOVED | 0x50))
        )
        == []
    )
    assert worker.watch.episodes == {}


def test_a_zone_that_is_not_in_force_yet_is_none() -> None:
    worker = Worker.new()
    assert worker.take(row(599, POWER, CORE)) == []
    assert shown(worker.take(row(600, POWER, CORE))) == [("began", "power_cut", ONE, 2, 600)]


def test_of_two_zones_the_core_one_leads() -> None:
    (began,) = Worker.new().take(row(700, POWER, BETWEEN))
    assert isinstance(began, Began)
    assert began.zone.id == 2


def test_a_cut_aerial_leaves_no_fix() -> None:
    """The terminal counts at its last good place: of the same batch, of one before, and of none at all."""
    bad = {"quality": int(Quality.NOT_FIXED)}
    same, earlier, never = Worker.new(), Worker.new(), Worker.new()
    (began,) = same.take(row(0, 0), row(10, ANTENNA, OUT, **bad))
    assert isinstance(began, Began)
    assert not began.fixed
    assert (began.lon, began.lat) == pytest.approx(at(*INSIDE))
    assert earlier.take(row(0, 0)) == []
    assert shown(earlier.take(row(10, ANTENNA, OUT, **bad))) == [("began", "antenna_cut", ONE, 1, 10)]
    assert never.take(row(10, ANTENNA, INSIDE, **bad)) == []


@pytest.mark.parametrize("doubt", [Quality.DISPUTED, Quality.BAD_TIME, Quality.FUTURE])
def test_reports_in_doubt_say_nothing(doubt: Quality) -> None:
    """They begin no episode, and end none."""
    worker = Worker.new()
    assert worker.take(row(0, POWER, quality=int(doubt))) == []
    worker.take(row(1, POWER))
    assert worker.take(*(row(n, 0, quality=int(doubt)) for n in range(2, 9))) == []


def test_it_ends_with_three_clear_reports_at_the_first_of_them() -> None:
    worker = Worker.new()
    worker.take(row(0, POWER))
    assert worker.take(row(10, 0), row(20, 0), row(30, POWER), row(40, 0), row(50, 0)) == []
    assert shown(worker.take(row(60, 0))) == [("ended", "power_cut", ONE, 40)]
    assert worker.watch.episodes == {}
    assert CLEAR_REPORTS == 3


def test_a_slow_terminal_ends_it_with_two_that_are_far_apart() -> None:
    worker = Worker.new()
    worker.take(row(0, POWER))
    assert worker.take(row(600, 0)) == []
    assert shown(worker.take(row(600 + CLEAR_US // SECOND, 0))) == [("ended", "power_cut", ONE, 600)]


def test_it_goes_on_outside_the_zone() -> None:
    """Carried away with the power cut, it is the same episode."""
    worker = Worker.new()
    worker.take(row(0, POWER))
    assert worker.take(*(row(60 * n, POWER, OUT) for n in range(1, 5))) == []
    assert len(worker.watch.episodes) == 1


def test_late_data_ends_nothing_that_goes_on() -> None:
    """Old reports without the bit, however many, after newer ones with it; old ones with it begin a late episode."""
    worker = Worker.new()
    worker.take(row(1000, POWER))
    worker.take(row(2000, POWER))
    old = {"received": START + 2001 * SECOND, "source": int(Source.BACKFILL)}
    assert worker.take(*(row(n, 0, **old) for n in range(1100, 1200, 10))) == []
    (began,) = worker.take(row(50, MOVED, **old))
    assert isinstance(began, Began)
    assert (began.kind, began.late) == ("displacement", True)


def test_kinds_are_apart() -> None:
    """Each has its own episode; one that ends leaves the other."""
    worker = Worker.new()
    assert [one[1] for one in shown(worker.take(row(0, POWER | MOVED)))] == ["power_cut", "displacement"]
    found = worker.take(*(row(10 * n, POWER) for n in range(1, 5)))
    assert shown(found) == [("ended", "displacement", ONE, 10)]
    assert list(worker.watch.episodes) == [(ONE, "power_cut")]


def test_a_bit_in_every_report_goes_through_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a terminal far from every zone; that a new owner knows of it is enough."""
    worker = Worker.new()
    worker.watch = Watch.of([(ONE, "power_cut", START)])
    monkeypatch.setattr("geofence.tampering._Rows._step", None)
    assert (
        worker.take(*(row(n, POWER) for n in range(100)), *(row(n, MOVED, OUT, device=TWO) for n in range(100))) == []
    )
    assert worker.watch.up_to_date() == {(ONE, "power_cut"): Episode(START + 99 * SECOND)}


def test_the_watch_of_a_batch_without_news_is_the_same_object() -> None:
    worker = Worker.new()
    before = worker.watch
    worker.take(row(0, 0), row(1, 0, OUT))
    assert worker.watch is before


# ---- columns against single reports ------------------------------------------------------------------------------


class Reader:
    """The same, one report after the other in the order of device time, with nothing clever."""

    def __init__(self) -> None:
        self.open: dict[tuple[int, str], list[int]] = {}  # last seen, clear since, clears
        self.place: dict[int, int] = {}
        self.found: list[tuple[object, ...]] = []

    def read(self, rows: Positions) -> list[tuple[object, ...]]:
        good = rows.good
        sets = RULES.fence.locate(rows.lon, rows.lat)
        for i in np.lexsort((rows.fingerprint, rows.time)).tolist():
            if rows.quality[i] & int(Quality.DISPUTED):
                continue
            device, time = int(rows.device[i]), int(rows.time[i])
            if good[i]:
                self.place[device] = int(sets[i])
            for kind, bits in KINDS.items():
                self._see(device, kind, time, has=any(int(rows.alarm[i]) >> bit & 1 for bit in bits))
        return self.found

    def _see(self, device: int, kind: str, time: int, *, has: bool) -> None:
        key, said = (device, kind), (time - START) // SECOND
        if key in self.open and has:
            self.open[key] = [time, 0, 0]
        elif key in self.open:
            seen, since, clears = self.open[key]
            since = since or time
            self.open[key] = [seen, since, clears + 1]
            if clears + 1 == 3 or time - since >= 300 * SECOND:
                del self.open[key]
                self.found.append(("ended", kind, device, (since - START) // SECOND))
        elif has and device != LOOSE:
            zones = [RULES.fence.zones[z] for z, _ in RULES.fence.depths(self.place.get(device, 0))]
            here = [zone.id for zone in zones if zone.counts_at(time)]
            if here:
                self.open[key] = [time, 0, 0]
                self.found.append(("began", kind, device, said))


reports = st.lists(
    st.tuples(
        st.sampled_from([ONE, TWO, LOOSE]), st.sampled_from([10, 10, 60, 400]),
        st.sampled_from([0, 0, 0, POWER, ANTENNA, POWER | MOVED, POWER | ANTENNA | MOVED | 1]),
        st.sampled_from([INSIDE, NEAR, BETWEEN, OUT]),
        st.sampled_from([0, 0, 0, int(Quality.NOT_FIXED), int(Quality.DISPUTED), int(Quality.UNVERIFIED)]),
    ), min_size=1, max_size=40,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(reports=reports, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_columns_and_single_reports_agree(
    reports: list[tuple[int, int, int, tuple[int, int], int]], cuts: list[int]
) -> None:
    """Reports in the order of their time, cut into batches anywhere: the same beginnings and ends."""
    seconds, rows = 0, []
    for device, gap, alarm, place, quality in reports:
        seconds += gap
        rows.append(row(seconds, alarm, place, device, speed=0, quality=quality))
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    worker, found = Worker.new(), []
    for begin, end in pairwise(edges):
        found += shown(worker.take(*rows[begin:end]))
    said = [one[:3] + one[4:] if one[0] == "began" else one for one in found]
    expected = Reader().read(concatenate(rows))
    for device in (ONE, TWO, LOOSE):
        assert [one for one in said if one[2] == device] == [one for one in expected if one[2] == device]
