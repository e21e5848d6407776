"""python -m benchmarks.sizes: what a report takes in the log and in `position`, in bytes. A minute.

The log: batches of a city's terminals as edges make them, with the headers that nats-server adds left out (a hundred bytes a
batch). The database: the same reports in a plain embedded PostgreSQL, table and primary key, after a checkpoint. What
TimescaleDB's compression makes of them is not measured here: it depends on how much of a chunk is one terminal's.
"""

from __future__ import annotations

import shutil
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import psycopg

from benchmarks.city import FIRST_PHONE, Terminals, batches
from benchmarks.machine import describe
from columns.batch import decode
from gateway.secrets import load_secrets
from storage.copy import COPY, rows
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

SEED = 1
FLEET = 14_000
ROWS = 200_000
IN_BATCH = (15, 150, 1_500)  # of a linger at 500, 5,000 and 50,000 reports/s


def reports(in_batch: int, n: int) -> list[bytes]:
    fleet = Terminals(np.random.default_rng(SEED), FIRST_PHONE, FLEET, 1_400)
    return list(islice(batches(fleet, in_batch), n // in_batch))


def in_database() -> float:
    """Bytes of table and key for each row."""
    directory = Path(tempfile.mkdtemp(prefix="lezgate-sizes-"))
    directory.chmod(0o755)  # as root the server runs as a user of its own
    server = EmbeddedPostgres(directory / "postgres", load_secrets(directory))
    try:
        server.start()
        migrate(server.url("owner"))
        with psycopg.connect(server.url("owner")) as connection:
            for data in reports(1_000, ROWS):
                with connection.cursor().copy(COPY) as copy:
                    for chunk in rows(decode(data).positions):
                        copy.write(chunk)
            connection.commit()
            size = connection.execute(
                "SELECT sum(pg_total_relation_size(relid)), (SELECT count(*) FROM position)"
                " FROM pg_partition_tree('position')"
            ).fetchone()
        assert size is not None
        return float(size[0]) / float(size[1])
    finally:
        server.stop()
        shutil.rmtree(directory)


def main() -> None:
    print(describe(SEED))
    for n in IN_BATCH:
        made = reports(n, ROWS // 10)
        print(f"log, batches of {n}: {sum(map(len, made)) / (len(made) * n):.1f} bytes a report")
    print(f"position, plain PostgreSQL, {ROWS} rows: {in_database():.1f} bytes a row")


if __name__ == "__main__":
    main()
