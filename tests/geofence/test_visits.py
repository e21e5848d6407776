"""Visits: a function of a machine's presences, whatever their order; and what revising the stored ones does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.grades import GRADES, Grade
from geofence.presences import Cause, End, Presence
from geofence.visits import Known, ZoneFacts, form, revise

FACTS = {
    (1, 1): ZoneFacts("general", "371502", 10, 40),
    (1, 2): ZoneFacts("general", "371502", 0, 0),
    (2, 1): ZoneFacts("core", "371503", 5, 100),
    (3, 1): ZoneFacts("general", "371504", 0, 7),
}
SNAPSHOT = {"id": 5, "district": "371502"}


def presence(began, ended=None, *, zone=1, version=1, device=7, verdict="violation", **fields):
    """A presence of machine 5."""
    end = None if ended is None else fields.pop("end", End.LEFT)
    given = {
        "device": device, "zone": zone, "began_at": began, "entered_at": began, "confirmed_at": began + 1,
        "last_inside_at": began + 1 if ended is None else ended, "cause": Cause.CROSSING, "zone_version": version,
        "machine": 5, "verdict": verdict, "alarm": verdict == "violation", "rule": {"index": 0}, "snapshot": SNAPSHOT,
        "grade": Grade.PARKED, "grade_at": began, "grade_speed": 0, "late": False, "lon": 116.0, "lat": 36.0,
        "received": began + 2, "ended_at": ended, "end": end,
    }  # fmt: skip
    return Presence(**{**given, **fields})


@st.composite
def histories(draw):
    """Presences of one machine by two terminals; those of one terminal in one zone never overlap."""
    found = []
    for device in (7, 8):
        for zone in (1, 2, 3):
            clock = draw(st.integers(0, 60))
            for _ in range(draw(st.integers(0, 3))):
                length, rest = draw(st.integers(0, 30)), draw(st.sampled_from([0, 1, 6, 11, 60]))
                version = draw(st.sampled_from([1, 2])) if zone == 1 else 1
                goes_on = draw(st.integers(0, 9)) == 0
                found.append(
                    presence(
                        clock, None if goes_on else clock + length, zone=zone, version=version, device=device,
                        verdict=draw(st.sampled_from(["violation", "violation", "unknown", "exempt", "allowed"])),
                        end=draw(st.sampled_from(list(End))), grade=draw(st.sampled_from(GRADES)),
                        late=draw(st.booleans()), cause=draw(st.sampled_from(list(Cause))),
                    )
                )  # fmt: skip
                clock += length + rest + 1
                if goes_on:
                    break
    return found


def same_visit(first, second, between):
    """The slow way: whether ``second``, which begins later, is within reach of what ended last before it."""
    ends = [p for p in between if p.began_at <= second.began_at and p is not second]
    if any(p.ended_at is None or p.ended_at >= second.began_at for p in ends):
        return True
    latest = max(p.ended_at for p in ends)
    facts = [(p, FACTS[p.zone, p.zone_version]) for p in ends if p.ended_at == latest]
    return second.began_at <= latest + max(f.lost_merge if p.end is End.SIGNAL_LOST else f.merge for p, f in facts)


def grouped(presences):
    """Groups of presences that are one visit, by growing each group with all that joins it."""
    groups = []
    for alarm in (True, False):
        mine = [p for p in presences if p.verdict != "allowed" and p.alarm == alarm]
        for p in sorted(mine, key=lambda p: (p.began_at, p.zone, p.device)):
            if groups and groups[-1][0].alarm == alarm and same_visit(groups[-1][0], p, groups[-1]):
                groups[-1].append(p)
            else:
                groups.append([p])
    return groups


@settings(max_examples=150, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_visits_are_a_function_of_the_set(presences, random):
    """Any order of the presences: the same visits, which are the groups of the slow way."""
    formed = form(presences, FACTS)
    shuffled = list(presences)
    random.shuffle(shuffled)
    assert form(shuffled, FACTS) == formed
    groups = {(group[0].alarm, group[0].began_at): group for group in grouped(presences)}
    assert {(visit.alarming, visit.entered_at) for visit in formed} == groups.keys()
    for visit in formed:
        group = groups[visit.alarming, visit.entered_at]
        assert visit.id == f"5-{visit.entered_at}{'' if visit.alarming else 's'}"
        ends = [p.ended_at for p in group]
        assert visit.exited_at == (None if None in ends else max(ends))
        assert GRADES.index(visit.grade) == max(GRADES.index(p.grade) for p in group)
        core = any(FACTS[p.zone, p.zone_version].tier == "core" for p in group)
        assert (FACTS[visit.zone, visit.zone_version].tier == "core") == core
        assert visit.crossed == any(p.cause is Cause.CROSSING for p in group)
        assert visit.confirmed_at == min(p.confirmed_at for p in group)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_at_most_one_alarming_visit_at_any_moment(presences):
    """And ids name one visit each."""
    formed = form(presences, FACTS)
    assert len({visit.id for visit in formed}) == len(formed)
    for alarming in (True, False):
        own = [visit for visit in formed if visit.alarming == alarming]
        for before, after in pairwise(own):
            assert before.exited_at is not None
            assert before.exited_at < after.entered_at


def test_a_gap_merges_by_the_number_of_what_ended():
    """Its own zone's merge time after leaving, its lost_merge after a lost signal, to the microsecond."""
    for end, gap in ((End.LEFT, 10), (End.ZONE_ENDED, 10), (End.SIGNAL_LOST, 40)):
        first = presence(0, 20, end=end)
        assert len(form([first, presence(20 + gap, zone=3)], FACTS)) == 1
        assert len(form([first, presence(21 + gap, zone=3)], FACTS)) == 2


def test_core_leads_general_and_a_violation_an_unknown():
    """The strictest presence gives its zone, district and rule; the machine's own district gets a copy."""
    general, core = presence(0), presence(5, zone=2)
    [visit] = form([general, core], FACTS)
    assert (visit.zone, visit.district, visit.copied_to, visit.entered_at) == (2, "371503", "371502", 0)
    doubtful = presence(0, alarm=True, verdict="unknown")
    [visit] = form([replace(doubtful, device=8), presence(3)], FACTS)
    assert (visit.verdict, visit.copied_to, visit.device) == ("violation", None, 7)


def test_who_is_allowed_has_no_visit():
    """Nor has a terminal that waits for a machine."""
    assert form([presence(0, verdict="allowed"), presence(0, machine=None, verdict=None, snapshot=None)], FACTS) == []


# ---- revising --------------------------------------------------------------------------------------------------------


def applied(stored, revision):
    """The stored visits after a revision, as the database would have them: id -> Known, and what became of alarms."""
    after = {known.visit.id: known for known in stored}
    for gone in (*revision.merged, *revision.withdrawn):
        after.pop(gone, None)
    alarms = {visit: alarm for alarm, visit in revision.kept.items()}
    number = 1000 + len(stored)
    for visit in revision.visits:
        if visit.id not in alarms and visit.alarming:
            number += 1
            alarms[visit.id] = number
        after[visit.id] = Known(visit, alarms.get(visit.id))
    return list(after.values())


@settings(max_examples=150, deadline=None)
@given(histories(), histories())
def test_revising_comes_to_the_formed_visits_and_loses_no_alarm(first, second):
    """From any visits to any others: they are what is stored then, every alarm is kept, merged or withdrawn, once; a
    second revision changes nothing.
    """
    stored = applied([], revise([], form(first, FACTS)))
    formed = form(second, FACTS)
    revision = revise(stored, formed)
    after = applied(stored, revision)
    shown = sorted((known.visit for known in after), key=lambda visit: visit.id)
    assert [replace(v, last_inside_at=0, crossed=True) for v in shown if v.exited_at is None] == [
        replace(v, last_inside_at=0, crossed=True) for v in sorted(formed, key=lambda v: v.id) if v.exited_at is None
    ]
    assert {v.id for v in shown} == {v.id for v in formed}
    assert all((known.alarm is not None) == known.visit.alarming for known in after)
    alarms = [known.alarm for known in stored if known.alarm is not None]
    held = [known.alarm for known in after if known.alarm is not None]
    assert len(set(held)) == len(held)
    for alarm in alarms:
        assert (alarm in held) + (alarm in revision.merged_alarms) + (alarm in revision.withdrawn_alarms) == 1
    assert all(heir in held for heir in revision.merged_alarms.values())
    again = revise(after, formed)
    assert (again.visits, dict(again.merged), again.withdrawn) == ((), {}, ())
    assert (dict(again.kept), dict(again.merged_alarms), again.withdrawn_alarms) == ({}, {}, ())


def test_a_split_visit_keeps_its_alarm_with_the_first_part():
    """The second part is news, and gets one of its own."""
    [whole] = form([presence(0)], FACTS)
    parts = form([presence(0, 20), presence(60)], FACTS)
    revision = revise([Known(whole, 3)], parts)
    assert [visit.id for visit in revision.visits] == ["5-0", "5-60"]
    assert dict(revision.kept) == {3: "5-0"}


def test_visits_that_are_joined_keep_the_first_alarm():
    """The other one names it."""
    stored = [Known(visit, 3 + n) for n, visit in enumerate(form([presence(0, 20), presence(60)], FACTS))]
    revision = revise(stored, form([presence(0)], FACTS))
    assert dict(revision.merged) == {"5-60": "5-0"}
    assert (dict(revision.kept), dict(revision.merged_alarms)) == ({3: "5-0"}, {4: 3})
