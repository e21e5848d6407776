"""The demonstration's districts, zones and machines: complete, valid, made up, and lively enough."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from shapely import Point, STRtree

from gateway.demo import zones
from gateway.demo.districts import FILE, branches, distance_km, districts, townships
from gateway.demo.fleet import fleet
from gateway.demo.scenes import ENTRY_EVERY_S, PERIOD_S
from gateway.simulator.machines import KINDS
from gateway.simulator.motion import Mode
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.rules import STAGES, Verdict
from geofence.ruleset import Ruleset
from geofence.zones import parse_feature

COUNTIES = {"371502", "371503", "371521", "371522", "371524", "371525", "371526", "371581"}
NOW = 1_770_000_000.0


@pytest.fixture(scope="module")
def drafts():
    return {draft.district: draft for draft in map(parse_feature, zones.collection()["features"])}


def test_eight_counties_three_development_zones_136_townships() -> None:
    """The city's whole tree: development zones have codes of ours and no GB code."""
    assert {row.gb_code for row in branches() if row.gb_code} == COUNTIES
    assert sum(row.gb_code is None for row in branches()) == 3
    assert len(townships()) == 136
    per_county = Counter(row.parent for row in townships())
    assert per_county == {
        "371502": 24, "371503": 14, "371521": 18, "371522": 24, "371524": 10, "371525": 18, "371526": 12, "371581": 16,
    }  # fmt: skip
    codes = [row.code for row in districts()]
    assert len(set(codes)) == len(codes) == 1 + 11 + 136
    assert all(row.parent in codes for row in districts() if row.level != "city")


def test_parents_come_first() -> None:
    """Inserted in this order, no reference dangles."""
    seen: set[str | None] = {None}
    for row in districts():
        assert row.parent in seen
        seen.add(row.code)


def test_the_file_names_its_source_and_says_made_up() -> None:
    """Names and codes are facts with a source; no position is."""
    about = json.loads(FILE.read_text(encoding="utf-8"))["about"]
    assert "china-division 2.7.0" in about["names"]
    assert "2023-06-30" in about["names"]
    assert "MADE UP" in about["positions"]
    assert "虚构" in about["位置说明"]
    assert "MADE UP" in (zones.__doc__ or "")


def test_every_zone_reads(drafts) -> None:
    """`zones import` would take each of them; each belongs to another district and says that it is a demonstration."""
    assert len(drafts) == 147
    assert set(drafts) == {row.code for row in (*branches(), *townships())}
    assert all("演示" in draft.name for draft in drafts.values())
    assert len({draft.doc_no for draft in drafts.values()}) == 147
    assert all("演示" in (draft.doc_no or "") for draft in drafts.values())


def test_tiers_rules_and_sizes(drafts) -> None:
    """Core zones of a few kilometres that ban below 国三, some with holes; general ones of 0.5-1.5 km, below 国二."""
    wide = {code: draft.geometry.area * 111.195**2 * 0.804 for code, draft in drafts.items()}
    for row in branches():
        draft = drafts[row.code]
        assert draft.tier == "core"
        assert draft.rules_json() == [{"any_of": [{"stage_below": "3"}]}]
        assert 3 < wide[row.code] < 25
    holes = [len(drafts[row.code].geometry.interiors) for row in branches()]
    assert 2 <= sum(holes) < len(holes)
    for row in townships():
        assert drafts[row.code].tier == "general"
        assert 0.2 < wide[row.code] < 1.8
    below = Counter(drafts[row.code].rules_json()[0]["any_of"][0]["stage_below"] for row in townships())
    assert below["2"] > 5 * below["3"] > 0


def test_towns_stand_apart() -> None:
    """Towns (not streets) keep clear of seats and of each other, so that the map can be read."""
    towns = [row for row in townships() if not row.name.endswith("街道")]
    for i, row in enumerate(towns):
        assert min(distance_km(row.seat, other.seat) for other in towns[:i] + towns[i + 1 :]) > 1.5
        assert min(distance_km(row.seat, branch.seat) for branch in branches()) > 4


def test_three_hundred_machines_of_every_kind_and_stage() -> None:
    machines = fleet()
    assert len(machines) == 300
    assert {machine.kind.code for machine in machines} == set(KINDS)
    assert len(KINDS) == 13
    assert {machine.emission_stage for machine in machines} == set(STAGES)
    assert {machine.edition for machine in machines} == {"2011", "2013", "2019"}
    for field in ("registration_number", "terminal_phone"):
        assert len({getattr(machine, field) for machine in machines}) == 300
    assert all(machine.terminal_phone.startswith("1390000") for machine in machines)
    assert all(
        machine.registration_number.startswith("环X-") == (machine.emission_stage == "x") for machine in machines
    )


class Track:
    """Where one machine stands to the zones over a while: the verdicts of the zones it is in."""

    def __init__(self, drafts) -> None:
        self.zones = [draft.publish(number, 1) for number, draft in enumerate(drafts.values())]
        self.ruleset = Ruleset(Fence.compile([]), Machines())
        self.tree = STRtree([draft.geometry for draft in drafts.values()])

    def violates(self, machine, time) -> bool:
        fix = machine.itinerary.at(time)
        inside = self.tree.query(Point(fix.lon, fix.lat), "intersects")
        registered = Machine(0, emission_stage=machine.emission_stage)
        judgements = (self.ruleset.judge(self.zones[i], registered, int(time * 1e6)) for i in inside)
        return any(judgement.verdict is Verdict.VIOLATION for judgement in judgements)


@pytest.mark.parametrize("start", [NOW, NOW + 777.0])
def test_violations_begin_as_the_timetable_says(drafts, start) -> None:
    """Whenever it is started: some machines stand in a zone already, and within any 90 s another enters one."""
    track = Track(drafts)
    suspects = [m for m in fleet() if m.role.name.startswith(("crossing", "parked_inside"))]
    inside = {m.terminal_phone: track.violates(m, start) for m in suspects}
    assert sum(inside.values()) >= 6
    entries = []
    for step in range(4, 360, 4):
        for machine in suspects:
            now = track.violates(machine, start + step)
            if now and not inside[machine.terminal_phone]:
                entries.append(step)
            inside[machine.terminal_phone] = now
    gaps = [b - a for a, b in zip([0, *entries], [*entries, 360], strict=True)]
    assert max(gaps) <= 90
    assert ENTRY_EVERY_S / 2 < 360 / len(entries) < ENTRY_EVERY_S * 2


def test_allowed_machines_are_inside_too(drafts) -> None:
    """Not everything in a zone is an alarm: a 国三 machine at work in a core zone is allowed."""
    track = Track(drafts)
    for machine in fleet():
        if machine.role.name in {"working_inside", "parked_allowed", "in_hole", "working_town"}:
            assert not track.violates(machine, NOW)


def test_every_grade_happens() -> None:
    """Within a period there are machines at work, standing, on the road and on trailers."""
    modes = {machine.itinerary.at(NOW + PERIOD_S * k / 8).mode for machine in fleet() for k in range(8)}
    assert modes == set(Mode)
