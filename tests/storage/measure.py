"""Measures the store on this machine: `.venv/bin/python -m tests.storage.measure`.

Prints rows per client CPU-second of the COPY encoding alone, and of whole commits what a row costs the client and its
backend, in us of CPU. Extras have five lengths, as a mixed fleet's have.
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg

from columns.positions import Positions  # noqa: TC001
from columns.ragged import Ragged
from storage import load, ruleset
from storage.commit import commit
from storage.copy import rows
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.partitions import ensure_partitions, window
from tests.plugins.postgres import new_secrets
from tests.storage.rows import NOON, STREAM, positions, work

SEED = 1
SIZES = (250, 1_000, 5_000)
TERMINALS = 14_000


def fleet(n: int, start: int) -> Positions:
    """n reports of different terminals, 1 ms apart, beginning with report ``start``."""
    lengths = np.random.default_rng(SEED).choice([0, 6, 12, 26, 40], n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    reports = np.arange(start, start + n)
    return positions(n, start=start).with_columns(
        device=reports % TERMINALS,
        time=NOON + reports * 1_000,
        extras=Ragged(np.zeros(offsets[-1], np.uint8), offsets),
    )


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_rows() -> None:
    for n in SIZES:
        batch = fleet(n, 0)
        begin, times = time.process_time(), 0
        while time.process_time() - begin < 1:
            rows(batch)
            times += 1
        print(f"encode, {n} rows: {n * times / (time.process_time() - begin) / 1e6:.2f} M rows per CPU-second")


async def measure_commits(conninfo: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await load.own_offset(conn, 0, STREAM)
        epoch = await ruleset.epoch(conn)
        await ensure_partitions(conn, *window(NOON))
        sequence = start = 0
        for n in (0, *SIZES):
            batches = [fleet(n, start + i * n) for i in range(max(8, 40_000 // n) if n else 100)]
            start += n * len(batches)
            before = time.process_time(), cpu_of(conn.info.backend_pid)
            taken = []
            for batch in batches:
                begin = time.perf_counter()
                await commit(conn, work(previous=sequence, sequence=sequence + 1, positions=batch, epoch=epoch))
                taken.append(time.perf_counter() - begin)
                sequence += 1
            spent = time.process_time() - before[0], cpu_of(conn.info.backend_pid) - before[1]
            each = [1e6 * seconds / (n * len(batches) if n else len(batches)) for seconds in spent]
            what = "row" if n else "commit"
            print(
                f"commit, {n} rows: us of CPU per {what}: client {each[0]:.1f}, backend {each[1]:.1f};"
                f" {1e3 * sorted(taken)[len(taken) // 2]:.1f} ms (median)"
            )
        batch = fleet(SIZES[-1], start - SIZES[-1])
        for name, call in (
            (
                "commit, all duplicates",
                lambda: commit(conn, work(previous=sequence, sequence=sequence + 1, positions=batch, epoch=epoch)),
            ),
            ("known_reports", lambda: load.known_reports(conn, batch.device, batch.time, batch.fingerprint)),
            ("flush_last", lambda: load.flush_last(conn, batch)),
        ):
            begin = time.perf_counter()
            await call()
            print(f"{name}, {len(batch)} rows: {1e3 * (time.perf_counter() - begin):.0f} ms")


def main() -> None:
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, seed {SEED}")
    measure_rows()
    home = Path(tempfile.mkdtemp(prefix="lezgate-measure-"))
    home.chmod(0o755)
    server = EmbeddedPostgres(home / "postgres", new_secrets())
    try:
        server.start()
        migrate(server.url("owner"))
        asyncio.run(measure_commits(server.url("worker")))
    finally:
        server.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
