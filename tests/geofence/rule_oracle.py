"""The verdict once more, the slow way: from the rules' JSON, by recursion, with a calendar, one machine at one time.

No columns, no schedules, no edges: a window is looked for on today's date and on yesterday's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

CHINA = timezone(timedelta(hours=8))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCALE = ["pre", "1", "2", "3", "4"]
THIRTEEN = {
    "挖掘机": "excavator", "起重机": "crane", "推土机": "bulldozer", "装载机": "loader", "压路机": "roller", "摊铺机": "paver",
    "平地机": "grader", "叉车": "forklift", "桩工机械": "pile_driver", "堆高机": "stacker", "牵引车": "tow_tractor",
    "摆渡车": "shuttle_bus", "场内车辆": "in_plant",
}  # fmt: skip


def moment(at):
    """The time on a wall in China, of us UTC."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(CHINA)


def micros(text):
    """us UTC of an ISO time."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def judged(rules, machine, at, exemptions=(), zone=1):
    """(verdict, index of the rule or None, id of the exemption or None)."""
    answers = [holds(rule, machine) if counts(rule, at) else "no" for rule in rules]
    for answer, verdict in (("yes", "violation"), ("unknown", "unknown")):
        if answer in answers:
            granted = [each.id for each in exemptions if exempts(each, machine, zone, at)]
            if granted:
                return "exempt", answers.index(answer), min(granted)
            return verdict, answers.index(answer), None
    return "allowed", None, None


def exempts(exemption, machine, zone, at):
    named = {
        "machine": machine.id, "owner": machine.owner, "project": machine.project, "purpose": machine.purpose
    }  # fmt: skip
    return (
        named[exemption.kind] == exemption.value
        and exemption.zone in {None, zone}
        and exemption.since <= at
        and (exemption.until is None or at < exemption.until)
    )


def counts(rule, at):
    if "valid_from" in rule and at < micros(rule["valid_from"]):
        return False
    if "valid_to" in rule and at >= micros(rule["valid_to"]):
        return False
    now = moment(at)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for day in (midnight, midnight - timedelta(days=1)):
        if day.isoweekday() not in rule.get("weekdays", range(1, 8)):
            continue
        for begin, end in rule.get("hours", [["00:00", "24:00"]]):
            opens, closes = (day + timedelta(hours=int(t[:2]), minutes=int(t[3:])) for t in (begin, end))
            if closes <= opens:
                closes += timedelta(days=1)
            if opens <= now < closes:
                return True
    return False


def holds(condition, machine):
    if "all_of" in condition:
        answers = [holds(each, machine) for each in condition["all_of"]]
        return "no" if "no" in answers else "unknown" if "unknown" in answers else "yes"
    if "any_of" in condition:
        answers = [holds(each, machine) for each in condition["any_of"]]
        return "yes" if "yes" in answers else "unknown" if "unknown" in answers else "no"
    [(kind, argument)] = condition.items()
    stage, energy = machine.emission_stage, machine.energy
    if stage == "unknown" and energy == "electric":
        stage = "electric"
    if stage == "electric" and energy is None:
        energy = "electric"
    if kind == "stage_below":
        if stage == "unknown":
            return "unknown"
        return yes_or_no(stage in {*SCALE[: SCALE.index(argument)], "x"})
    if kind == "stage_in":
        if stage in argument:
            return "yes"
        if stage == "unknown":
            return "unknown"
        either = {"pre", "1"} & set(argument)
        if stage == "x" and either:
            return "yes" if len(either) == 2 else "unknown"
        return "no"
    if kind == "smoke_class_not_met":
        if stage == "electric":
            return "no"
        if machine.smoke_class == "unknown":
            return "unknown"
        return yes_or_no(["none", "1", "2", "3"].index(machine.smoke_class) < int(argument))
    if kind == "power_kw":
        if machine.power_kw is None:
            return "unknown"
        return yes_or_no(argument.get("min", 0) <= machine.power_kw < argument.get("max", 1e9))
    if kind == "registration_type":
        return yes_or_no(machine.registration_type == argument)
    if kind == "energy_in":
        return "unknown" if energy is None else yes_or_no(energy in argument)
    if not machine.machine_type:
        return "unknown"
    listed = [THIRTEEN.get(word, word) for word in argument]
    named = THIRTEEN.get(machine.machine_type, machine.machine_type) in listed
    return yes_or_no(named if kind == "type_in" else not named)


def yes_or_no(held):
    return "yes" if held else "no"
