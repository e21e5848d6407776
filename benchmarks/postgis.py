"""A PostGIS of the benchmark's own: a temporary cluster from Debian's packages, on a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

_START_S = 60.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAIRS = "SELECT count(*) FROM point JOIN zone ON ST_Intersects(zone.shape, point.place)"
# Nothing here is to be kept, and one backend is to do all the work, compiled to machine code by nobody.
_SETTINGS = {
    "listen_addresses": "", "fsync": "off", "autovacuum": "off", "jit": "off", "shared_buffers": "256MB", "work_mem": "256MB",
    "max_parallel_workers_per_gather": "0", "max_parallel_maintenance_workers": "0",
}  # fmt: skip


class MissingError(Exception):
    """PostGIS is not installed; says how to get it."""

    def __str__(self) -> str:
        return (
            "PostGIS: not installed (Debian: apt-get install postgresql-15-postgis-3, or the number of your release)\n"
            "PostGIS:未安装(Debian:apt-get install postgresql-15-postgis-3,版本号以系统为准)"
        )


class Database:
    """Zones with an index, and points."""

    def __init__(self, connection: psycopg.Connection[tuple[int]]) -> None:
        self._connection = connection

    def index_points(self) -> None:
        """Lets the plan go zone by zone, where PostGIS keeps each one prepared. The index itself is not measured."""
        self._connection.execute("CREATE INDEX ON point USING gist (place)")
        self._connection.execute("ANALYZE point")

    def count_pairs(self) -> tuple[float, int]:
        """(CPU seconds of the backend, pairs of point and zone)."""
        begun = self._cpu()
        row = self._connection.execute(_PAIRS).fetchone()
        assert row is not None
        return self._cpu() - begun, row[0]

    def _cpu(self) -> float:
        stat = Path(f"/proc/{self._connection.info.backend_pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) * _TICK_S


@contextmanager
def postgis(
    shapes: Sequence[shapely.Polygon], lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> Iterator[Database]:
    """A database with these zones and points. Raises MissingError."""
    binaries = _installed()
    # PostgreSQL refuses to run as root; Debian's package makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-N"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd=folder,
        )
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        log = Path(folder, "log")
        with (
            log.open("w") as stderr,
            subprocess.Popen(
                [binaries / "postgres", "-D", data, "-k", folder, *settings], stderr=stderr, user=user, cwd=folder
            ) as server,
        ):
            try:
                with _connect(folder, server) as connection:
                    _fill(connection, shapes, lon, lat)
                    yield Database(connection)
            finally:
                server.terminate()


def _installed() -> Path:
    """The programs of the newest PostgreSQL that has PostGIS."""
    versions = sorted(Path("/usr/share/postgresql").glob("*/extension/postgis.control"), key=lambda p: int(p.parts[4]))
    if not versions:
        raise MissingError
    return Path("/usr/lib/postgresql", versions[-1].parts[4], "bin")


def _connect(folder: str, server: subprocess.Popen[bytes]) -> psycopg.Connection[tuple[int]]:
    end = time.monotonic() + _START_S
    while True:
        try:
            return psycopg.connect(host=folder, user="bench", dbname="postgres", autocommit=True)
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)


def _fill(
    connection: psycopg.Connection[tuple[int]],
    shapes: Sequence[shapely.Polygon],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
) -> None:
    connection.execute("CREATE EXTENSION postgis")
    connection.execute("CREATE TABLE zone (id int, shape geometry)")
    connection.execute("CREATE TABLE point (place geometry)")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO zone VALUES (%s, ST_GeomFromWKB(%s))",
            [(number, shapely.to_wkb(shape)) for number, shape in enumerate(shapes)],
        )
        with cursor.copy("COPY point FROM STDIN") as copy:
            for place in shapely.to_wkb(shapely.points(lon, lat), hex=True).tolist():
                copy.write_row((place,))
    connection.execute("CREATE INDEX ON zone USING gist (shape)")
    connection.execute("VACUUM ANALYZE zone")
    connection.execute("VACUUM ANALYZE point")
    connection.execute(f"{_PAIRS} WHERE false")  # loads the library
