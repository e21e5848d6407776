"""What a worker and an edge's registry read: offsets, known reports, snapshots, terminals. (Rules: storage/ruleset.py.)

Times are int64 us since 1970 UTC. Connections are in autocommit mode. Errors are psycopg's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg.rows import dict_row

from columns.plate import plate_key
from storage.arrays import Bigints, Integers, Times
from storage.copy import microdegrees
from storage.errors import OffsetMovedError
from storage.work import QUARANTINED

if TYPE_CHECKING:
    import psycopg
    from numpy.typing import NDArray

    from columns.positions import Positions

    Connection = psycopg.AsyncConnection[Any]

LOCK_CLASS = 808
"""First key of the partitions' advisory locks; the second is the partition."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a partition of a stream is in the database, and its counters (law 8)."""

    partition: int
    stream: str
    sequence: int
    epoch: int
    boots: dict[str, int]
    stored: int
    duplicate: int
    quarantined: int
    rejected: dict[str, int]
    accepted: int = 0
    """Batches that are missing before this sequence were given up by somebody."""
    owner: int = 0
    """The number of the session that has taken the partition last."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    sequence: int
    version: int
    state: bytes


async def lock_partition(conn: Connection, partition: int) -> bool:
    """Takes the partition for as long as this session lives, or says that somebody has it."""
    cursor = await conn.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, partition])
    row = await cursor.fetchone()
    return bool(row and row[0])


_OFFSET = "partition, stream, sequence, epoch, boots, stored, duplicate, quarantined, rejected, accepted, owner"
_OWN = f"""
    INSERT INTO log_offset (partition, stream) VALUES (%s, %s)
    ON CONFLICT (partition) DO UPDATE SET owner = log_offset.owner + 1 RETURNING {_OFFSET}
"""  # noqa: S608 - our own column names


async def offset(conn: Connection, partition: int) -> Offset | None:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT {_OFFSET} FROM log_offset WHERE partition = %s", [partition])  # noqa: S608
        row = await cursor.fetchone()
    return None if row is None else Offset(**row)


async def own_offset(conn: Connection, partition: int, stream: str) -> Offset:
    """Takes the partition over: what an earlier owner has not committed by now, it never will.

    The offset is made where there is none; one of another stream is returned as it is: compare.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_OWN, [partition, stream])
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - it is inserted or updated
    return Offset(**row)


# LATERAL with LIMIT: one look-up by key per report. A join could be planned as a scan of a day of positions.
_KNOWN = """
    SELECT asked.place FROM unnest(%s, %s, %s) WITH ORDINALITY AS asked (terminal, time, fingerprint, place)
    CROSS JOIN LATERAL (
        SELECT FROM position p
        WHERE p.terminal = asked.terminal AND p.time = asked.time AND p.fingerprint = asked.fingerprint LIMIT 1
    ) AS found
"""


async def known_reports(
    conn: Connection, devices: NDArray[np.int64], times: NDArray[np.int64], fingerprints: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """For every report (equal-length columns): is it in the database? About 10 us each."""
    known = np.zeros(len(devices), np.bool_)
    if len(devices):
        cursor = await conn.execute(_KNOWN, [Bigints(devices), Times(times), Bigints(fingerprints)])
        known[[place - 1 for (place,) in await cursor.fetchall()]] = True
    return known


_SAVE_SNAPSHOT = """
    INSERT INTO worker_snapshot (partition, sequence, version, state)
    SELECT partition, sequence, %(version)s, %(state)s FROM log_offset
    WHERE partition = %(partition)s AND stream = %(stream)s AND sequence = %(sequence)s AND owner = %(owner)s
    FOR SHARE  -- so that no other owner's commit, and its newer snapshot, come between
    ON CONFLICT (partition) DO UPDATE SET sequence = excluded.sequence, version = excluded.version,
        state = excluded.state, taken_at = now()
"""


async def save_snapshot(
    conn: Connection, partition: int, stream: str, sequence: int, version: int, state: bytes, *, owner: int
) -> None:
    """What a new owner of the partition begins from; the log may be trimmed up to ``sequence`` afterwards.

    owner: as own_offset() said. Raises OffsetMovedError where the offset is not there, or another's: a newer owner's snapshot
    stays, since the log is trimmed behind it.
    """
    values = {
        "partition": partition, "stream": stream, "sequence": sequence, "owner": owner, "version": version, "state": state,
    }  # fmt: skip
    cursor = await conn.execute(_SAVE_SNAPSHOT, values)
    if not cursor.rowcount:
        raise OffsetMovedError(partition, stream, sequence)


async def tracks(conn: Connection, partition: int) -> dict[int, Any]:
    """Device -> track as JSON, of every terminal in or near a zone, as of the partition's offset."""
    cursor = await conn.execute("SELECT device, track FROM worker_track WHERE partition = %s", [partition])
    return dict(await cursor.fetchall())


async def load_snapshot(conn: Connection, partition: int) -> Snapshot | None:
    cursor = await conn.execute(
        "SELECT sequence, version, state FROM worker_snapshot WHERE partition = %s", [partition]
    )
    row = await cursor.fetchone()
    return None if row is None else Snapshot(*row)


async def parked(conn: Connection, partition: int, after: int) -> list[bytes]:
    """What was parked of the log behind ``after`` and waits for a replay: each a batch of one part (0015: an index)."""
    cursor = await conn.execute(
        "SELECT data FROM dead_letter WHERE reason IN ('refused', 'failed') AND replayed_at IS NULL"
        " AND partition = %s AND sequence > %s",
        [partition, after],
    )
    return [row[0] for row in await cursor.fetchall()]


_FLUSH = """
    INSERT INTO terminal_last AS known (terminal, time, received, lon, lat, speed, course, status, quality)
    SELECT * FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (terminal) DO UPDATE SET time = excluded.time, received = excluded.received, lon = excluded.lon,
        lat = excluded.lat, speed = excluded.speed, course = excluded.course, status = excluded.status,
        quality = excluded.quality
    WHERE (excluded.time, excluded.received) > (known.time, known.received)
"""


def newest_of_each(positions: Positions) -> Positions:
    """The row that the map shows of each terminal, sorted by device.

    So sorted, two workers that share terminals for a moment wait for each other instead of locking up.
    """
    timely = np.flatnonzero(positions.quality & QUARANTINED == 0)  # a clock in 2036 must not hide all later reports
    if len(timely) < len(positions):
        positions = positions.take(timely)
    if not len(positions):
        return positions
    order = np.lexsort((positions.received, positions.time, positions.device))
    devices = positions.device[order]
    return positions.take(order[np.flatnonzero(np.append(devices[1:] != devices[:-1], True))])


async def flush_last(conn: Connection, positions: Positions) -> None:
    """Shows each terminal at its newest of these positions, unless a newer one is shown already.

    Outside the hot transaction, every second or two; nothing is rebuilt from it.
    """
    last = newest_of_each(positions)
    if not len(last):
        return
    columns = [
        Bigints(last.device), Times(last.time), Times(last.received),
        Integers(microdegrees(last.lon)), Integers(microdegrees(last.lat)),
        Integers(last.speed), Integers(last.course), Integers(last.status), Integers(last.quality),
    ]  # fmt: skip
    await conn.execute(_FLUSH, columns)


# Who sits on a machine now or is going to, and on which: a terminal that is fitted on Monday may register today.
_SITTING = """
    SELECT DISTINCT ON (device) device, machine FROM binding
    WHERE NOT isempty(during) AND (upper_inf(during) OR upper(during) > now())
    ORDER BY device, lower(during) NULLS FIRST
"""
_TERMINALS = f"""
    SELECT t.phone, t.generation, t.state, CASE WHEN s.device IS NOT NULL THEN coalesce(m.registration_number, '') END,
        coalesce(t.trust, k.trust, 'strict'),
        CASE WHEN t.quarantined_until > now() THEN (extract(epoch FROM t.quarantined_until) * 1000000)::bigint END
    FROM terminal t
    LEFT JOIN ({_SITTING}) s ON s.device = t.device
    LEFT JOIN machine m ON m.id = s.machine
    LEFT JOIN maker_trust k ON k.maker = t.maker
    ORDER BY t.phone
"""  # noqa: S608 - our own query
_VACANT = f"""
    SELECT m.registration_number FROM machine m
    WHERE m.registration_number IS NOT NULL AND NOT EXISTS (
        SELECT FROM ({_SITTING}) s JOIN terminal t USING (device) WHERE s.machine = m.id AND t.state = 'registered')
    ORDER BY 1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Registry:
    """What an edge must know of terminals, of one snapshot.

    terminals  phone, generation of its code, state (registered, revoked), key of the registration number of the machine
               that it sits on or is going to ("" where that has none; None: no machine), trust (strict, legacy),
               quarantined until (int64 us UTC; None: it is not)
    vacant     keys of the registration numbers of machines without a registered terminal

    Keys are `columns.plate.plate_key`, to be compared with that of the plate in 0x0100.
    """

    version: int
    terminals: list[tuple[str, int, str, str | None, str, int | None]]
    vacant: list[str]


async def registry(conn: Connection) -> Registry:
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Right after an import there are no statistics, and a nested loop over 30,000 machines takes 76 s of a core.
        await conn.execute("SET LOCAL enable_nestloop = off")
        version = await (await conn.execute("SELECT version FROM registry")).fetchone()
        terminals = await (await conn.execute(_TERMINALS)).fetchall()
        vacant = await (await conn.execute(_VACANT)).fetchall()
    assert version is not None  # noqa: S101 - the migration made the row
    return Registry(
        version[0],
        [(phone, generation, state, None if number is None else plate_key(number), trust, until)
         for phone, generation, state, number, trust, until in terminals],
        [plate_key(number) for (number,) in vacant],
    )  # fmt: skip
