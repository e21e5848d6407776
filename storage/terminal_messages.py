"""What terminals say besides positions: the `message` records of a batch become rows, each once, and not too many.

A record is what an edge appended, with its body read by the worker (storage knows no protocol):

    event      "message"
    device     int, columns.identity.device_of
    time       receipt, int64 us UTC
    message, serial   of the packet, unsigned 16 bits; where the message came in parts, the serial of its last to come
    edition    2011, 2013, 2019
    body       bytes, as sent
    said       the body's values as JSON text that PostgreSQL stores (no U+0000), or None
    reason     why there are none, or None

A terminal that missed the acknowledgement sends the same message again: the same id, serial and body. Nothing else tells
that from a new message, and a serial comes again after 65,536 others or after a restart. So a like message is the same
one only within RESENT of the first. That is looked up before it is inserted, and no constraint: the lock of the terminal's
partition, and the offset's compare-and-set before, keep everybody else from inserting meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.arrays import Bigints, Times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

RESENT = timedelta(minutes=10)
"""Waits grow by T(n+1) = T(n) * (n+1) (JT/T 808): one minute and three resends are nine minutes. Serials of a terminal
that sends ten messages a second have not come round by then. Longer would make one of two equal messages of a terminal
that restarts in between; too short only shows a message twice."""
MOST_KEPT = 1000
"""Messages of one kind of one terminal: over a year of a driver's two a day, the last 16 hours of data passed through
every minute. Per kind, so that who talks much of one thing does not push out the others."""

_INSERT = """
    INSERT INTO terminal_message (device, message, serial, received, edition, body, said, reason)
    SELECT device, message, serial, received, edition, body, said, reason
    FROM unnest(%s, %s::int[], %s::int[], %s, %s::text[], %s::bytea[], %s::text[]::jsonb[], %s::text[])
        AS r (device, message, serial, received, edition, body, said, reason)
    WHERE NOT EXISTS (
        SELECT FROM terminal_message k
        WHERE k.device = r.device AND k.message = r.message AND k.serial = r.serial AND k.body = r.body
          AND k.received > r.received - %s AND k.received < r.received + %s)
"""
_NEWEST = "SELECT coalesce(max(id), 0) FROM terminal_message"
_LOCK = "SELECT pg_try_advisory_xact_lock(%s)"
_LOCK_KEY = 808_002
_TRIM = """
    WITH kind AS (SELECT DISTINCT device, message FROM terminal_message WHERE id > %(since)s)
    DELETE FROM terminal_message m USING kind CROSS JOIN LATERAL (
        SELECT received, id FROM terminal_message k WHERE k.device = kind.device AND k.message = kind.message
        ORDER BY received DESC, id DESC OFFSET %(most)s - 1 LIMIT 1) AS oldest_kept
    WHERE m.device = kind.device AND m.message = kind.message
      AND (m.received, m.id) < (oldest_kept.received, oldest_kept.id)
"""


def rows(sessions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records that are messages, in the order in which they came."""
    return [record for record in sessions if record.get("event") == "message"]


async def write(conn: psycopg.AsyncConnection[Any], found: list[Mapping[str, Any]]) -> None:
    """Inside the caller's transaction, in the session that holds the lock of the terminals' partition."""
    for unlike in _rounds(found):
        await conn.execute(
            _INSERT,
            [
                Bigints(np.array(_column(unlike, "device"), np.int64)), _column(unlike, "message"),
                _column(unlike, "serial"), Times(np.array(_column(unlike, "time"), np.int64)),
                _column(unlike, "edition"), _column(unlike, "body"), _column(unlike, "said"),
                _column(unlike, "reason"), RESENT, RESENT,
            ],
        )  # fmt: skip


async def trim(conn: psycopg.AsyncConnection[Any], since: int) -> int | None:
    """Deletes what is beyond MOST_KEPT of every kind that has a row with an id above ``since``; the newest id.

    Of several workers one at a time does it, the others get None. conn: in autocommit mode.
    """
    async with conn.transaction():
        row = await (await conn.execute(_LOCK, [_LOCK_KEY])).fetchone()
        if row is None or not row[0]:
            return None
        newest = await (await conn.execute(_NEWEST)).fetchone()
        await conn.execute(_TRIM, {"since": since, "most": MOST_KEPT})
    return None if newest is None else int(newest[0])


def _rounds(found: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Like messages one after the other, since a statement does not see its own rows; nearly always that is one round."""
    rounds: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    seen: Counter[tuple[Any, ...]] = Counter()
    for record in found:
        key = (record["device"], record["message"], record["serial"], record["body"])
        rounds[seen[key]].append(record)
        seen[key] += 1
    return list(rounds.values())


def _column(found: list[Mapping[str, Any]], name: str) -> list[Any]:
    return [record[name] for record in found]
