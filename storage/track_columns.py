"""Tracks of many terminals as columns: what stored fixes a range holds, and the fixes, some 10 ns of ours a row.

PostgreSQL puts a column into one binary array, numpy takes the array as it is: no row is ever an object here. An array is
built in memory on both sides, so a range is read in slices: terminals of a day, as many as make a bounded number of rows.
What is read is what deciding needs; the other columns are zero.

Times are int64 us since 1970 UTC. Errors are psycopg's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from psycopg.rows import tuple_row

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from storage.arrays import Bigints, Integers, Times
from storage.copy import POSTGRES_EPOCH_US

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from numpy.typing import NDArray

    Connection = psycopg.AsyncConnection[Any]
    Box = tuple[float, float, float, float]

ROWS_AT_ONCE = 500_000
"""Of a slice: PostgreSQL holds some 100 bytes of each, and so do we."""

DAY_US = 86_400_000_000
_SMALLINTS_OID = 1005
_HEADER = 20  # dimensions, has nulls, element's type, length, lower bound: 4 bytes each
_SLACK = 1  # 1e-6 degrees: the box is rounded outwards


class _RawLoader(Loader):
    """An array as its bytes: numpy reads them later, in another thread than the event loop's."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def _array(data: bytes, kind: str) -> NDArray[Any]:
    elements = np.frombuffer(data, [("length", ">i4"), ("value", kind)], offset=_HEADER)
    return elements["value"].astype(np.dtype(kind).newbyteorder("="))


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Columns, a row for each terminal and day (since 1970, UTC) on which it has fixes.

    terminal, day, points: int64; near: whether any of the fixes lies in the box that was asked for.
    """

    terminal: NDArray[np.int64]
    day: NDArray[np.int64]
    points: NDArray[np.int64]
    near: NDArray[np.bool_]

    @property
    def terminals(self) -> NDArray[np.int64]:
        """All terminals, ascending."""
        return np.unique(self.terminal)

    @property
    def visitors(self) -> NDArray[np.int64]:
        """The terminals that were in the box on any day, ascending."""
        return np.unique(self.terminal[self.near])


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Some terminals' fixes in [since, until). points: how many there were."""

    since: int
    until: int
    terminals: NDArray[np.int64]
    points: int


_ARRAYS_OID = (Bigints.array_oid, Integers.array_oid, Times.array_oid, _SMALLINTS_OID)
# A city's terminals and days in memory; compiling a plan with a dozen aggregates takes longer than it saves.
_SETTINGS = "SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"
_TALLY = """
    SELECT array_agg(terminal), array_agg(day), array_agg(points), array_agg(near) FROM (
        SELECT terminal, floor(date_part('epoch', time) / 86400)::bigint AS day, count(*) AS points,
            bool_or(lon BETWEEN %(west)s AND %(east)s AND lat BETWEEN %(south)s AND %(north)s)::int::bigint AS near
        FROM position WHERE time >= at_us(%(since)s) AND time < at_us(%(until)s) GROUP BY 1, 2
    ) AS tally
"""
# name, type of the column on the wire
_FIELDS = (
    ("terminal", ">i8"), ("time", ">i8"), ("fingerprint", ">i8"), ("lon", ">i4"), ("lat", ">i4"), ("speed", ">i4"),
    ("status", ">i4"), ("quality", ">i2"),
)  # fmt: skip
_READ = f"""
    SELECT {", ".join(f"array_agg({name})" for name, _ in _FIELDS)} FROM position
    WHERE time >= at_us(%(since)s) AND time < at_us(%(until)s) AND terminal = ANY(%(terminals)s)
"""  # noqa: S608 - our own names


async def tally(conn: Connection, since: int, until: int, box: Box) -> Tally:
    """What there is in [since, until). box: west, south, east, north in degrees."""
    west, south, east, north = (round(degrees * 1e6) for degrees in box)
    corners = {"west": west - _SLACK, "south": south - _SLACK, "east": east + _SLACK, "north": north + _SLACK}
    arrays = await _columns(conn, _TALLY, {"since": since, "until": until, **corners})
    if arrays is None:
        none = np.empty(0, np.int64)
        return Tally(none, none, none, np.empty(0, np.bool_))
    terminal, day, points, near = (_array(data, ">i8") for data in arrays)
    return Tally(terminal, day, points, near != 0)


def slices(found: Tally, since: int, until: int, most: int = ROWS_AT_ONCE) -> Iterator[Slice]:
    """All fixes of the visitors, the days in order, each terminal's of a day in one slice.

    Dropping who was never in the box changes nothing for the others; nobody's fixes are dropped one by one.
    """
    kept = np.isin(found.terminal, found.visitors)
    terminal, day, points = found.terminal[kept], found.day[kept], found.points[kept]
    order = np.lexsort((terminal, day))
    terminal, day, points = terminal[order], day[order], points[order]
    for rows in np.split(np.arange(len(day)), np.flatnonzero(np.diff(day)) + 1):
        if not len(rows):
            continue
        begin = int(day[rows[0]]) * DAY_US
        part = (np.cumsum(points[rows]) - 1) // most
        for some in np.split(rows, np.flatnonzero(np.diff(part)) + 1):
            yield Slice(
                max(begin, since), min(begin + DAY_US, until), terminal[some], int(points[some].sum())
            )  # fmt: skip


async def read(conn: Connection, wanted: Slice) -> Positions:
    """The rows of a slice, in no order, whatever their quality."""
    values = {"since": wanted.since, "until": wanted.until, "terminals": Bigints(wanted.terminals)}
    arrays = await _columns(conn, _READ, values)
    return Positions.empty() if arrays is None else await asyncio.to_thread(_positions, arrays)


async def _columns(conn: Connection, query: str, values: dict[str, Any]) -> tuple[bytes, ...] | None:
    async with conn.transaction(), conn.cursor(binary=True, row_factory=tuple_row) as cursor:
        for oid in _ARRAYS_OID:
            cursor.adapters.register_loader(oid, _RawLoader)
        await cursor.execute(_SETTINGS)
        await cursor.execute(query, values)
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate without groups
    return None if row[0] is None else row


def _positions(arrays: tuple[bytes, ...]) -> Positions:
    table = {name: _array(data, kind) for (name, kind), data in zip(_FIELDS, arrays, strict=True)}
    n = len(table["terminal"])
    columns = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
    columns |= {
        "device": table["terminal"], "time": table["time"] + POSTGRES_EPOCH_US, "fingerprint": table["fingerprint"],
        "lon": table["lon"] / 1e6, "lat": table["lat"] / 1e6, "speed": table["speed"].astype("<u2"),
        "status": table["status"].view("<u4"), "quality": table["quality"].view("<u2"),
    }  # fmt: skip
    return Positions(**columns, extras=Ragged.empty(n))
