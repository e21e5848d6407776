"""One target in this process, until libFuzzer's flags end it: python -m tests.fuzz TARGET [FLAGS] [CORPUS or INPUT]."""

from __future__ import annotations

import importlib
import sys
import warnings

import atheris

target = sys.argv.pop(1)
with atheris.instrument_imports(include=["protocols", "columns"]):
    module = importlib.import_module(f"tests.fuzz.{target}")
warnings.simplefilter("error")
atheris.Setup(sys.argv, module.check)
atheris.Fuzz()
