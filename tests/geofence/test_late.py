"""Late fixes: whatever the order of arrival, the same presences, the same state, and nobody is paged twice or for the past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import Source, concatenate
from geofence.presence import State, decide
from tests.geofence.paging import OracleWorker
from tests.geofence.system import Worker, in_batches
from tests.geofence.test_presence import HERE, THERE, cuts, fixes, ruleset, shown, worlds
from tests.geofence.world import SECOND, START, at, box, zone
from tests.geofence.worlds import DEVICES, EDIT, arriving, packets, runs

SQUARE = box(0, 0, 1000, 1000)


def by_packet(rows, cuts):
    """The same cuts, moved back to where a packet begins."""
    received = rows.received
    return [int(np.searchsorted(received, received[min(cut, len(rows) - 1)])) for cut in cuts] if len(rows) else []


def known(state, device):
    """What a state knows of a terminal, but for times that are not kept up to date and for whom it has told."""
    slot = int(state.slots_of(np.array([device]))[0])
    stays = state.track(slot).stays.values()
    plain = {
        stay.zone: replace(
            stay, until=0, told=True, last_inside_at=0 if stay.inside else stay.last_inside_at,
            presence=stay.presence and replace(stay.presence, last_inside_at=0),
        )
        for stay in stays
    }  # fmt: skip
    names = ("time", "lon", "lat", "fingerprint", *(("set_id",) if stays else ()))
    return plain, [state.column(name, np.array([slot])).tolist() for name in names]


@settings(max_examples=150, deadline=None)
@given(world=worlds, walk=runs(), device=st.sampled_from(DEVICES), packets=packets, cuts=cuts)
def test_the_order_of_arrival_changes_nothing(world, walk, device, packets, cuts):
    """Packets in any order, in any batches: the presences of the whole set, and the state that order would have left."""
    rows = arriving(world.walk(device, walk), packets)
    worker = Worker(world.rules)
    for batch in in_batches(rows, cuts):
        worker.take(batch)
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, rows))
    orderly = State()
    orderly.adopt(world.rules)
    orderly.apply(decide(orderly, world.rules, rows, np.ones(len(rows), bool)).delta)
    assert known(worker.state, device) == known(orderly, device)


@settings(max_examples=40, deadline=None)
@given(world=worlds, walk=runs(), device=st.sampled_from(DEVICES), packets=packets, cuts=cuts, back=st.integers(0, 3))
def test_rules_learned_in_time_change_nothing(world, walk, device, packets, cuts, back):
    """Zones, attributes and exemptions that are dated may be learned at any moment before, late data or not."""
    rows = arriving(world.walk(device, walk), packets)
    beyond = np.flatnonzero(rows.time > EDIT)
    split = max(0, (int(beyond[0]) if len(beyond) else len(rows)) - back)
    worker = Worker(world.before)
    for batch in in_batches(rows.take(np.arange(split)), cuts):
        worker.take(batch)
    worker.rules = world.rules
    for batch in in_batches(rows.take(np.arange(split, len(rows))), cuts):
        worker.take(batch)
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, rows))


@settings(max_examples=80, deadline=None)
@given(
    world=worlds, walks=st.lists(st.tuples(runs(8), packets), min_size=2, max_size=2), cuts=cuts,
    devices=st.sampled_from([(101, 106), (101, 102), (102, 107), (103, 104)]),
)  # fmt: skip
def test_who_is_paged(world, walks, cuts, devices):
    """The fixes that page are those that the whole history names, packet by packet, whatever the batches; two terminals
    may sit on one machine. Where late data splits or joins visits that staff were told of, nothing is told anew for that.
    """
    parts = [arriving(world.walk(device, walk), order) for device, (walk, order) in zip(devices, walks, strict=True)]
    rows = concatenate(parts)
    rows = rows.take(np.argsort(rows.received, kind="stable"))
    oracle, worker = OracleWorker(world), Worker(world.rules)
    oracle.take_all(rows)
    for batch in in_batches(rows, by_packet(rows, cuts)):
        worker.take(batch)
    assert worker.database.shown() == oracle.database.shown()
    corrected = oracle.database.corrected | worker.database.corrected
    found, expected = (
        {visit: page for visit, page in paged.items() if int(visit.split("-")[0]) not in corrected}
        for paged in (worker.database.paged(), oracle.database.paged())
    )
    assert found == expected
    fresh = rows.received[(rows.received - rows.time <= 300 * SECOND) & (rows.source != Source.BACKFILL)]
    assert {page.received for page in worker.pages} <= set(fresh.tolist())


# ---- single cases ----------------------------------------------------------------------------------------------------


def taken(*batches, rules=None):
    worker = Worker(rules or ruleset(zone(1, SQUARE, lost_s=7200)))
    for batch in batches:
        worker.take(batch)
    return worker


def spans(worker):
    """(began, ended) of the presences, in seconds since START."""
    found = sorted(worker.database.presences.values(), key=lambda p: p.began_at)
    return [((p.began_at - START) // SECOND, p.ended_at and (p.ended_at - START) // SECOND) for p in found]


def test_backfill_alone_pages_nobody():
    """Neither what is old nor what is declared old; the next fresh fix inside does, once, and says why so late."""
    backfill = fixes([THERE, HERE, HERE, HERE], source=Source.BACKFILL)
    worker = taken(backfill)
    assert (spans(worker), worker.pages) == ([(10, None)], [])
    for n in range(3):
        worker.take(fixes([HERE], start=START + (40 + 10 * n) * SECOND))
    [page] = worker.pages
    assert (page.at, page.after_late) == (START + 40 * SECOND, True)
    assert list(worker.database.paged().values()) == [(START + 41 * SECOND, "after_late_data")]


def test_a_late_exit_splits_a_presence():
    """Two fixes outside come late: what was one presence is two, and the alarm stays with the first."""
    whole = fixes([THERE, *[HERE] * 3, THERE, THERE, *[HERE] * 3], every=60)
    late = np.array([4, 5])
    worker = taken(whole.take(np.array([0, 1, 2, 3, 6, 7, 8])))
    assert spans(worker) == [(60, None)]
    worker.take(whole.take(late).with_columns(received=whole.received[late] + 9000 * SECOND))
    assert spans(worker) == [(60, 240), (360, None)]
    assert len(worker.database.alarms) == 1


def test_backfill_fills_a_lost_signal():
    """A gap ended the presence; what the terminal had kept shows that it stayed."""
    rules = ruleset(zone(1, SQUARE, lost_s=600))
    whole = fixes([THERE, *[HERE] * 20], every=120)
    gap = np.arange(5, 15)
    worker = taken(whole.take(np.delete(np.arange(21), gap)), rules=rules)
    assert spans(worker) == [(120, 480), (1800, None)]
    worker.take(whole.take(gap).with_columns(received=whole.received[gap] + 9000 * SECOND))
    assert spans(worker) == [(120, None)]
    assert [alarm.merged_into for alarm in worker.database.alarms.values()] == [None]


def test_later_presences_are_left_alone():
    """A late fix of the morning is judged up to where nothing of it matters any more, and no further."""
    morning = [THERE, THERE, HERE, HERE, *[THERE] * 4]
    whole = fixes(morning * 3, every=60)
    worker = taken(whole.take(np.delete(np.arange(24), 3)))
    assert spans(worker) == [(600, 720), (1080, 1200)]
    worker.take(whole.take(np.array([3])).with_columns(received=np.array([START + 9000 * SECOND])))
    assert spans(worker) == [(120, 240), (600, 720), (1080, 1200)]


def test_a_late_fix_may_make_a_jump_none():
    """The place between two places shows that the machine did drive there, so its one fix inside counts."""
    near, far, beyond = np.array(THERE), np.array(at(8700, 500)), np.array(at(10_500, 500))
    rules = ruleset(zone(1, box(8000, 0, 9500, 1000), slow_terminals="one_fix"))
    whole = fixes([near, near, (near + far) / 2, far, beyond, beyond], every=60)
    worker = taken(whole.take(np.array([0, 1, 3, 4, 5])), rules=rules)
    before = spans(worker)
    worker.take(whole.take(np.array([2])).with_columns(received=np.array([START + 9000 * SECOND])))
    assert (before, spans(worker)) == ([], [(180, 240)])


def test_a_late_fix_may_raise_the_grade():
    """It worked once, between two fixes of a machine that stood."""
    parked = fixes([THERE, *[HERE] * 6], every=60, status=2, speed=0)
    worked = fixes([HERE], start=START + 270 * SECOND, received=START + 9000 * SECOND)
    worker = taken(*in_batches(parked, range(7)), worked)
    [presence] = worker.database.presences.values()
    assert (presence.grade, presence.grade_at) == ("working", START + 270 * SECOND)


def test_a_stay_that_lingers_in_the_halo_is_still_one():
    """It left with the second fix outside, however long before that the first one was; a late fix inside in between keeps
    it.
    """
    halo = at(-15, 500)
    rules = ruleset(
        zone(1, SQUARE, rules=(), lost_s=7200)
    )  # of whom is allowed, history is not read from the beginning
    away = at(-500, 500)
    whole = fixes([away, away, away, *[HERE] * 4, *[halo] * 3, away, away, *[HERE] * 2], every=60)
    worker = taken(whole, rules=rules)
    assert spans(worker) == [(180, 600), (720, None)]
    worker.take(fixes([HERE], start=START + 630 * SECOND, received=START + 9000 * SECOND))
    assert spans(worker) == [(180, None)]


@settings(max_examples=100, deadline=None)
@given(
    world=worlds,
    walk=runs(8),
    device=st.sampled_from(DEVICES[:2]),
    which=st.lists(st.integers(0, 30), min_size=1, max_size=2),
)
def test_one_late_fix(world, walk, device, which):
    """Everything else came in order and one by one; then one or two of the middle."""
    walk = [(place, times, min(apart, 3), doing) for place, times, apart, doing in walk]
    rows = world.walk(device, walk)
    late = np.unique(np.array(which) % len(rows))
    rest = rows.take(np.delete(np.arange(len(rows)), late))
    worker = Worker(world.rules)
    for batch in in_batches(rest, range(len(rest))):
        worker.take(batch)
    worker.take(rows.take(late).with_columns(received=rows.received[late] + 20 * 3600 * SECOND))
    everything = concatenate([rest, rows.take(late).with_columns(received=rows.received[late] + 20 * 3600 * SECOND)])
    assert shown(worker.database.presences.values()) == shown(world.oracle.presences(device, everything))
