"""Terminals, those that were refused, and which machine each sits on, when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_SELECT = """
SELECT t.device, t.phone, t.state, t.protocol, t.edition, t.maker, t.model, t.terminal_id, t.source, t.enrolled_at,
       l.received AS last_seen_at, m.id AS machine_id, m.registration_number, m.machine_type, m.emission_stage
FROM terminal t
LEFT JOIN terminal_last l ON l.terminal = t.device
LEFT JOIN binding b ON b.device = t.device AND b.during @> now()
LEFT JOIN machine m ON m.id = b.machine
"""


async def page(
    connection: AsyncConnection[DictRow], *, bound: bool | None, wanted: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        _SELECT
        + """
        WHERE (%(bound)s::bool IS NULL OR (m.id IS NOT NULL) = %(bound)s)
          AND (%(wanted)s::text IS NULL OR strpos(t.phone, %(wanted)s) > 0)
          AND (%(after)s::text IS NULL OR t.phone > %(after)s)
        ORDER BY t.phone LIMIT %(limit)s
        """,
        {"bound": bound, "wanted": wanted, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def refused(
    connection: AsyncConnection[DictRow], *, wanted: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        "SELECT phone, edition, maker, model, terminal_id, plate, attempts, first_seen, last_seen FROM terminal_refused"
        " WHERE (%(wanted)s::text IS NULL OR strpos(phone, %(wanted)s) > 0)"
        " AND (%(after)s::text IS NULL OR phone > %(after)s) ORDER BY phone LIMIT %(limit)s",
        {"wanted": wanted, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def find(connection: AsyncConnection[DictRow], phone: str) -> dict[str, Any] | None:
    return await (await connection.execute(_SELECT + " WHERE t.phone = %s", (phone,))).fetchone()


async def enrol(connection: AsyncConnection[DictRow], phone: str, fields: dict[str, Any]) -> bool:
    """A terminal that may register from now on; false where it is enrolled already.

    What it said of itself when it was refused is kept, where ``fields`` says nothing else.
    """
    cursor = await connection.execute(
        """
        INSERT INTO terminal (device, phone, edition, maker, model, terminal_id)
        SELECT %(device)s, %(phone)s, coalesce(%(edition)s, r.edition), coalesce(%(maker)s, r.maker),
               coalesce(%(model)s, r.model), coalesce(%(terminal_id)s, r.terminal_id)
        FROM (SELECT 1) AS one LEFT JOIN terminal_refused r ON r.phone = %(phone)s
        ON CONFLICT DO NOTHING
        """,
        {
            "device": device_of(phone),
            "phone": phone,
            **{name: fields.get(name) for name in ("edition", "maker", "model", "terminal_id")},
        },
    )
    await connection.execute("DELETE FROM terminal_refused WHERE phone = %s", (phone,))
    return cursor.rowcount == 1


async def was_refused(connection: AsyncConnection[DictRow], phone: str) -> bool:
    cursor = await connection.execute("SELECT 1 FROM terminal_refused WHERE phone = %s", (phone,))
    return await cursor.fetchone() is not None


async def bindings(connection: AsyncConnection[DictRow], device: int) -> list[dict[str, Any]]:
    """Newest first; None is an open end."""
    cursor = await connection.execute(
        'SELECT b.id, b.machine AS machine_id, m.registration_number, lower(b.during) AS "from", upper(b.during) AS "to"'
        " FROM binding b JOIN machine m ON m.id = b.machine WHERE b.device = %s AND NOT isempty(b.during)"
        " ORDER BY lower(b.during) DESC NULLS LAST",
        (device,),
    )
    return await cursor.fetchall()


async def bind(connection: AsyncConnection[DictRow], device: int, machine: int, since: datetime | None) -> str | None:
    """Puts the terminal on the machine and ends what each of them had, there and then.

    Without ``since``: now, or from ever where the terminal never sat on anything, so that what it reported before
    anybody registered it is the machine's. Answers with what forbids it, or None.
    """
    await connection.execute("SELECT FROM terminal WHERE device = %s FOR UPDATE", (device,))
    await connection.execute("SELECT FROM machine WHERE id = %s FOR UPDATE", (machine,))
    cursor = await connection.execute(
        """
        SELECT count(*) FILTER (WHERE device = %(device)s) AS own,
               bool_or(device = %(device)s AND machine = %(machine)s AND upper_inf(during)
                       AND (%(since)s::timestamptz IS NULL OR during @> %(since)s)) AS same,
               bool_or(%(since)s::timestamptz <= lower(during)
                       OR (device = %(device)s AND NOT upper_inf(during) AND %(since)s < upper(during))) AS past
        FROM binding WHERE (device = %(device)s OR (machine = %(machine)s AND upper_inf(during)))
          AND NOT isempty(during)
        """,
        {"device": device, "machine": machine, "since": since},
    )
    known = await cursor.fetchone()
    assert known is not None  # noqa: S101 - an aggregate always has a row
    if known["same"]:
        return None
    if known["past"]:
        return "past"
    await connection.execute(
        "UPDATE binding SET during = during * tstzrange(NULL, coalesce(%(since)s, now()))"
        " WHERE (device = %(device)s OR machine = %(machine)s) AND during && tstzrange(coalesce(%(since)s, now()), NULL)",
        {"device": device, "machine": machine, "since": since},
    )
    start = "%(since)s" if since is not None or not known["own"] else "now()"
    await connection.execute(
        f"INSERT INTO binding (device, machine, during) VALUES (%(device)s, %(machine)s, tstzrange({start}, NULL))",  # noqa: S608
        {"device": device, "machine": machine, "since": since},
    )
    return None
