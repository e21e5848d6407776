"""A database with one zone, one machine and its terminal, and a worker's connection to it; on both servers.

Every test of this folder that asks for `database` (or for one of its kin) runs on plain PostgreSQL and on TimescaleDB.
`@pytest.mark.plain(reason)` is for what TimescaleDB in WebAssembly cannot show: it has one session and one role.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from storage.commit import commit
from storage.load import own_offset
from storage.migrate import migrate
from tests.storage.rows import STREAM, work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.work import VisitChanges


SERVERS = ("plain", "timescaledb")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        plain = next(metafunc.definition.iter_markers("plain"), None)
        metafunc.parametrize("server", SERVERS[: 1 if plain else None], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> dict[str, str]:
    """A migrated database of this test's own: role -> conninfo."""
    if request.param == "plain":
        embedded, name = request.getfixturevalue("postgres_server"), request.getfixturevalue("_database_name")
        return {role: embedded.url(role, name) for role in ("owner", "worker", "api")}
    conninfo = request.getfixturevalue("timescaledb")
    migrate(conninfo)
    return dict.fromkeys(("owner", "worker", "api"), conninfo)


@pytest.fixture
def database(server: dict[str, str]) -> str:
    return server["owner"]


@pytest.fixture
def worker_database(server: dict[str, str]) -> str:
    return server["worker"]


@pytest.fixture
def api_database(server: dict[str, str]) -> str:
    return server["api"]


@dataclass(frozen=True)
class Scene:
    """Zone 1 of district 370102, and a machine with terminal 13800000007 (device 7)."""

    conninfo: str
    zone: int
    machine: int

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            return conn.execute(statement).fetchall()

    def value(self, statement: str) -> Any:
        return self.query(statement)[0][0]

    def alarms(self) -> list[tuple[Any, ...]]:
        """(visit, whether it goes on, whether it was paged, merged_into, whether it was withdrawn), as they were raised."""
        return self.query(
            "SELECT visit, exited_at IS NULL, paged_at IS NOT NULL, merged_into, withdrawn_at IS NOT NULL"
            " FROM alarm ORDER BY id"
        )


class Steps:
    """Commits one after the other in one partition."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection, self.at = connection, 0

    async def take(self, changes: VisitChanges | None) -> tuple[int, ...]:
        self.at += 1
        done = await commit(self.connection, work(previous=self.at - 1, sequence=self.at, visits=changes))
        return done.alarms


def populate(conn: psycopg.Connection) -> tuple[int, int]:
    """The scene's rows; ids of the zone and the machine."""
    (zone,) = conn.execute("INSERT INTO zone DEFAULT VALUES RETURNING id").fetchone()
    conn.execute(
        "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
        " valid_from, author)"
        " VALUES (%s, 1, '一号区', '370102', 'core', 'active', '1号', 'wgs84', '{}', '{}', '[]', '2026-01-01', 'a')",
        [zone],
    )
    (machine,) = conn.execute(
        "INSERT INTO machine (registration_number, machine_type, emission_stage, district)"
        " VALUES ('LJ-1', 'excavator', '2', '370102') RETURNING id"
    ).fetchone()
    conn.execute("INSERT INTO terminal (device, phone) VALUES (7, '13800000007')")
    conn.execute("INSERT INTO binding (device, machine, during) VALUES (7, %s, '[2026-01-01,)')", [machine])
    conn.execute("UPDATE ruleset SET epoch = 1")
    return zone, machine


@pytest.fixture
def scene(database: str) -> Scene:
    with psycopg.connect(database) as conn:
        zone, machine = populate(conn)
    return Scene(database, zone, machine)


@pytest_asyncio.fixture
async def worker(scene: Scene, worker_database: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A worker's session, in its own role, with the offset of partition 0 in place."""
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True, prepare_threshold=None) as conn:
        await own_offset(conn, 0, STREAM)
        yield conn


@pytest.fixture
def steps(worker: psycopg.AsyncConnection[Any]) -> Steps:
    return Steps(worker)
