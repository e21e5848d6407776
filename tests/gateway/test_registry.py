"""The edge's registry: codes, generations, snapshots."""

from __future__ import annotations

import pytest

from gateway.edge.registry import NO_SUCH_TERMINAL, NO_SUCH_VEHICLE, OK, VEHICLE_REGISTERED, Registry
from protocols.contract import Trust

KEY = b"k" * 32


@pytest.fixture
def registry(tmp_path):
    one = Registry(tmp_path / "registry.json", KEY, enrol=False)
    one.replace(3, [entry("13812345678"), entry("13900000000", state="revoked", number="3-B")])
    return one


def entry(identity, generation=1, state="registered", number="3-A", trust="strict", until=None):
    """One terminal of a snapshot, as the feed tells it; with a machine."""
    return [identity, generation, state, number, trust, until]


def test_a_known_terminal_gets_a_code_that_verifies(registry):
    """The code is text of 16 characters, not the phone, and belongs to this terminal alone."""
    result, code = registry.register("13812345678", {})
    assert (result, len(code)) == (OK, 16)
    assert registry.verify("13812345678", code) is Trust.PROVEN
    assert registry.verify("13812345678", code[:-1] + ("A" if code[-1] != "A" else "B")) is Trust.NONE
    assert registry.verify("13812345678", "") is Trust.NONE
    assert registry.verify("13812345679", code) is Trust.NONE
    assert registry.verify("13812345678", "密码") is Trust.NONE


def test_strangers_and_revoked_terminals_are_refused(registry):
    """Strict enrolment: only the registry's terminals, and no revoked one."""
    assert registry.register("1", {}) == (NO_SUCH_TERMINAL, "")
    assert registry.register("13900000000", {})[0] == NO_SUCH_TERMINAL


def test_a_new_generation_revokes_the_old_code(registry):
    """After the generation moves, the old code is worth nothing."""
    _, code = registry.register("13812345678", {})
    registry.replace(4, [entry("13812345678", 2)])
    assert registry.verify("13812345678", code) is Trust.NONE
    assert registry.verify("13812345678", registry.register("13812345678", {})[1]) is Trust.PROVEN


def test_a_terminal_without_a_machine(registry):
    """Strict enrolment, as the plate says: free is good, taken is 1, no such machine is 2; a code it has stays good."""
    registry.replace(4, [entry("777", number=None), entry("888")], ["3-FREE"])
    assert registry.register("777", {"plate": "3-A"}) == (VEHICLE_REGISTERED, "")
    assert registry.register("777", {"plate": "3-NONE"}) == registry.register("777", {}) == (NO_SUCH_VEHICLE, "")
    result, code = registry.register("777", {"plate": "3-free"})
    assert result == OK
    registry.replace(5, [entry("777", number=None)])
    assert registry.register("777", {"plate": "3-free"})[0] == NO_SUCH_VEHICLE
    assert registry.verify("777", code) is Trust.PROVEN


def test_open_enrolment_asks_for_no_machine(tmp_path):
    """There a terminal without one is admitted as any other."""
    registry = Registry(tmp_path / "r.json", KEY, enrol=True)
    registry.replace(1, [entry("777", number=None)])
    assert registry.register("777", {})[0] == OK


def test_legacy_trust_takes_any_code_but_not_from_the_revoked(registry):
    """Its own code is still proof; who is revoked, or unknown, is worth nothing with any."""
    registry.replace(4, [entry("777", trust="legacy"), entry("888", state="revoked", trust="legacy")])
    assert registry.verify("777", "whatever") is registry.verify("777", "") is Trust.LEGACY
    assert registry.verify("777", registry.code("777", 1)) is Trust.PROVEN
    assert registry.verify("888", "whatever") is Trust.NONE
    assert registry.verify("888", registry.code("888", 1)) is Trust.NONE
    assert registry.verify("999", "whatever") is Trust.NONE


def test_quarantines_travel_with_the_snapshot(registry):
    """And survive on disk."""
    registry.replace(4, [entry("777", until=123), entry("888")], ["3-FREE"])
    assert registry.quarantined == {"777": 123}
    again = Registry(registry.path, KEY, enrol=False)
    assert again.quarantined == {"777": 123}
    assert again.register("777", {"plate": "3-FREE"})[0] == OK
    registry.replace(5, [entry("777")])
    assert registry.quarantined == {}


def test_the_copy_on_disk_is_enough(registry):
    """An edge that starts without the database authenticates from its file."""
    _, code = registry.register("13812345678", {})
    again = Registry(registry.path, KEY, enrol=False)
    assert again.version == 3
    assert again.verify("13812345678", code) is Trust.PROVEN


def test_open_enrolment_survives_a_restart(tmp_path):
    """A code that an open gateway gave is good at its next start too, but not after a revocation."""
    first = Registry(tmp_path / "r.json", KEY, enrol=True)
    _, code = first.register("777", {})
    again = Registry(tmp_path / "r.json", KEY, enrol=True)
    assert again.verify("777", code) is Trust.PROVEN
    again.replace(9, [entry("777", state="revoked")])
    assert again.verify("777", code) is Trust.NONE
    assert again.register("777", {})[0] == NO_SUCH_TERMINAL


def test_a_new_snapshot_says_whose_code_is_no_longer_good(tmp_path):
    """Removed, revoked or of another generation: named. Unchanged, new, or only enrolled here: not."""
    registry = Registry(tmp_path / "r.json", KEY, enrol=True)
    registry.replace(1, [entry(name) for name in ("kept", "removed", "revoked", "moved")])
    registry.register("enrolled", {})
    registry.register("enrolled and revoked", {})
    again = [entry("kept", until=5), entry("revoked", state="revoked"), entry("moved", 2), entry("new"),
             entry("enrolled and revoked", state="revoked")]  # fmt: skip
    assert registry.replace(2, again) == {"removed", "revoked", "moved", "enrolled and revoked"}
    assert registry.replace(3, [*again, entry("enrolled")]) == set()
