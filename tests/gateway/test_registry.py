"""The edge's registry: codes, generations, snapshots."""

from __future__ import annotations

import pytest

from gateway.edge.registry import NO_SUCH_TERMINAL, OK, Registry

KEY = b"k" * 32


@pytest.fixture
def registry(tmp_path):
    one = Registry(tmp_path / "registry.json", KEY, enrol=False)
    one.replace(3, [["13812345678", 1, "registered"], ["13900000000", 1, "revoked"]])
    return one


def test_a_known_terminal_gets_a_code_that_verifies(registry):
    """The code is text of 16 characters, not the phone, and belongs to this terminal alone."""
    result, code = registry.register("13812345678", {})
    assert (result, len(code)) == (OK, 16)
    assert registry.verify("13812345678", code)
    assert not registry.verify("13812345678", code[:-1] + ("A" if code[-1] != "A" else "B"))
    assert not registry.verify("13812345678", "")
    assert not registry.verify("13812345679", code)
    assert registry.verify("13812345678", "密码") is False


def test_strangers_and_revoked_terminals_are_refused(registry):
    """Strict enrolment: only the registry's terminals, and no revoked one."""
    assert registry.register("1", {}) == (NO_SUCH_TERMINAL, "")
    assert registry.register("13900000000", {})[0] == NO_SUCH_TERMINAL


def test_a_new_generation_revokes_the_old_code(registry):
    """After the generation moves, the old code is worth nothing."""
    _, code = registry.register("13812345678", {})
    registry.replace(4, [["13812345678", 2, "registered"]])
    assert not registry.verify("13812345678", code)


def test_the_copy_on_disk_is_enough(registry):
    """An edge that starts without the database authenticates from its file."""
    _, code = registry.register("13812345678", {})
    again = Registry(registry.path, KEY, enrol=False)
    assert again.version == 3
    assert again.verify("13812345678", code)


def test_open_enrolment_survives_a_restart(tmp_path):
    """A code that an open gateway gave is good at its next start too, but not after a revocation."""
    first = Registry(tmp_path / "r.json", KEY, enrol=True)
    _, code = first.register("777", {})
    again = Registry(tmp_path / "r.json", KEY, enrol=True)
    assert again.verify("777", code)
    again.replace(9, [["777", 1, "revoked"]])
    assert not again.verify("777", code)
    assert again.register("777", {})[0] == NO_SUCH_TERMINAL


def test_a_new_snapshot_says_whose_code_is_no_longer_good(tmp_path):
    """Removed, revoked or of another generation: named. Unchanged, new, or only enrolled here: not."""
    registry = Registry(tmp_path / "r.json", KEY, enrol=True)
    registry.replace(1, [[name, 1, "registered"] for name in ("kept", "removed", "revoked", "moved")])
    registry.register("enrolled", {})
    registry.register("enrolled and revoked", {})
    again = [["kept", 1, "registered"], ["revoked", 1, "revoked"], ["moved", 2, "registered"],
             ["new", 1, "registered"], ["enrolled and revoked", 1, "revoked"]]  # fmt: skip
    assert registry.replace(2, again) == {"removed", "revoked", "moved", "enrolled and revoked"}
    assert registry.replace(3, [*again, ["enrolled", 1, "registered"]]) == set()
