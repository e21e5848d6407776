"""Real notices as rules: what each says of machines that it names."""

import pytest
import shapely

from geofence.exemptions import Exemption
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.rules import parse_rules, wording
from geofence.ruleset import Ruleset
from geofence.zones import Zone
from tests.geofence.rule_oracle import judged, micros

NOT_FARMING = {"type_not_in": ["拖拉机", "联合收割机"]}

DEZHOU_CORE = [{"any_of": [{"stage_below": "3"}, {"smoke_class_not_met": "3"}],
                "valid_from": "2023-02-01T00:00:00+08:00", "valid_to": "2028-02-01T00:00:00+08:00"}]  # fmt: skip
"""德州 2023-02-01, five years, county built-up areas: below 国三, or smoke class III not met."""

DEZHOU_TOWNS = [{"all_of": [NOT_FARMING, {"stage_below": "2"}], "valid_from": "2023-02-01T00:00:00+08:00",
                 "valid_to": "2025-01-01T00:00:00+08:00"},
                {"all_of": [NOT_FARMING, {"stage_below": "3"}], "valid_from": "2025-01-01T00:00:00+08:00",
                 "valid_to": "2028-02-01T00:00:00+08:00"}]  # fmt: skip
"""德州, township seats: below 国二 until 2024-12-31, changed then (to 国三 here); farming and forestry excluded."""

BINZHOU = [{"any_of": [{"stage_in": ["pre", "1", "2", "x"]}, {"smoke_class_not_met": "3"},
                       {"all_of": [{"registration_type": "in_plant"}, {"stage_below": "4"}]}],
            "valid_from": "2026-01-01T00:00:00+08:00", "name": "高排放非道路移动机械"}]  # fmt: skip
"""滨州 2026-01-01: 国一 or 国二, or smoke class III not met, or an in-plant vehicle up to and with 国三."""

JINAN = [{"any_of": [{"stage_in": ["pre", "1", "2", "x"]}], "valid_from": "2022-02-02T00:00:00+08:00",
          "valid_to": "2022-02-21T00:00:00+08:00"},
         {"any_of": [{"energy_in": ["diesel", "gasoline", "gas", "hybrid", "other"]}], "name": "重污染天气应急",
          "valid_from": "2022-02-10T12:00:00+08:00", "valid_to": "2022-02-12T12:00:00+08:00"}]  # fmt: skip
"""济南 2022-02: 国二 and older may not work 02-02 to 02-20; on an order every machine that burns fuel stops."""

RUSHAN_TOWNS = [{"all_of": [{"stage_below": "2"}, NOT_FARMING]}]
"""乳山 2023, towns: below 国二, farming and forestry excluded (farmland itself is cut out of the geometry)."""


def verdict(rules, when, *exemptions, **fields):
    """As the ruleset says, which is as the oracle says."""
    zone = Zone(1, 1, "区", "371502", "core", shapely.box(116, 36, 117, 37), parse_rules(rules))
    machine = Machine(7, **{"machine_type": "excavator", "energy": "diesel", "smoke_class": "3", **fields})
    found = Ruleset(Fence.compile([]), Machines(), exemptions).judge(zone, machine, micros(when))
    assert (found.verdict.value, found.rule, found.exemption) == judged(rules, machine, micros(when), exemptions)
    return found.verdict.value


@pytest.mark.parametrize(
    ("rules", "when", "fields", "expected"),
    [
        (DEZHOU_CORE, "2024-05-01T12:00:00+08:00", {"emission_stage": "2"}, "violation"),
        (DEZHOU_CORE, "2024-05-01T12:00:00+08:00", {"emission_stage": "3"}, "allowed"),
        (DEZHOU_CORE, "2024-05-01T12:00:00+08:00", {"emission_stage": "3", "smoke_class": "2"}, "violation"),
        (DEZHOU_CORE, "2024-05-01T12:00:00+08:00", {"emission_stage": "3", "smoke_class": "unknown"}, "unknown"),
        (DEZHOU_CORE, "2023-01-31T23:59:59+08:00", {"emission_stage": "2"}, "allowed"),
        (DEZHOU_CORE, "2028-01-31T23:59:59+08:00", {"emission_stage": "2"}, "violation"),
        (DEZHOU_CORE, "2028-02-01T00:00:00+08:00", {"emission_stage": "2"}, "allowed"),
        (DEZHOU_TOWNS, "2024-12-31T23:59:59+08:00", {"emission_stage": "2"}, "allowed"),
        (DEZHOU_TOWNS, "2025-01-01T00:00:00+08:00", {"emission_stage": "2"}, "violation"),
        (DEZHOU_TOWNS, "2025-01-01T00:00:00+08:00", {"emission_stage": "1", "machine_type": "拖拉机"}, "allowed"),
        (BINZHOU, "2026-05-01T00:00:00+08:00", {"emission_stage": "2"}, "violation"),
        (BINZHOU, "2026-05-01T00:00:00+08:00", {"emission_stage": "x"}, "violation"),
        (BINZHOU, "2026-05-01T00:00:00+08:00", {"emission_stage": "3"}, "allowed"),
        (BINZHOU, "2026-05-01T00:00:00+08:00", {"emission_stage": "3", "registration_type": "in_plant"}, "violation"),
        (BINZHOU, "2026-05-01T00:00:00+08:00", {"emission_stage": "4", "registration_type": "in_plant"}, "allowed"),
        (BINZHOU, "2026-05-01T00:00:00+08:00", {"emission_stage": "4", "smoke_class": "none"}, "violation"),
        (BINZHOU, "2026-05-01T00:00:00+08:00",
         {"emission_stage": "electric", "energy": "electric", "smoke_class": "unknown"}, "allowed"),
        (JINAN, "2022-02-05T00:00:00+08:00", {"emission_stage": "3"}, "allowed"),
        (JINAN, "2022-02-20T23:59:59+08:00", {"emission_stage": "2"}, "violation"),
        (JINAN, "2022-02-21T00:00:00+08:00", {"emission_stage": "2"}, "allowed"),
        (JINAN, "2022-02-11T00:00:00+08:00", {"emission_stage": "4"}, "violation"),
        (JINAN, "2022-02-11T00:00:00+08:00", {"emission_stage": "electric", "energy": None}, "allowed"),
        (JINAN, "2022-02-11T00:00:00+08:00", {"emission_stage": "4", "energy": None}, "unknown"),
        (RUSHAN_TOWNS, "2026-05-01T00:00:00+08:00", {"emission_stage": "1"}, "violation"),
        (RUSHAN_TOWNS, "2026-05-01T00:00:00+08:00", {"emission_stage": "1", "machine_type": "联合收割机"}, "allowed"),
        (RUSHAN_TOWNS, "2026-05-01T00:00:00+08:00", {"emission_stage": "unknown"}, "unknown"),
    ],
)  # fmt: skip
def test_notices(rules, when, fields, expected):
    """Each with the machines that it bans, those that it leaves, and both sides of its dates."""
    assert verdict(rules, when, **fields) == expected


def test_emergencies_are_exempt():
    """济南 2022: 民生保障 and 应急抢险 may go on; the verdict is exempt, not allowed."""
    rescue = Exemption(1, "purpose", "应急抢险", None, micros("2022-02-10T00:00:00+08:00"),
                       micros("2022-02-13T00:00:00+08:00"), "张三", "重污染天气应急", "济政办字〔2022〕1号")  # fmt: skip
    fields = {"emission_stage": "4", "purpose": "应急抢险"}
    assert verdict(JINAN, "2022-02-11T00:00:00+08:00", rescue, **fields) == "exempt"
    assert verdict(JINAN, "2022-02-11T00:00:00+08:00", rescue, emission_stage="4") == "violation"
    assert verdict(JINAN, "2022-02-05T00:00:00+08:00", rescue, emission_stage="2", purpose="应急抢险") == "violation"


def test_a_notice_in_words():
    """滨州, as the console shows it; 以下 is nowhere bare."""
    assert wording(parse_rules(BINZHOU), "zh") == (
        "高排放非道路移动机械:自2026-01-01起:排放阶段为国一以前(无阶段)、国一、国二、环X(国一及以前或无法判定)"
        "或烟度未达到Ⅲ类限值(GB 36886)或(登记类型为场内车辆且未达到国四(国三及以前,不含国四))"
    )
    everything = [DEZHOU_CORE, DEZHOU_TOWNS, BINZHOU, JINAN, RUSHAN_TOWNS]
    assert all("以下" not in wording(parse_rules(each), "zh") for each in everything)
