"""python -m benchmarks.backtest: ten million stored points against one draft; our CPU and PostgreSQL's, apart.

A real embedded PostgreSQL in a temporary directory, 14,000 terminals on as many machines, three days. Each works from a
yard of its own (a random walk, an hour's drive and back on most days) in a box 60 km across; the zone is a jagged polygon in
the middle of it. Run twice: a zone of some 5 km, which a part of the terminals ever comes near, and one of 60 km, which
nearly all of them are in or near all the time: the worst there is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from psycopg.rows import dict_row

from admin_api.backtest_answers import document
from admin_api.backtesting import backtest
from benchmarks.machine import describe
from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from geofence.zones import ZoneDraft, parse_feature
from storage.copy import COPY, rows
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.partitions import ensure_partitions

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMINALS, POINTS, DAYS = 14_000, 10_000_000, 3
BAR_S = 30.0
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
BEGIN_US = int(BEGIN.timestamp()) * 1_000_000
LON, LAT, HALF = 115.98, 36.45, 0.3
STAGES = ("pre", "1", "2", "3", "4", "unknown", "electric")


def fleet(connection: psycopg.Connection[Any]) -> None:
    """Machines of every stage, each with one terminal, bound for ever."""
    connection.execute(
        "INSERT INTO machine (registration_number, machine_type, emission_stage, district)"
        " SELECT 'B-' || n, 'excavator', (%s::text[])[1 + n %% %s], '371502' FROM generate_series(1, %s) n ORDER BY n",
        [list(STAGES), len(STAGES), TERMINALS],
    )
    connection.execute(
        "INSERT INTO terminal (device, phone) SELECT n, (13000000000 + n)::text FROM generate_series(1, %s) n",
        [TERMINALS],
    )
    connection.execute(
        "INSERT INTO binding (device, machine, during)"
        " SELECT n, m.id, tstzrange(NULL, NULL) FROM generate_series(1, %s) n"
        " JOIN machine m ON m.registration_number = 'B-' || n",
        [TERMINALS],
    )


def tracks(rng: np.random.Generator, points: int) -> Iterator[Positions]:
    """Day after day, in the order of time as they would come in: every terminal once, then every one again."""
    each = points // (TERMINALS * DAYS)
    yard = np.array([LON, LAT]) + rng.uniform(-HALF, HALF, (TERMINALS, 2))
    for day in range(DAYS):
        site = yard + rng.normal(0, 0.05, (TERMINALS, 2)) * (rng.random((TERMINALS, 1)) < 0.7)
        share = np.clip((np.linspace(0, 24, each) - 8) / 1, 0, 1) * np.clip((18 - np.linspace(0, 24, each)) / 1, 0, 1)
        way = share[:, None, None]
        place = yard * (1 - way) + site * way + rng.normal(0, 0.0004, (each, TERMINALS, 2)) * (way > 0)
        place += rng.normal(0, 0.00004, (each, TERMINALS, 2))
        n = each * TERMINALS
        columns = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
        begin = BEGIN_US + day * 86_400_000_000
        step = 86_400 // each
        at = np.arange(each)[:, None] * step + rng.integers(0, step, TERMINALS)
        columns["device"][:] = np.tile(np.arange(1, TERMINALS + 1), each)
        columns["time"][:] = begin + at.ravel() * 1_000_000
        columns["received"][:] = columns["time"] + 1_000_000
        columns["fingerprint"][:] = rng.integers(-(2**62), 2**62, n)
        columns["lon"][:], columns["lat"][:] = place.reshape(n, 2).T
        columns["status"][:] = np.where(np.repeat(share > 0, TERMINALS), 3, 2)
        columns["speed"][:] = np.where(columns["status"] == 3, 30, 0)
        yield Positions(**columns, extras=Ragged.empty(n))


def fill(conninfo: str, seed: int, points: int) -> int:
    rng, stored = np.random.default_rng(seed), 0
    with psycopg.connect(conninfo) as connection:
        fleet(connection)
        for each in tracks(rng, points):
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                for piece in rows(each):
                    copy.write(piece)
            stored += len(each)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE position")
    return stored


def draft(rng: np.random.Generator, kilometres: float) -> ZoneDraft:
    """A jagged polygon of 500 vertices, so many kilometres across."""
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    reach = kilometres / 2 / 111.32 * (1 + 0.2 * np.sin(5 * angle) + rng.normal(0, 0.002, len(angle)))
    ring = np.column_stack([LON + reach * np.cos(angle) / 0.8, LAT + reach * np.sin(angle)]).tolist()
    return parse_feature({
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {"name": "draft", "district": "371502", "crs": "wgs84",
                       "rules": [{"any_of": [{"stage_below": "3"}]}]},
    })  # fmt: skip


def postgres_cpu(data: Path) -> float:
    """CPU seconds of the server and all that it started, those that ended among them."""
    parent = int((data / "cluster" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == parent:
            total += sum(int(value) for value in stat[11:15])
        elif int(stat[1]) == parent:
            total += int(stat[11]) + int(stat[12])
    return total / os.sysconf("SC_CLK_TCK")


async def measured(conninfo: str, data: Path, kilometres: float, seed: int) -> None:
    wanted = draft(np.random.default_rng(seed), kilometres)
    connection = await psycopg.AsyncConnection.connect(conninfo, row_factory=dict_row)
    async with connection:
        theirs, began, ours = postgres_cpu(data), time.perf_counter(), time.process_time()
        found = document(await backtest(connection, wanted, None, BEGIN, BEGIN + timedelta(days=DAYS)))
        ours, took, theirs = time.process_time() - ours, time.perf_counter() - began, postgres_cpu(data) - theirs
    near, totals = found["near"], found["totals"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {kilometres:.0f} km | {found['points']:,} | {near['terminals']:,} of {found['terminals']:,} | {near['points']:,}"
        f" | {totals['visits']:,} of {totals['machines']:,} | {ours:.1f} s (bar {BAR_S:.0f} s:"
        f" {'met' if ours <= BAR_S else 'MISSED'}) | {theirs:.1f} s | {took:.1f} s | {peak:.0f} MB |",
        flush=True,
    )


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m benchmarks.backtest", description=__doc__)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--points", type=int, default=POINTS)
    given = p.parse_args()
    print(describe(given.seed))
    with tempfile.TemporaryDirectory(prefix="lezgate-backtest-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # the server has a user of its own
        data = home / "postgres"
        server = EmbeddedPostgres(
            data, {f"postgres_{role}": secrets.token_urlsafe(24) for role in ("superuser", "owner", "worker", "api")}
        )
        server.start()
        try:
            conninfo = server.url("owner")
            migrate(conninfo)
            asyncio.run(_partitions(conninfo))
            # In a process of its own, so that the memory of this one is that of the back-test.
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                stored = other.submit(fill, conninfo, given.seed, given.points).result()
            print(f"{stored:,} points stored", flush=True)
            print(
                "| zone | points | terminals near it | judged | visits, machines | our CPU | PostgreSQL's | took | resident, highest |"
            )
            print("|---|---|---|---|---|---|---|---|---|")
            for kilometres in (5.0, 60.0):
                asyncio.run(measured(conninfo, data, kilometres, given.seed))
        finally:
            server.stop()


async def _partitions(conninfo: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        first = BEGIN.date()
        await ensure_partitions(connection, first, first + timedelta(days=DAYS))


if __name__ == "__main__":
    main()
