"""What a drill found: a table of figures, and what must not be."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Findings:
    """``figures``: name -> what was seen; ``faults``: what must not be."""

    figures: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Drill(Protocol):
    found: Findings

    def run(self) -> None: ...


def carry_out(make: Callable[[Path], Drill]) -> NoReturn:
    """Runs a drill in a directory of its own, prints the table, and exits with 1 where there is a fault."""
    scratch = Path(tempfile.mkdtemp(prefix="lezgate-drill-"))
    scratch.chmod(0o755)  # the embedded PostgreSQL runs as a user of its own
    drill = make(scratch)
    try:
        drill.run()
    finally:
        for name, figure in drill.found.figures.items():
            print(f"{name:42} {figure}")
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(drill.found.faults) or "all as it must be")
    sys.exit(bool(drill.found.faults))
