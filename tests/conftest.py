"""Registers every module of tests/plugins as a plug-in, so a fixture family is one new file there."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parent

# Tests are imported by path (importlib mode), which leaves the root out of sys.path: `tests.plugins.x` needs it.
if str(_TESTS.parent) not in sys.path:
    sys.path.insert(0, str(_TESTS.parent))

pytest_plugins = [
    f"tests.plugins.{module.stem}" for module in sorted((_TESTS / "plugins").glob("*.py")) if module.stem != "__init__"
]
