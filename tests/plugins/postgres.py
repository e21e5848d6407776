"""PostgreSQL for tests: one embedded server a session, a fresh migrated database a test.

postgres_server   the running EmbeddedPostgres
database          conninfo of a database of this test's own, as the owner
worker_database   the same database as the worker's role
api_database      the same database as the api's role
"""

from __future__ import annotations

import itertools
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = "lezgate_template"
_numbers = itertools.count(1)


def new_secrets() -> dict[str, str]:
    """Fresh passwords for an EmbeddedPostgres."""
    return {f"postgres_{role}": secrets.token_urlsafe(24) for role in ("superuser", "owner", "worker", "api")}


@pytest.fixture(scope="session")
def reachable_dir() -> Iterator[Path]:
    """A directory that the service user can reach: pytest's own are closed to everybody else."""
    path = Path(tempfile.mkdtemp(prefix="lezgate-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def postgres_server(reachable_dir: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(reachable_dir / "postgres", new_secrets())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _template(postgres_server: EmbeddedPostgres) -> str:
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {TEMPLATE} OWNER lezgate_owner")
    migrate(postgres_server.url("owner", TEMPLATE))
    return TEMPLATE


@pytest.fixture
def _database_name(postgres_server: EmbeddedPostgres, _template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {_template} OWNER lezgate_owner")
        yield name
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, _database_name: str) -> str:
    return postgres_server.url("owner", _database_name)


@pytest.fixture
def worker_database(postgres_server: EmbeddedPostgres, _database_name: str) -> str:
    return postgres_server.url("worker", _database_name)


@pytest.fixture
def api_database(postgres_server: EmbeddedPostgres, _database_name: str) -> str:
    return postgres_server.url("api", _database_name)
