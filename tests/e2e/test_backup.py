"""make drill, in small: a gateway that was backed up while it ran is destroyed in three ways and restored."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.drills.backup import Drill

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(480)
def test_a_backup_is_a_way_back():
    """a: the log survives, and nothing acknowledged is lost; b: all of before the backup is there; c: the worker says so.

    Each report is stored once, each visit is one alarm, and the audit has who restored.
    """
    scratch = Path(tempfile.mkdtemp(prefix="lezgate-test-"))
    scratch.chmod(0o755)  # the embedded PostgreSQL runs as a user of its own
    drill = Drill(scratch, terminals=6, fill_s=13, more_s=3)
    try:
        drill.run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    assert not drill.found.faults, drill.found.figures
    assert "alarms 6" in drill.found.figures["a, later"], drill.found.figures
