"""The ruleset's judgement: against the oracle at random times and at every minute up to `until`, and its parts one by one."""

import json

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.exemptions import Exemption
from geofence.fence import FOREVER, Fence
from geofence.machines import Machine, Machines
from geofence.rules import STAGES, Verdict, parse_rules
from geofence.rules.terms import ENERGY_WORDS, TYPE_WORDS
from geofence.ruleset import Ruleset
from geofence.zones import Zone
from tests.geofence import rule_oracle
from tests.geofence.rule_oracle import micros

MINUTE = 60_000_000
DAY = 1440 * MINUTE
MONDAY = micros("2026-03-02T00:00:00+08:00")
SQUARE = shapely.box(115.9, 36.4, 116.0, 36.5)
NOBODY = Machines()


def zone(rules, **fields):
    return Zone(1, 1, "城区", "371502", "core", SQUARE, parse_rules(rules), **fields)


def ruleset(*exemptions, machines=NOBODY):
    return Ruleset(Fence.compile([]), machines, exemptions)


def judge(rules, at, *exemptions, unknown_policy="record", **fields):
    machine = Machine(7, **fields)
    return ruleset(*exemptions).judge(zone(rules, unknown_policy=unknown_policy), machine, at)


def exempt(number=1, since=0, until=None, kind="machine", value=7, where=None):
    return Exemption(number, kind, value, where, since, until, "张三", "应急抢险")


# ---- anything, against the oracle --------------------------------------------------------------------------------

clock = st.sampled_from(["00:00", "00:01", "06:00", "12:30", "22:00", "23:59"])
windows = st.tuples(clock, st.one_of(clock, st.just("24:00"))).filter(lambda each: each[0] != each[1]).map(list)
hours = st.lists(windows, min_size=1, max_size=3)
weekdays = st.lists(st.integers(1, 7), min_size=1, max_size=7, unique=True)
minutes = st.integers(-2 * 1440, 9 * 1440)  # around one week
dates = minutes.map(lambda minute: rule_oracle.moment(MONDAY + minute * MINUTE).isoformat())
several_stages = st.lists(st.sampled_from(STAGES), min_size=1, max_size=5, unique=True)
several_types = st.lists(st.sampled_from([*TYPE_WORDS, "铣刨机"]), min_size=1, max_size=3, unique=True)
powers = st.sampled_from([18.5, 37, 75, 130, 560])
predicates = st.one_of(
    st.builds(lambda stage: {"stage_below": stage}, st.sampled_from("1234")),
    st.builds(lambda stages: {"stage_in": stages}, several_stages),
    st.builds(lambda smoke: {"smoke_class_not_met": smoke}, st.sampled_from("123")),
    st.builds(lambda types: {"type_in": types}, several_types),
    st.builds(lambda types: {"type_not_in": types}, several_types),
    st.builds(lambda kind: {"registration_type": kind}, st.sampled_from(["machinery", "in_plant"])),
    st.builds(lambda power: {"power_kw": {"min": power}}, powers),
    st.builds(lambda power: {"power_kw": {"max": power}}, powers),
    st.builds(lambda energies: {"energy_in": energies},
              st.lists(st.sampled_from(list(ENERGY_WORDS)), min_size=1, max_size=3, unique=True)),
)  # fmt: skip
groups = st.recursive(
    predicates,
    lambda inner: st.builds(
        lambda kind, members: {kind: members},
        st.sampled_from(["any_of", "all_of"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@st.composite
def rules_of_a_zone(draw):
    def rule():
        made = {draw(st.sampled_from(["any_of", "all_of"])): draw(st.lists(groups, min_size=1, max_size=3))}
        made |= {} if draw(st.booleans()) else {"weekdays": draw(weekdays)}
        made |= {} if draw(st.booleans()) else {"hours": draw(hours)}
        begins, ends = sorted([draw(dates), draw(dates)], key=micros)
        made |= {} if draw(st.booleans()) else {"valid_from": begins}
        if draw(st.booleans()) and micros(begins) < micros(ends):
            made["valid_to"] = ends
        return made

    found = [rule() for _ in range(draw(st.integers(0, 4)))]
    return [each for each in found if depth(each) <= 4]


def depth(condition):
    inner = condition.get("any_of", condition.get("all_of"))
    return 1 + max(map(depth, inner)) if inner is not None else 0


machines = st.builds(
    Machine,
    id=st.integers(7, 8),
    machine_type=st.sampled_from(["", "excavator", "挖掘机", "in_plant", "铣刨机"]),
    registration_type=st.sampled_from(["machinery", "in_plant"]),
    emission_stage=st.sampled_from(STAGES),
    power_kw=st.none() | st.sampled_from([18.4, 18.5, 37.0, 74.9, 75.0, 600.0]),
    energy=st.none() | st.sampled_from(list(ENERGY_WORDS)),
    smoke_class=st.sampled_from(["1", "2", "3", "none", "unknown"]),
    owner=st.sampled_from([None, "甲公司"]),
)


@st.composite
def exemptions_of_a_city(draw):
    found = []
    for number in range(draw(st.integers(0, 3))):
        kind, value = draw(st.sampled_from([("machine", 7), ("machine", 8), ("owner", "甲公司")]))
        since = MONDAY + draw(minutes) * MINUTE
        length = draw(st.none() | st.integers(1, 3000))
        until = None if length is None else since + length * MINUTE
        found.append(exempt(number, since, until, kind, value, draw(st.sampled_from([None, 1, 2]))))
    return found


def outcome(judgement):
    return judgement.verdict.value, judgement.rule, judgement.exemption


times = st.lists(st.builds(lambda minute, us: MONDAY + minute * MINUTE + us, minutes, st.sampled_from([0, 1, 59_999_999])),
                 min_size=1, max_size=8)  # fmt: skip


@settings(deadline=None)
@given(rules_of_a_zone(), st.lists(machines, min_size=1, max_size=3), exemptions_of_a_city(), times)
def test_as_the_oracle_says(rules, fleet, granted, asked):
    """Verdict, rule and exemption at any times in any order; compiled for the machines that are known or not."""
    place = zone(json.loads(json.dumps(rules)))
    for known in (NOBODY, Machines.bound(dict(enumerate(fleet[:1])))):
        judged = ruleset(*granted, machines=known)
        for at in asked:
            for machine in fleet:
                expected = rule_oracle.judged(rules, machine, at, granted)
                assert outcome(judged.judge(place, machine, at)) == expected


@settings(deadline=None, max_examples=60)
@given(rules_of_a_zone(), machines, exemptions_of_a_city(), minutes)
def test_nothing_changes_before_until(rules, machine, granted, minute):
    """The oracle says the same at every minute from the time asked for to `until`, which is later than it."""
    at = MONDAY + minute * MINUTE
    found = ruleset(*granted).judge(zone(rules), machine, at)
    assert at < found.until <= FOREVER
    last = min(found.until, at + 12 * DAY)
    # Every edge is on a minute: each of two days, then a prime number of minutes, then just before the end.
    for later in (*range(at, min(last, at + 2 * DAY), MINUTE), *range(at, last, 53 * MINUTE), last - 1):
        assert rule_oracle.judged(rules, machine, later, granted) == outcome(found)


# ---- one by one --------------------------------------------------------------------------------------------------

BELOW_3 = [{"any_of": [{"stage_below": "3"}]}]


def test_the_judgement_names_what_made_it():
    """The first rule that holds, its version, the innermost predicate, the remark; nothing where the machine may enter."""
    rules = [{"any_of": [{"stage_below": "1"}]}, {"any_of": [{"stage_below": "2"}, {"stage_below": "4"}]}]
    found = judge(rules, MONDAY, emission_stage="3")
    version = parse_rules(rules)[1].version
    assert found.to_json() == {"index": 1, "version": version, "predicate": {"stage_below": "4"}}
    of_x = judge(rules, MONDAY, emission_stage="x").to_json()
    assert (of_x["index"], of_x["predicate"], of_x["note"]) == (0, {"stage_below": "1"}, "stage_x_as_pre")
    unknown = judge(rules, MONDAY)
    assert (unknown.verdict, unknown.rule, unknown.alarm) == (Verdict.UNKNOWN, 0, False)
    assert judge(rules, MONDAY, emission_stage="4").to_json() is None
    assert judge([], MONDAY).verdict is Verdict.ALLOWED


def test_a_ban_outweighs_what_cannot_be_answered():
    """Violation where any rule holds, even after one that nobody can answer, and that rule is named."""
    rules = [{"any_of": [{"smoke_class_not_met": "3"}]}, *BELOW_3]
    assert outcome(judge(rules, MONDAY, emission_stage="2")) == ("violation", 1, None)
    assert outcome(judge(rules, MONDAY, emission_stage="3")) == ("unknown", 0, None)


def test_the_zones_policy_on_unknown():
    """Recorded, or an alarm; a violation always is one, an allowed or exempt machine never."""
    for policy, alarms in (("record", False), ("alarm", True)):
        assert judge(BELOW_3, MONDAY, unknown_policy=policy).alarm is alarms
        assert judge(BELOW_3, MONDAY, unknown_policy=policy, emission_stage="1").alarm is True
        assert judge(BELOW_3, MONDAY, unknown_policy=policy, emission_stage="4").alarm is False
        assert judge(BELOW_3, MONDAY, exempt(), unknown_policy=policy).alarm is False


def test_an_exemption_says_what_from():
    """Exempt, with its id beside the rule that would have banned, and nothing of it where nothing bans."""
    found = judge(BELOW_3, MONDAY, exempt(5), emission_stage="2")
    assert outcome(found) == ("exempt", 0, 5)
    assert found.to_json()["exemption"] == 5
    assert outcome(judge(BELOW_3, MONDAY, exempt(5))) == ("exempt", 0, 5)
    assert outcome(judge(BELOW_3, MONDAY, exempt(5), emission_stage="4")) == ("allowed", None, None)


def test_times_may_go_back():
    """What was found for a time stands for no earlier one that is behind an edge: an exemption's, a date, a window."""
    judged, place = ruleset(exempt(1, MONDAY + 5, MONDAY + 9)), zone(BELOW_3)
    machine = Machine(7, emission_stage="2")
    asked = {us: judged.judge(place, machine, MONDAY + us).verdict.value for us in (9, 8, 5, 4)}
    assert asked == {9: "violation", 8: "exempt", 5: "exempt", 4: "violation"}
    nightly = zone([{**BELOW_3[0], "hours": [["22:00", "06:00"]], "valid_from": "2026-03-02T00:00:00+08:00"}])
    hours = {
        hour: judged.judge(nightly, machine, MONDAY + hour * 60 * MINUTE).verdict.value for hour in (23, 21, 5, -1)
    }
    assert hours == {23: "violation", 21: "allowed", 5: "violation", -1: "allowed"}


def test_until_is_the_next_edge_and_no_earlier():
    """Of the dates and windows of rules, and of the machine's own exemptions; FOREVER where there is none."""
    assert judge(BELOW_3, MONDAY, emission_stage="2").until == FOREVER
    dated = [{**BELOW_3[0], "valid_from": "2026-03-03T00:00:00+08:00", "valid_to": "2026-03-05T00:00:00+08:00"}]
    assert [judge(dated, MONDAY + day * DAY, emission_stage="2").until for day in (0, 1, 3)] == [
        MONDAY + DAY,
        MONDAY + 3 * DAY,
        FOREVER,
    ]
    granted = exempt(1, MONDAY + 5, MONDAY + 9)
    asked = [judge(BELOW_3, MONDAY + us, granted, emission_stage="2").until - MONDAY for us in (4, 5, 8)]
    assert asked == [5, 9, 9]
    assert judge(BELOW_3, MONDAY + 9, granted, emission_stage="2").until == FOREVER
    assert judge(BELOW_3, MONDAY, granted, emission_stage="4").until == FOREVER


@pytest.mark.parametrize(
    ("keys", "edges"),
    [
        ({"hours": [["22:00", "06:00"]]}, [6, 22, 30, 46]),
        ({"hours": [["00:00", "24:00"]]}, []),
        ({"hours": [["22:00", "24:00"], ["00:00", "06:00"]]}, [6, 22, 30, 46]),
        ({"hours": [["08:00", "12:00"], ["11:00", "13:00"]]}, [8, 13, 32, 37]),
        ({"weekdays": [1, 2, 3]}, [72, 168, 240]),
        ({"weekdays": [7, 1]}, [24, 144, 192]),
        ({"weekdays": [7], "hours": [["22:00", "06:00"]]}, [6, 166, 174]),
        ({"weekdays": [1, 2, 3, 4, 5, 6, 7]}, []),
    ],
)
def test_windows_join_where_they_touch(keys, edges):
    """Hours after a Monday's midnight at which something changes; a window belongs to the day on which it begins."""
    at, found = MONDAY, []
    for _ in edges:
        at = judge([{**BELOW_3[0], **keys}], at, emission_stage="2").until
        found.append((at - MONDAY) / (60 * MINUTE))
    assert found == edges
    if not edges:
        assert judge([{**BELOW_3[0], **keys}], at, emission_stage="2").until == FOREVER


def test_windows_are_cut_by_dates():
    """A night that began before the rule ended is over when the rule is."""
    rule = {**BELOW_3[0], "hours": [["22:00", "06:00"]], "valid_to": "2026-03-03T00:00:00+08:00"}
    found = judge([rule], MONDAY + 23 * 60 * MINUTE, emission_stage="2")
    assert (found.verdict, found.until) == (Verdict.VIOLATION, MONDAY + DAY)
    assert judge([rule], MONDAY + DAY, emission_stage="2").verdict is Verdict.ALLOWED


def test_judgements_are_equal_whenever_they_end():
    """So that a stretch of time with the same judgement is one piece."""
    nightly = [{**BELOW_3[0], "hours": [["22:00", "06:00"]]}]
    tonight, tomorrow = (judge(nightly, MONDAY + day * DAY, emission_stage="2") for day in (0, 1))
    assert tonight == tomorrow
    assert tonight.until < tomorrow.until


def test_another_version_of_the_machine_is_judged_anew():
    """What was found for one version does not stand for another, nor for another zone version."""
    judged, place = ruleset(), zone(BELOW_3)
    assert judged.judge(place, Machine(7, emission_stage="2"), MONDAY).verdict is Verdict.VIOLATION
    assert judged.judge(place, Machine(7, emission_stage="4", since=MONDAY), MONDAY).verdict is Verdict.ALLOWED
    assert judged.judge(zone([]), Machine(7, emission_stage="2"), MONDAY).verdict is Verdict.ALLOWED
    assert judged.judge(place, Machine(7, emission_stage="2"), MONDAY).verdict is Verdict.VIOLATION


def test_what_is_kept_is_bounded(monkeypatch):
    """Beyond the bound it begins anew, and judges the same."""
    monkeypatch.setattr("geofence.ruleset._MOST_KEPT", 3)
    monkeypatch.setattr("geofence.rules.compiled._MOST_STRETCHES", 2)
    judged, place = ruleset(), zone([{**BELOW_3[0], "weekdays": [1, 3, 5]}])
    for day in range(20):
        found = judged.judge(place, Machine(day % 5, emission_stage="2"), MONDAY + day * DAY)
        assert (found.verdict is Verdict.VIOLATION) == (day % 7 in {0, 2, 4})
    assert sum(map(len, judged._kept.values())) <= 3
