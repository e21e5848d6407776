"""Rules: reading them, the verdict, and the words for it."""

from dataclasses import dataclass

import pytest

from geofence.errors import ZoneError
from geofence.machines import Machine
from geofence.rules import STAGES, Answer, Rule, StageBelow, Verdict, judge, parse_rules, rules_to_json, wording


def stage(name):
    return Machine(1, emission_stage=name)


@pytest.mark.parametrize(
    ("below", "banned"),
    [("1", {"pre", "x"}), ("2", {"pre", "1", "x"}), ("3", {"pre", "1", "2", "x"}), ("4", {"pre", "1", "2", "3", "x"})],
)
def test_stage_below(below, banned):
    """The named stage itself may enter; electric always may; unknown is neither."""
    rules = parse_rules([{"any_of": [{"stage_below": below}]}])
    verdicts = {name: judge(rules, stage(name)).verdict for name in STAGES}
    expected = {name: Verdict.VIOLATION if name in banned else Verdict.ALLOWED for name in STAGES}
    assert verdicts == {**expected, "unknown": Verdict.UNKNOWN}


def test_a_stage_that_is_none_is_unknown():
    """A value from a newer registry is not quietly allowed."""
    assert judge(parse_rules([{"any_of": [{"stage_below": "3"}]}]), stage("5")).verdict is Verdict.UNKNOWN


def test_the_judgement_names_the_rule():
    """The first rule and predicate that hold, and the note that 环X counts like 国一以前."""
    rules = parse_rules([{"any_of": [{"stage_below": "1"}]}, {"any_of": [{"stage_below": "2"}, {"stage_below": "4"}]}])
    found = judge(rules, stage("3"))
    assert (found.rule, found.predicate, found.note) == (1, StageBelow("4"), None)
    assert found.to_json() == {"index": 1, "predicate": {"stage_below": "4"}}
    assert judge(rules, stage("x")).to_json() == {
        "index": 0,
        "predicate": {"stage_below": "1"},
        "note": "stage_x_as_pre",
    }
    unknown = judge(rules, stage("unknown"))
    assert (unknown.verdict, unknown.rule) == (Verdict.UNKNOWN, 0)
    assert judge(rules, stage("4")).to_json() is None


def test_a_ban_outweighs_what_cannot_be_answered():
    """Violation where any predicate holds, even after one that nobody can answer."""

    @dataclass(frozen=True)
    class Always:
        answer: Answer

        def test(self, machine):
            return self.answer

        def note(self, machine):
            return None

    rules = (Rule((Always(Answer.UNKNOWN), Always(Answer.NO))), Rule((Always(Answer.YES),)))
    assert judge(rules, stage("4")).verdict is Verdict.VIOLATION
    assert judge(rules[:1], stage("4")).verdict is Verdict.UNKNOWN


def test_no_rules_ban_nothing():
    """Not even what is unknown."""
    assert judge((), stage("unknown")).verdict is Verdict.ALLOWED


def test_rules_come_back_as_they_were():
    """JSON to rules to JSON."""
    given = [{"any_of": [{"stage_below": "3"}]}, {"any_of": [{"stage_below": "1"}, {"stage_below": "2"}]}]
    assert rules_to_json(parse_rules(given)) == given


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (None, "rules"),
        ({}, "rules"),
        ("stage_below 3", "rules"),
        ([3], "rules[0]"),
        ([{}], "rules[0]"),
        ([{"all_of": []}], "rules[0]"),
        ([{"any_of": [{"stage_below": "3"}], "until": 1}], "rules[0]"),
        ([{"any_of": []}], "rules[0].any_of"),
        ([{"any_of": {"stage_below": "3"}}], "rules[0].any_of"),
        ([{"any_of": [{"stage_below": "3", "stage_above": "1"}]}], "rules[0].any_of[0]"),
        ([{"any_of": [{"smoke": "3"}]}], "rules[0].any_of[0]"),
        ([{"any_of": [{"stage_below": 3}]}], "rules[0].any_of[0].stage_below"),
        ([{"any_of": [{"stage_below": "5"}]}], "rules[0].any_of[0].stage_below"),
        ([{"any_of": [{"stage_below": "pre"}]}], "rules[0].any_of[0].stage_below"),
    ],
)
def test_bad_rules_are_refused(given, where):
    """With the path to what is wrong: a rule that reads differently than meant is a wrong verdict."""
    with pytest.raises(ZoneError) as caught:
        parse_rules(given, "rules")
    assert (caught.value.code, caught.value.where) == ("rules", where)


def test_wording():
    """The law's 以下 includes the number, so it is never used bare; the stage not banned is named."""
    rules = parse_rules([{"any_of": [{"stage_below": "3"}]}])
    assert wording(rules, "zh") == "未达到国三(国二及以前,不含国三)"
    assert wording(rules, "en") == "below stage 3"
    both = parse_rules([{"any_of": [{"stage_below": "1"}, {"stage_below": "2"}]}, {"any_of": [{"stage_below": "4"}]}])
    assert (
        wording(both, "zh")
        == "未达到国一(国一以前,不含国一)或未达到国二(国一及以前,不含国二);未达到国四(国三及以前,不含国四)"
    )
    assert wording(both, "en") == "below stage 1 or below stage 2; below stage 4"
    assert wording((), "zh") == ""
    assert "以下" not in "".join(wording(parse_rules([{"any_of": [{"stage_below": n}]}]), "zh") for n in "1234")
