"""Alarms and what was done about them. `alarm_view` holds each alarm's whole document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow


async def page(
    connection: AsyncConnection[DictRow],
    *,
    scope: Collection[str] | None,
    states: list[str] | None,
    kinds: list[str] | None,
    district: str | None,
    since: datetime | None,
    before: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Newest first; ``district`` takes what lies below it along.

    A merged alarm lives on in another, so it is of no state but closed, whatever staff had done about it.
    """
    cursor = await connection.execute(
        """
        WITH RECURSIVE below (code) AS (
            SELECT %(district)s::text
            UNION
            SELECT d.code FROM district d JOIN below ON d.parent = below.code
        )
        SELECT id, document FROM alarm_view
        WHERE (%(scope)s::text[] IS NULL OR district = ANY(%(scope)s) OR copied_to = ANY(%(scope)s))
          AND (%(states)s::text[] IS NULL OR (state = ANY(%(states)s) AND (merged_into IS NULL OR state = 'closed')))
          AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
          AND (%(district)s::text IS NULL OR district IN (SELECT code FROM below))
          AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
          AND (%(before)s::bigint IS NULL OR id < %(before)s)
        ORDER BY id DESC LIMIT %(limit)s
        """,
        {
            "scope": None if scope is None else list(scope),
            "states": states,
            "kinds": kinds,
            "district": district,
            "since": since,
            "before": before,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def document(connection: AsyncConnection[DictRow], alarm: int) -> dict[str, Any] | None:
    row = await (await connection.execute("SELECT document FROM alarm_view WHERE id = %s", (alarm,))).fetchone()
    return None if row is None else dict(row["document"])


async def actions(connection: AsyncConnection[DictRow], alarm: int) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        'SELECT id, action, "from", "to", actor, note, payload, at FROM alarm_action WHERE alarm = %s ORDER BY id',
        (alarm,),
    )
    return await cursor.fetchall()


async def lock(connection: AsyncConnection[DictRow], alarm: int) -> dict[str, Any] | None:
    """The alarm's state, districts and merged_into, held against other actions until the transaction ends."""
    cursor = await connection.execute(
        "SELECT id, state, district, copied_to, merged_into FROM alarm WHERE id = %s FOR UPDATE", (alarm,)
    )
    return await cursor.fetchone()


async def act(
    connection: AsyncConnection[DictRow],
    alarm: int,
    *,
    action: str,
    before: str,
    after: str,
    actor: str,
    note: str | None,
    payload: dict[str, Any],
    district: str,
) -> dict[str, Any]:
    """Appends the action and moves the alarm."""
    cursor = await connection.execute(
        'INSERT INTO alarm_action (alarm, action, "from", "to", actor, note, payload)'
        ' VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id, action, "from", "to", actor, note, payload, at',
        (alarm, action, before, after, actor, note, Jsonb(payload)),
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    await connection.execute("UPDATE alarm SET state = %s, district = %s WHERE id = %s", (after, district, alarm))
    return row


async def machines_in(connection: AsyncConnection[DictRow], scope: Collection[str]) -> list[int]:
    """The devices that have an alarm of these districts, or one that they have a copy of: what a township may follow."""
    cursor = await connection.execute(
        "SELECT device FROM alarm WHERE district = ANY(%(scope)s)"
        " UNION SELECT device FROM alarm WHERE copied_to = ANY(%(scope)s)",
        {"scope": list(scope)},
    )
    return [int(row["device"]) for row in await cursor.fetchall()]


async def announce(connection: AsyncConnection[DictRow], alarm: int) -> None:
    """An `alarm` event with the alarm as it is now. Last in the transaction: it holds the events' lock to the commit."""
    await connection.execute("SELECT emit_alarms(ARRAY[%s]::bigint[])", (alarm,))


async def machine_is_in(connection: AsyncConnection[DictRow], machine: int, scope: Collection[str]) -> bool:
    """Whether the machine has an alarm of these districts, or one that they have a copy of."""
    cursor = await connection.execute(
        "SELECT 1 FROM alarm WHERE machine = %(machine)s"
        " AND (district = ANY(%(scope)s) OR copied_to = ANY(%(scope)s)) LIMIT 1",
        {"machine": machine, "scope": list(scope)},
    )
    return await cursor.fetchone() is not None
