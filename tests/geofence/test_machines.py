"""What the registry says of a machine at a time, and which machine a terminal sits on then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofence.fence import FOREVER
from geofence.machines import Binding, Machine, Machines


def test_bindings_are_dated():
    """A swapped terminal belongs to the old machine before the swap, to the new one from then on, to none after."""
    old, new = Machine(1), Machine(2)
    machines = Machines([Binding(5, 2, 100, 200), Binding(5, 1, None, 100), Binding(6, 1)], [old, new])
    assert [machines.find(5, at) for at in (-1, 99, 100, 199, 200)] == [old, old, new, new, None]
    assert machines.find(6, 10**18) is old
    assert machines.find(7, 0) is None
    assert len(machines) == 2
    assert [machines.unchanged_until(5, at) for at in (-1, 99, 100, 199, 200)] == [100, 100, 200, 200, FOREVER]


def test_a_new_engine_counts_from_its_date():
    """Not before: a late fix meets the stage of its own time."""
    first, second = Machine(1, emission_stage="2"), Machine(1, emission_stage="4", since=1000)
    machines = Machines([Binding(5, 1)], [second, first])
    assert [machines.find(5, at).emission_stage for at in (0, 999, 1000)] == ["2", "2", "4"]
    assert [machines.unchanged_until(5, at) for at in (0, 999, 1000)] == [1000, 1000, FOREVER]


def test_before_the_registry_knew_it():
    """A machine whose first version is dated is nobody's before that, and its edge says when."""
    machines = Machines([Binding(5, 1), Binding(6, 2)], [Machine(1, since=1000)])
    assert machines.find(5, 999) is None
    assert machines.unchanged_until(5, 0) == 1000
    assert machines.find(6, 0) is None
    assert machines.unchanged_until(6, 0) == FOREVER


def test_bound_without_dates():
    """A plain mapping holds at any time; two terminals may sit on one machine."""
    machine = Machine(3, "3-30468844", "挖掘机", "machinery", "2", 110.0, "diesel", "3", district="371502")
    machines = Machines.bound({9: machine, 10: machine})
    assert machines.find(9, 0) is machine
    assert machines.find(10, -5) is machine
    assert machine.to_json()["emission_stage"] == "2"
    assert machine.to_json()["smoke_class"] == "3"


def test_the_phone_is_the_terminals():
    """Of the newest binding, whatever the time; a terminal that nobody bound has none here."""
    machines = Machines([Binding(5, 1, 100, phone="139"), Binding(5, 1, None, 100, "138"), Binding(6, 1)])
    assert [machines.phone(device) for device in (5, 6, 7)] == ["139", None, None]


def test_a_change_makes_another():
    """The lists replace all of a device or a machine, an empty one removes it; the one before stays as it was."""
    before = Machines([Binding(5, 1), Binding(6, 1)], [Machine(1, emission_stage="2"), Machine(2)])
    after = before.changed(
        {5: [Binding(5, 2)], 6: []}, {2: [Machine(2, emission_stage="3"), Machine(2, emission_stage="4", since=10)]}
    )
    assert [after.find(5, at).emission_stage for at in (9, 10)] == ["3", "4"]
    assert after.find(6, 0) is None
    assert len(after) == 1
    assert before.find(5, 0).emission_stage == "2"
    assert before.find(6, 0).emission_stage == "2"
    assert before.changed({}, {}).find(5, 0) is before.find(5, 0)


def test_classes_are_what_rules_can_tell_apart():
    """Machines that differ in nothing a rule asks about are one class; a change adds those that are new."""
    before = Machines([], [Machine(1, owner="甲"), Machine(2, owner="乙"), Machine(3, emission_stage="2")])
    assert len(before.classes.rows) == 2
    assert before.changed({}, {2: [Machine(2, district="371502")]}).classes is before.classes
    after = before.changed({}, {2: [Machine(2, power_kw=37.0)]})
    assert len(after.classes.rows) == 3
    assert len(before.classes.rows) == 2


edges = st.lists(st.integers(0, 60), max_size=6, unique=True).map(sorted)


@given(st.lists(edges, min_size=1, max_size=3), edges, st.booleans(), st.integers(-5, 65))
def test_nothing_changes_before_it_is_said_to(versions, swaps, known_from_ever, at):
    """find() answers the same at every time before unchanged_until(), which is later than the time asked for."""
    found = [
        Machine(machine, since=since)
        for machine, dates in enumerate(versions)
        for since in ([None, *dates] if known_from_ever else dates)
    ]
    ends = [None, *swaps]
    bindings = [
        Binding(5, i % (len(versions) + 1), since, until)  # one machine that the registry does not know
        for i, (since, until) in enumerate(zip(ends, [*swaps, None], strict=True))
        if i % 3 != 2
    ]
    machines = Machines(bindings, found)
    until = machines.unchanged_until(5, at)
    assert until > at
    for later in range(at, min(until, 70)):
        assert machines.find(5, later) is machines.find(5, at)


@pytest.mark.parametrize("at", [0, 5, 10])
def test_changed_is_the_same_as_made_anew(at):
    """Whichever way a state of the registry is reached."""
    bindings = [Binding(5, 1, None, 5), Binding(5, 2, 5), Binding(6, 2)]
    versions = [Machine(1), Machine(2), Machine(2, emission_stage="4", since=7)]
    anew = Machines(bindings, versions)
    step = Machines(bindings[2:], versions[:1]).changed({5: bindings[1::-1]}, {2: versions[:0:-1]})
    assert [step.find(device, at) for device in (5, 6)] == [anew.find(device, at) for device in (5, 6)]
