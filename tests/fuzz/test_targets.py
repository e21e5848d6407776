"""A short run of every fuzz target; `make fuzz` is the long one."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import pytest

from tests.fuzz import TARGETS
from tests.fuzz.runner import start

RUNS = {"frames": 600, "bodies": 600, "conversation": 300, "reassembly": 600, "batch": 1500}


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target):
    """Every input that a run begins with passes, fuzzer or not."""
    module = importlib.import_module(f"tests.fuzz.{target}")
    for data in module.seeds():
        module.check(data)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this platform and Python")
@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run(target, tmp_path):
    """A fixed number of inputs from a fixed seed find nothing; what they find is printed as hex."""
    run = start(target, 1, tmp_path / "corpus", tmp_path, f"-runs={RUNS[target]}")
    failure = run.finish()
    assert failure is None, failure
    assert run.executions >= RUNS[target]
