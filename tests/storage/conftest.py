"""A database with one zone, one machine and its terminal, and a worker's connection to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import pytest_asyncio

from storage.load import create_offset
from tests.storage.rows import STREAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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


def populate(conn: psycopg.Connection) -> tuple[int, int]:
    """The scene's rows; ids of the zone and the machine."""
    (zone,) = conn.execute("INSERT INTO zone DEFAULT VALUES RETURNING id").fetchone()
    conn.execute(
        "INSERT INTO zone_version (zone, version, name, district, tier, state, crs, source, geometry, rules, valid_from,"
        " author) VALUES (%s, 1, '一号区', '370102', 'core', 'active', 'wgs84', '{}', '{}', '[]', '2026-01-01', 'a')",
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
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as conn:
        await create_offset(conn, 0, STREAM)
        yield conn
