"""What moves a zone's version from draft to law and out of it (migration 0007 has what the database itself refuses).

Every caller holds the zone by `zones.lock`. Times are statement_timestamp(): the transaction's own began before the lock
was granted, and who held it may have published since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow


async def unpublished(connection: AsyncConnection[DictRow], zone: int, state: str) -> int | None:
    """The newest version that is a draft, or in review."""
    cursor = await connection.execute(
        "SELECT version FROM zone_version WHERE zone = %s AND state = %s AND published_at IS NULL"
        " ORDER BY version DESC LIMIT 1",
        (zone, state),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row["version"])


async def submit(connection: AsyncConnection[DictRow], zone: int, version: int, actor: str) -> None:
    await connection.execute(
        "UPDATE zone_version SET state = 'in_review', submitted_by = %s, submitted_at = statement_timestamp()"
        " WHERE zone = %s AND version = %s",
        (actor, zone, version),
    )


async def withdraw(connection: AsyncConnection[DictRow], zone: int, version: int) -> None:
    """Out of review, a draft again."""
    await connection.execute(
        "UPDATE zone_version SET state = 'draft', submitted_by = NULL, submitted_at = NULL"
        " WHERE zone = %s AND version = %s",
        (zone, version),
    )


async def reject(connection: AsyncConnection[DictRow], zone: int, version: int, reviewer: str, note: str) -> None:
    await connection.execute(
        "UPDATE zone_version SET state = 'rejected', reviewed_by = %s, reviewed_at = statement_timestamp(),"
        " review_note = %s WHERE zone = %s AND version = %s",
        (reviewer, note, zone, version),
    )


async def begins(connection: AsyncConnection[DictRow], zone: int, version: int) -> datetime:
    """When the version would begin if it were published now.

    The first one may reach back as far as it says, and where it says nothing to the beginning of this day in China, as
    a notice that names no date does (自发布之日起). A later one begins now at the earliest: what was judged by its
    predecessor stays so (a correction of the past is a re-judgement, never a silent rewrite).
    """
    cursor = await connection.execute(
        """
        SELECT CASE WHEN EXISTS (
                SELECT FROM zone_version old WHERE old.zone = v.zone AND old.published_at IS NOT NULL
                    AND (old.valid_to IS NULL OR old.valid_to > old.valid_from))
            THEN greatest(v.valid_from, statement_timestamp())
            ELSE coalesce(v.valid_from, date_trunc('day', statement_timestamp(), 'Asia/Shanghai'))
        END AS at
        FROM zone_version v WHERE v.zone = %s AND v.version = %s
        """,
        (zone, version),
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - the caller has it
    at: datetime = row["at"]
    return at


async def publish(
    connection: AsyncConnection[DictRow],
    zone: int,
    version: int,
    at: datetime,
    *,
    reviewer: str | None = None,
    note: str | None = None,
) -> list[int]:
    """Makes the version law from ``at`` (see `begins`) on, until its own end. Answers with the versions that it ended.

    What was law from then on gives way: its predecessor ends there, and one that was to begin later never does, unless
    that begins when this one is over. Without ``reviewer`` it is published at once, and the row says so (`direct`).
    """
    values = {"zone": zone, "version": version, "at": at, "reviewer": reviewer, "note": note}
    cursor = await connection.execute(
        """
        UPDATE zone_version old SET valid_to = greatest(old.valid_from, %(at)s),
            state = CASE WHEN %(at)s > statement_timestamp() AND old.valid_from < %(at)s THEN old.state
                ELSE 'retired' END
        FROM zone_version next
        WHERE next.zone = %(zone)s AND next.version = %(version)s AND old.zone = next.zone
            AND old.published_at IS NOT NULL
            AND (old.valid_to IS NULL OR old.valid_to > greatest(old.valid_from, %(at)s))
            AND (next.valid_to IS NULL OR old.valid_from < next.valid_to)
        RETURNING old.version
        """,
        values,
    )
    ended = sorted(int(row["version"]) for row in await cursor.fetchall())
    await connection.execute(
        """
        UPDATE zone_version SET valid_from = %(at)s, published_at = statement_timestamp(), reviewed_by = %(reviewer)s,
            reviewed_at = CASE WHEN %(reviewer)s::text IS NOT NULL THEN statement_timestamp() END,
            review_note = %(note)s,
            state = CASE WHEN %(at)s > statement_timestamp() THEN 'approved' ELSE 'active' END
        WHERE zone = %(zone)s AND version = %(version)s
        """,
        values,
    )
    return ended


async def drop(connection: AsyncConnection[DictRow], zone: int, states: list[str]) -> list[int]:
    """Retires versions that were never published and are in one of these states. Answers with them."""
    cursor = await connection.execute(
        "UPDATE zone_version SET state = 'retired', valid_to = valid_from"
        " WHERE zone = %s AND state = ANY(%s) AND published_at IS NULL RETURNING version",
        (zone, states),
    )
    return sorted(int(row["version"]) for row in await cursor.fetchall())


async def retire(connection: AsyncConnection[DictRow], zone: int) -> list[int]:
    """Ends what is law now, and what was to be. Nothing is deleted: visits name their version. Answers with them."""
    cursor = await connection.execute(
        "UPDATE zone_version SET state = 'retired', valid_to = greatest(valid_from, statement_timestamp())"
        " WHERE zone = %s AND published_at IS NOT NULL"
        " AND (valid_to IS NULL OR valid_to > greatest(valid_from, statement_timestamp())) RETURNING version",
        (zone,),
    )
    return sorted(int(row["version"]) for row in await cursor.fetchall())
