"""Rules: predicates one by one, groups, and the words for them."""

from pathlib import Path

import pytest

from admin_api import machine_values
from geofence.machines import Machine
from geofence.rules import STAGES, parse_rules, rules_to_json, wording
from geofence.rules.attributes import attributes
from geofence.rules.predicates import Answer, StageBelow
from geofence.rules.reading import _GROUPS, _KINDS, _WHEN
from geofence.rules.rule import answer, decisive
from geofence.rules.terms import ENERGY_WORDS, REGISTRATION_WORDS, TYPE_WORDS

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def ask(predicate, **fields):
    """The answer of a condition for a machine."""
    [rule] = parse_rules([{"any_of": [predicate]}])
    return answer(rule.condition, attributes(Machine(1, **fields)))


@pytest.mark.parametrize(
    ("below", "banned"),
    [("1", {"pre", "x"}), ("2", {"pre", "1", "x"}), ("3", {"pre", "1", "2", "x"}), ("4", {"pre", "1", "2", "3", "x"})],
)
def test_stage_below(below, banned):
    """The named stage itself may enter; electric always may; unknown is neither."""
    answers = {name: ask({"stage_below": below}, emission_stage=name) for name in STAGES}
    assert answers == {**{name: YES if name in banned else NO for name in STAGES}, "unknown": UNKNOWN}


@pytest.mark.parametrize(
    ("listed", "banned", "unanswered"),
    [
        (["1", "2"], {"1", "2"}, {"x", "unknown"}),
        (["pre", "1"], {"pre", "1", "x"}, {"unknown"}),
        (["pre", "x"], {"pre", "x"}, {"unknown"}),
        (["3"], {"3"}, {"unknown"}),
        (["1", "unknown"], {"1", "unknown"}, {"x"}),
        (["electric"], {"electric"}, {"unknown"}),
        (["pre", "1", "2", "3", "4"], {"pre", "1", "2", "3", "4", "x"}, {"unknown"}),
    ],
)
def test_stage_in(listed, banned, unanswered):
    """Electric and unknown are banned only by name; 环X (国一 or older) is where one of these is, maybe, both, surely."""
    answers = {name: ask({"stage_in": listed}, emission_stage=name) for name in STAGES}
    assert {name for name in STAGES if answers[name] is YES} == banned
    assert {name for name in STAGES if answers[name] is UNKNOWN} == unanswered


@pytest.mark.parametrize(
    ("wanted", "answers"),
    [("1", (NO, NO, NO, YES, UNKNOWN)), ("2", (YES, NO, NO, YES, UNKNOWN)), ("3", (YES, YES, NO, YES, UNKNOWN))],
)
def test_smoke_class_not_met(wanted, answers):
    """Class III is the strictest: who passed it passed all, who failed all met none."""
    passed = ("1", "2", "3", "none", "unknown")
    assert tuple(ask({"smoke_class_not_met": wanted}, smoke_class=each) for each in passed) == answers
    assert ask({"smoke_class_not_met": wanted}, emission_stage="electric") is NO


@pytest.mark.parametrize(("power", "held"), [(36.9, NO), (37, YES), (74.9, YES), (75, NO), (None, UNKNOWN)])
def test_power_includes_its_lower_end(power, held):
    """37 kW <= P < 75 kW, as the bands of GB 20891-2014 are written."""
    assert ask({"power_kw": {"min": 37, "max": 75}}, power_kw=power) is held


def test_power_with_one_end():
    """Either end may be left open."""
    assert ask({"power_kw": {"min": 560}}, power_kw=1e4) is YES
    assert ask({"power_kw": {"max": 37}}, power_kw=0.5) is YES
    assert ask({"power_kw": {"max": 37}}, power_kw=37) is NO


def test_types_have_one_spelling():
    """The registry's Chinese word and our code are the same type; another word is a type too; no word is unknown."""
    for named in ("excavator", "挖掘机"):
        assert ask({"type_in": [named]}, machine_type="挖掘机") is YES
        assert ask({"type_in": [named]}, machine_type="excavator") is YES
        assert ask({"type_not_in": [named]}, machine_type="excavator") is NO
        assert ask({"type_not_in": [named]}, machine_type="loader") is YES
    assert ask({"type_in": ["铣刨机"]}, machine_type="铣刨机") is YES
    assert ask({"type_in": ["铣刨机"]}, machine_type="") is UNKNOWN
    assert ask({"type_not_in": ["铣刨机"]}, machine_type="") is UNKNOWN


def test_registration_type_and_energy():
    """What the registry does not say, or says in a word that we don't know, is unknown: never quietly allowed."""
    assert ask({"registration_type": "in_plant"}, registration_type="in_plant") is YES
    assert ask({"registration_type": "in_plant"}) is NO
    assert ask({"registration_type": "in_plant"}, registration_type="vessel") is UNKNOWN
    assert ask({"energy_in": ["diesel"]}, energy="diesel") is YES
    assert ask({"energy_in": ["diesel"]}, energy="gas") is NO
    assert ask({"energy_in": ["diesel"]}) is UNKNOWN
    assert ask({"energy_in": ["diesel"]}, energy="steam") is UNKNOWN
    assert ask({"stage_below": "3"}, emission_stage="5") is UNKNOWN
    assert ask({"smoke_class_not_met": "3"}, smoke_class="4") is UNKNOWN


def test_electric_is_an_energy():
    """An electric machine of unknown stage has none; one whose stage says electric runs on it."""
    assert ask({"stage_below": "4"}, energy="electric") is NO
    assert ask({"smoke_class_not_met": "3"}, energy="electric") is NO
    assert ask({"energy_in": ["diesel"]}, emission_stage="electric") is NO
    assert ask({"energy_in": ["electric"]}, emission_stage="electric") is YES
    assert ask({"stage_below": "3"}, emission_stage="2", energy="electric") is YES  # the label is believed


@pytest.mark.parametrize(
    ("joined", "left", "right", "held"),
    [
        ("all_of", YES, YES, YES), ("all_of", YES, NO, NO), ("all_of", YES, UNKNOWN, UNKNOWN), ("all_of", NO, UNKNOWN, NO),
        ("all_of", NO, NO, NO), ("all_of", UNKNOWN, UNKNOWN, UNKNOWN),
        ("any_of", YES, YES, YES), ("any_of", YES, NO, YES), ("any_of", YES, UNKNOWN, YES), ("any_of", NO, UNKNOWN, UNKNOWN),
        ("any_of", NO, NO, NO), ("any_of", UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)  # fmt: skip
def test_three_valued_logic(joined, left, right, held):
    """Unknown and no is no, unknown or yes is yes, else unknown stays unknown; both ways round."""
    of = {YES: {"stage_in": ["2"]}, NO: {"stage_in": ["4"]}, UNKNOWN: {"energy_in": ["gas"]}}
    for pair in ((left, right), (right, left)):
        assert ask({joined: [of[each] for each in pair]}, emission_stage="2") is held


def test_the_innermost_part_that_decided():
    """A predicate, or the all_of of which every part holds; where nobody can say, the part that cannot be answered."""
    in_plant = {"all_of": [{"registration_type": "in_plant"}, {"stage_in": ["2", "3"]}]}
    [rule] = parse_rules([{"any_of": [{"stage_below": "1"}, {"any_of": [{"stage_below": "2"}]}, in_plant]}])

    def part(**fields):
        return decisive(rule.condition, attributes(Machine(1, **fields))).to_json()

    assert part(emission_stage="1", registration_type="in_plant") == {"stage_below": "2"}
    assert part(emission_stage="3", registration_type="in_plant") == in_plant
    assert part(emission_stage="unknown", registration_type="in_plant") == {"stage_below": "1"}
    [rule] = parse_rules([{"all_of": [{"registration_type": "machinery"}, {"power_kw": {"min": 37}}]}])
    assert part() == {"power_kw": {"min": 37}}
    [rule] = parse_rules([{"all_of": [{"all_of": [{"stage_below": "2"}]}]}])
    assert decisive(rule.condition, attributes(Machine(1, emission_stage="1"))) == StageBelow("2")


def test_the_version_is_of_what_the_rule_says():
    """Another spelling of the same rule is the same version; any difference is another."""

    def version(**keys):
        [rule] = parse_rules([{"any_of": [{"power_kw": {"min": 37}}], **keys}])
        return rule.version

    assert version(valid_from="2026-01-01T00:00:00+08:00") == version(valid_from="2025-12-31T16:00:00Z")
    assert version(weekdays=[2, 1]) == version(weekdays=[1, 2])
    different = [{}, {"valid_from": "2026-01-01T00:00:00Z"}, {"valid_to": "2026-01-01T00:00:00Z"}, {"weekdays": [1]},
                 {"hours": [["22:00", "06:00"]]}, {"name": "夜间"}]  # fmt: skip
    found = [version(**keys) for keys in different]
    assert len(set(found)) == len(found)
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in found)


def test_wording_of_stages():
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


PHRASES = [
    ({"stage_in": ["1", "x"]}, "排放阶段为国一、环X(国一及以前或无法判定)",
     "emission stage is one of: stage 1, ring X (stage 1 or earlier, or undeterminable)"),
    ({"smoke_class_not_met": "3"}, "烟度未达到Ⅲ类限值(GB 36886)", "smoke class III not met (GB 36886)"),
    ({"type_in": ["excavator", "铣刨机"]}, "机械类型为挖掘机、铣刨机", "type is one of: excavator, 铣刨机"),
    ({"type_not_in": ["forklift"]}, "机械类型非叉车", "type is none of: forklift"),
    ({"registration_type": "in_plant"}, "登记类型为场内车辆", "registered as in-plant vehicle"),
    ({"power_kw": {"min": 37, "max": 75}}, "额定功率37千瓦(含)至75千瓦(不含)", "rated power from 37 kW to below 75 kW"),
    ({"power_kw": {"min": 37}}, "额定功率37千瓦及以上", "rated power 37 kW or more"),
    ({"power_kw": {"max": 37.5}}, "额定功率不足37.5千瓦", "rated power below 37.5 kW"),
    ({"energy_in": ["diesel", "hybrid"]}, "能源为柴油、混合动力", "energy is one of: diesel, hybrid"),
    ({"all_of": [{"stage_below": "2"}, {"power_kw": {"min": 560}}]},
     "(未达到国二(国一及以前,不含国二)且额定功率560千瓦及以上)", "(below stage 2 and rated power 560 kW or more)"),
]  # fmt: skip


@pytest.mark.parametrize(("predicate", "zh", "en"), PHRASES)
def test_wording_of_each_predicate(predicate, zh, en):
    """Each in both languages, with the end of a range that is included named."""
    rules = parse_rules([{"any_of": [predicate, {"stage_in": ["4"]}]}])
    assert wording(rules, "zh") == zh + "或排放阶段为国四"
    assert wording(rules, "en") == en + " or emission stage is one of: stage 4"
    assert rules_to_json(rules) == [{"any_of": [predicate, {"stage_in": ["4"]}]}]


def test_wording_of_times():
    """Dates and hours are China's; a time of day is named where it is not midnight, an end that is not included is 前."""
    rule = {
        "any_of": [{"stage_below": "2"}],
        "valid_from": "2023-02-01T00:00:00+08:00",
        "valid_to": "2024-12-31T04:30:00Z",
        "weekdays": [6, 7],
        "hours": [["22:00", "06:00"], ["12:00", "13:30"]],
        "name": "第一阶段",
    }
    assert wording(parse_rules([rule]), "zh") == (
        "第一阶段:自2023-02-01起,2024-12-31 12:30:00前,周六、周日,22:00至次日06:00、12:00至13:30:"
        "未达到国二(国一及以前,不含国二)"
    )
    assert wording(parse_rules([rule]), "en") == (
        "第一阶段: from 2023-02-01, before 2024-12-31 12:30:00, Sat, Sun, 22:00 to 06:00 of the next day, 12:00 to 13:30: "
        "below stage 2"
    )


def test_rules_come_back_as_they_were():
    """JSON to rules to JSON, nested and dated."""
    given = [
        {"any_of": [{"stage_below": "3"}, {"all_of": [{"registration_type": "in_plant"}, {"stage_in": ["3"]}]}]},
        {
            "all_of": [{"energy_in": ["diesel"]}, {"any_of": [{"type_in": ["loader"]}, {"power_kw": {"max": 37}}]}],
            "valid_from": "2026-01-01T00:00:00+08:00",
            "valid_to": "2027-07-01T06:30:00.000001+08:00",
            "weekdays": [1, 7],
            "hours": [["22:00", "06:00"], ["12:00", "24:00"]],
            "name": "二期",
        },
    ]
    assert rules_to_json(parse_rules(given)) == given


def test_rules_and_registry_have_one_vocabulary():
    """What the registry takes in is what a rule can name, in the same words."""
    assert {code: zh for code, (zh, _) in TYPE_WORDS.items()} == machine_values.TYPES
    assert STAGES == machine_values.STAGES
    assert set(ENERGY_WORDS) == set(machine_values.ENERGIES)


def test_everything_a_rule_may_say_is_documented():
    """Every key, predicate and value stands in docs/rules.md."""
    text = (Path(__file__).parents[2] / "docs" / "rules.md").read_text("utf-8")
    for word in (*_GROUPS, *_WHEN, *_KINDS, *STAGES, *TYPE_WORDS, *ENERGY_WORDS, *REGISTRATION_WORDS):
        assert f"`{word}`" in text or f'"{word}"' in text, word
