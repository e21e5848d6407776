"""A worker without a log over a real database: batches are decided, committed and remembered as a partition does it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from columns.positions import Positions, Source, concatenate
from gateway.worker import decision as deciding
from gateway.worker.memory import Memory
from gateway.worker.rejudging import rejudge_late
from gateway.worker.rules import RulesCache
from gateway.worker.store import PostgresSession
from storage.ruleset import epoch
from tests.geofence.world import SECOND, at, box, positions

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY = 86_400 * SECOND
START = (time.time_ns() // 1000 // _DAY - 2) * _DAY + _DAY // 2
"""Noon UTC, the day before yesterday: workers forget what ended a month ago."""
STREAM = "POS@2026-03-01T00:00:00Z"
ONE, TWO, THREE = 0x1001, 0x1002, 0x1003
"""Two terminals on machine 1 (stage 2), one on machine 2 (stage 4)."""
OUT, IN, CORE = (-500.0, 100.0), (100.0, 100.0), (500.0, 500.0)
"""Places in metres: outside, in the general zone 1 alone, in the core zone 2 within it."""


def populate(conninfo: str) -> None:
    """Zones 1 (general) and 2 (core, inside it), machines, their terminals, and the days' partitions."""
    with psycopg.connect(conninfo, prepare_threshold=None) as conn:
        conn.execute("SELECT ensure_partitions(at_us(%s)::date, current_date + 1)", [START - _DAY])
        for number, (shape, tier) in enumerate(
            [(box(0, 0, 1000, 1000), "general"), (box(300, 300, 800, 800), "core")], 1
        ):
            conn.execute("INSERT INTO zone DEFAULT VALUES")
            geometry = Jsonb({"type": "Polygon", "coordinates": [[list(point) for point in shape.exterior.coords]]})
            conn.execute(
                "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry,"
                " rules, valid_from, author, published_at)"
                " VALUES (%s, 1, %s, '371502', %s, 'active', '1号', 'wgs84', %s, %s, %s, '2026-01-01', 'a', now())",
                [number, f"z{number}", tier, geometry, geometry, Jsonb([{"any_of": [{"stage_below": "3"}]}])],
            )
        for number, stage in (("A", "2"), ("B", "4")):
            conn.execute(
                "INSERT INTO machine (registration_number, machine_type, emission_stage, district)"
                " VALUES (%s, 'excavator', %s, '371502')", [number, stage],
            )  # fmt: skip
        for device in (ONE, TWO, THREE):
            conn.execute("INSERT INTO terminal (device, phone) VALUES (%s, %s)", [device, str(device)])
            conn.execute(
                "INSERT INTO binding (device, machine, during) VALUES (%s, %s, '[2026-01-01,)')",
                [device, 2 if device == THREE else 1],
            )


class Worker:
    """A partition's owner; every batch is one commit, under the rules of its moment."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection, self.store = connection, PostgresSession(connection, 0)
        self.rules, self.memory, self.sequence = RulesCache(), Memory(), 0

    @classmethod
    async def of(cls, connection: psycopg.AsyncConnection[Any]) -> Worker:
        one = cls(connection)
        await one.store.offset(STREAM)
        return one

    async def take(self, *parts: Positions) -> None:
        rows = concatenate(parts)
        rules = await self.rules.get(self.store, await epoch(self.connection))
        judged = deciding.judge(self.memory, rules, rows)
        for device in judged.late:
            own = rows.take(np.flatnonzero(rows.device == device))
            judged.rejudged[device] = await rejudge_late(self.store, rules.ruleset, device, own)
        letters = deciding.gather([(1, b"")], {}).dead_letters
        gathered = deciding.Gathered(self.sequence + 1, {}, rows, letters, [], {})
        work = deciding.work(
            gathered, rows, judged, rules, memory=self.memory, partition=0, stream=STREAM, previous=self.sequence,
            now=int(rows.received.max()),
        )  # fmt: skip
        await self.store.commit(work)
        deciding.remember(self.memory, judged)
        self.sequence += 1

    async def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = await self.connection.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []


def route(device: int, places: Sequence[tuple[float, float]], *, start: int = 0, every: int = 30) -> Positions:
    """Fixes at these places (metres), ``every`` seconds apart from ``start`` seconds on."""
    lon, lat = at(*np.array(places, float).T)
    n = len(places)
    rows = positions(device, START + (start + np.arange(n) * every) * SECOND, np.round(lon, 6), np.round(lat, 6))
    return rows.with_columns(fingerprint=np.arange(start * 1000, start * 1000 + n), status=np.full(n, 3, "<u4"))


def backfilled(rows: Positions, received: int) -> Positions:
    """The same, declared backfill and received at ``received`` seconds."""
    n = len(rows)
    return rows.with_columns(
        received=np.full(n, START + received * SECOND), source=np.full(n, Source.BACKFILL, "<u1")
    )  # fmt: skip


def edit(conninfo: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """One statement of the owner's."""
    with psycopg.connect(conninfo, prepare_threshold=None) as conn:
        cursor = conn.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def drop_tracks(conninfo: str) -> None:
    """What the retention of tracks does in time, to all of them at once."""
    with psycopg.connect(conninfo, prepare_threshold=None) as conn:
        for (name,) in conn.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'position'::regclass"
        ):
            conn.execute(f"DROP TABLE {name}")  # type: ignore[arg-type]
        assert conn.execute("SELECT count(*) FROM position").fetchone() == (0,)
