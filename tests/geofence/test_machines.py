"""Which machine a terminal sits on."""

from geofence.machines import Binding, Machine, Machines


def test_bindings_are_dated():
    """A swapped terminal belongs to the old machine before the swap, to the new one from then on, to none after."""
    old, new = Machine(1), Machine(2)
    machines = Machines([Binding(5, old, None, 100), Binding(5, new, 100, 200), Binding(6, old)])
    assert [machines.find(5, at) for at in (-1, 99, 100, 199, 200)] == [old, old, new, new, None]
    assert machines.find(6, 10**18) is old
    assert machines.find(7, 0) is None
    assert len(machines) == 2


def test_bound_without_dates():
    """A plain mapping holds at any time."""
    machine = Machine(3, "3-30468844", "挖掘机", "machinery", "2", 110.0, "diesel", "371502", "13800000000")
    assert Machines.bound({9: machine}).find(9, 0) is machine
    assert machine.to_json()["emission_stage"] == "2"
