"""PostgreSQL's own programs, run for us: pg_basebackup, pg_verifybackup, pg_dump, pg_restore; and which major they are of.

Invariant: no password on a command line. A client gets it in its environment, which only its own user can read.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict, make_conninfo

if TYPE_CHECKING:
    from pathlib import Path


class ProgramError(RuntimeError):
    """A program of PostgreSQL's failed; the message is what it said."""


def run(programs: Path, name: str, *words: str | Path, conninfo: str | None = None) -> str:
    """What it printed. conninfo: of a database to connect to, handed over as --dbname and PGPASSWORD."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}
    command: list[str | Path] = [programs / name, *words]
    if conninfo is not None:
        options = conninfo_to_dict(conninfo)
        if password := options.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        command.insert(1, f"--dbname={make_conninfo(**{name: str(value) for name, value in options.items()})}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    except OSError as error:
        raise ProgramError(f"{programs / name}: {error}") from error
    if done.returncode:
        raise ProgramError(f"{name}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def major_of_programs(programs: Path) -> int:
    """18 of `postgres (PostgreSQL) 18.6`. Raises ProgramError."""
    said = run(programs, "postgres", "--version")
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        raise ProgramError(f"{programs / 'postgres'}: no version in {said!r}")
    return int(found[1])


def major_of_cluster(cluster: Path) -> int:
    """Of a data directory, by its PG_VERSION."""
    return int((cluster / "PG_VERSION").read_text().split(".")[0])
