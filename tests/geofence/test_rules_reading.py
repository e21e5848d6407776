"""Rules from JSON: what is refused, and what the refusal says."""

import pytest

from geofence.errors import ZoneError
from geofence.rules import parse_rules
from geofence.rules.reading import DEEPEST, MOST_MEMBERS, MOST_RULES

BELOW_3 = {"stage_below": "3"}


def nested(depth):
    return BELOW_3 if not depth else {"any_of": [nested(depth - 1)]}


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (None, "rules"),
        ({}, "rules"),
        ("stage_below 3", "rules"),
        ([{"any_of": [BELOW_3]}] * (MOST_RULES + 1), "rules"),
        ([3], "rules[0]"),
        ([{}], "rules[0]"),
        ([BELOW_3], "rules[0]"),
        ([{"any_of": [BELOW_3], "all_of": [BELOW_3]}], "rules[0]"),
        ([{"any_of": [BELOW_3], "until": 1}], "rules[0]"),
        ([{"all_of": []}], "rules[0].all_of"),
        ([{"any_of": []}], "rules[0].any_of"),
        ([{"any_of": BELOW_3}], "rules[0].any_of"),
        ([{"any_of": [BELOW_3] * (MOST_MEMBERS + 1)}], "rules[0].any_of"),
        ([nested(DEEPEST + 1)], "rules[0]" + ".any_of[0]" * DEEPEST + ".any_of"),
        ([{"any_of": [{"stage_below": "3", "stage_in": ["1"]}]}], "rules[0].any_of[0]"),
        ([{"any_of": [{"any_of": [BELOW_3], "weekdays": [1]}]}], "rules[0].any_of[0]"),
        ([{"any_of": [{"smoke": "3"}]}], "rules[0].any_of[0]"),
        ([{"any_of": [{"stage_below": 3}]}], "rules[0].any_of[0].stage_below"),
        ([{"any_of": [{"stage_below": "5"}]}], "rules[0].any_of[0].stage_below"),
        ([{"any_of": [{"stage_below": "pre"}]}], "rules[0].any_of[0].stage_below"),
        ([{"any_of": [{"stage_below": ["3"]}]}], "rules[0].any_of[0].stage_below"),
        ([{"any_of": [{"stage_in": "1"}]}], "rules[0].any_of[0].stage_in"),
        ([{"any_of": [{"stage_in": []}]}], "rules[0].any_of[0].stage_in"),
        ([{"any_of": [{"stage_in": ["1", "1"]}]}], "rules[0].any_of[0].stage_in"),
        ([{"any_of": [{"stage_in": ["1", "国二"]}]}], "rules[0].any_of[0].stage_in[1]"),
        ([{"any_of": [{"smoke_class_not_met": "none"}]}], "rules[0].any_of[0].smoke_class_not_met"),
        ([{"any_of": [{"type_in": ["excavater"]}]}], "rules[0].any_of[0].type_in[0]"),
        ([{"any_of": [{"type_in": ["excavator", "挖掘机"]}]}], "rules[0].any_of[0].type_in"),
        ([{"any_of": [{"type_not_in": [" "]}]}], "rules[0].any_of[0].type_not_in[0]"),
        ([{"any_of": [{"registration_type": "场内"}]}], "rules[0].any_of[0].registration_type"),
        ([{"any_of": [{"energy_in": ["steam"]}]}], "rules[0].any_of[0].energy_in[0]"),
        ([{"any_of": [{"power_kw": 37}]}], "rules[0].any_of[0].power_kw"),
        ([{"any_of": [{"power_kw": {}}]}], "rules[0].any_of[0].power_kw"),
        ([{"any_of": [{"power_kw": {"from": 37}}]}], "rules[0].any_of[0].power_kw"),
        ([{"any_of": [{"power_kw": {"min": "37"}}]}], "rules[0].any_of[0].power_kw.min"),
        ([{"any_of": [{"power_kw": {"min": True}}]}], "rules[0].any_of[0].power_kw.min"),
        ([{"any_of": [{"power_kw": {"max": float("nan")}}]}], "rules[0].any_of[0].power_kw.max"),
        ([{"any_of": [{"power_kw": {"max": 10**400}}]}], "rules[0].any_of[0].power_kw.max"),
        ([{"any_of": [{"power_kw": {"min": -1}}]}], "rules[0].any_of[0].power_kw.min"),
        ([{"any_of": [{"power_kw": {"max": 0}}]}], "rules[0].any_of[0].power_kw.max"),
        ([{"any_of": [{"power_kw": {"min": 75, "max": 75}}]}], "rules[0].any_of[0].power_kw.max"),
        ([{"any_of": [BELOW_3], "valid_from": "2026-01-01"}], "rules[0].valid_from"),
        ([{"any_of": [BELOW_3], "valid_from": 1}], "rules[0].valid_from"),
        ([{"any_of": [BELOW_3], "valid_from": "0001-01-01T00:00:00+08:00"}], "rules[0].valid_from"),
        ([{"any_of": [BELOW_3], "valid_to": "9999-12-31T23:59:59Z"}], "rules[0].valid_to"),
        ([{"any_of": [BELOW_3], "valid_to": "2026-01-01T00:00:00"}], "rules[0].valid_to"),
        (
            [{"any_of": [BELOW_3], "valid_from": "2026-01-01T00:00:00Z", "valid_to": "2026-01-01T08:00:00+08:00"}],
            "rules[0].valid_to",
        ),
        ([{"any_of": [BELOW_3], "weekdays": []}], "rules[0].weekdays"),
        ([{"any_of": [BELOW_3], "weekdays": [0]}], "rules[0].weekdays"),
        ([{"any_of": [BELOW_3], "weekdays": [1, 1]}], "rules[0].weekdays"),
        ([{"any_of": [BELOW_3], "weekdays": [True]}], "rules[0].weekdays"),
        ([{"any_of": [BELOW_3], "weekdays": ["周一"]}], "rules[0].weekdays"),
        ([{"any_of": [BELOW_3], "weekdays": 1}], "rules[0].weekdays"),
        ([{"any_of": [BELOW_3], "hours": []}], "rules[0].hours"),
        ([{"any_of": [BELOW_3], "hours": ["22:00", "06:00"]}], "rules[0].hours[0]"),
        ([{"any_of": [BELOW_3], "hours": [["22:00"]]}], "rules[0].hours[0]"),
        ([{"any_of": [BELOW_3], "hours": [["22:00", "22:00"]]}], "rules[0].hours[0]"),
        ([{"any_of": [BELOW_3], "hours": [["24:00", "06:00"]]}], "rules[0].hours[0]"),
        ([{"any_of": [BELOW_3], "hours": [["00:00", "24:00"], ["0:00", "06:00"]]}], "rules[0].hours[1]"),
        ([{"any_of": [BELOW_3], "hours": [["22:60", "23:00"]]}], "rules[0].hours[0]"),
        ([{"any_of": [BELOW_3], "hours": [["٢٢:٠٠", "23:00"]]}], "rules[0].hours[0]"),
        ([{"any_of": [BELOW_3], "name": ""}], "rules[0].name"),
        ([{"any_of": [BELOW_3], "name": 1}], "rules[0].name"),
    ],
)
def test_bad_rules_are_refused(given, where):
    """With the path to what is wrong: a rule that reads differently than meant is a wrong verdict."""
    with pytest.raises(ZoneError) as caught:
        parse_rules(given, "rules")
    assert (caught.value.code, caught.value.where) == ("rules", where)
    assert caught.value.message_en.startswith("expected ")
    assert caught.value.message_zh.startswith("此处应为")


@pytest.mark.parametrize(
    ("given", "possible"),
    [
        ([{"any_of": [{"smoke": "3"}]}], ["smoke_class_not_met", "type_not_in", "power_kw", "all_of"]),
        ([{"any_of": [{"stage_in": ["5"]}]}], ['"pre"', '"4"', '"x"', '"electric"', '"unknown"']),
        ([{"any_of": [{"type_in": ["digger"]}]}], ["excavator", "shuttle_bus"]),
        ([{"any_of": [{"energy_in": [1]}]}], ['"diesel"', '"gasoline"', '"other"']),
        ([{"any_of": [BELOW_3], "day": 1}], ["any_of", "valid_from", "weekdays", "hours", "name"]),
    ],
)
def test_a_refusal_names_what_is_possible(given, possible):
    """In both languages."""
    with pytest.raises(ZoneError) as caught:
        parse_rules(given)
    assert [word for word in possible if word not in caught.value.message_en] == []
    assert [word for word in possible if word not in caught.value.message_zh] == []


def test_the_deepest_nesting_reads():
    """As deep as is allowed, and no rules at all."""
    assert parse_rules([nested(DEEPEST)])
    assert parse_rules([]) == ()


def test_keys_without_a_value_are_not_there():
    """A form that sends null means none."""
    given = {"any_of": [BELOW_3], "valid_from": None, "valid_to": None, "weekdays": None, "hours": None, "name": None}
    assert parse_rules([given]) == parse_rules([{"any_of": [BELOW_3]}])
