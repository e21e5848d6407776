"""Terminals: those of the registry, those that were refused and wait, whose word is taken, who is held back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

# One shape for both: what a terminal's row says goes before what it said of itself when it was refused.
_SELECT = """
SELECT t.device, coalesce(t.phone, r.phone) AS phone, coalesce(t.state, 'refused') AS state, t.protocol,
       coalesce(t.edition, r.edition) AS edition, coalesce(t.maker, r.maker) AS maker,
       coalesce(t.model, r.model) AS model, coalesce(t.terminal_id, r.terminal_id) AS terminal_id,
       t.source, t.enrolled_at, t.generation, t.quarantined_until, l.received AS last_seen_at,
       coalesce(t.trust, k.trust, 'strict') AS trust,
       CASE WHEN t.trust IS NOT NULL THEN 'terminal' WHEN k.trust IS NOT NULL THEN 'maker' ELSE 'default' END AS trust_of,
       r.result, r.plate, r.plate_colour, r.province, r.city, r.header_phone, r.attempts, r.first_seen, r.last_seen,
       r.dismissed_at, m.id AS machine_id, m.registration_number, m.machine_type, m.emission_stage
"""
_ENROLLED = "FROM terminal t LEFT JOIN terminal_refused r ON r.phone = t.phone"
_STRANGERS = "FROM terminal_refused r LEFT JOIN terminal t ON t.phone = r.phone"
_JOINED = """
LEFT JOIN maker_trust k ON k.maker = coalesce(t.maker, r.maker)
LEFT JOIN terminal_last l ON l.terminal = t.device
LEFT JOIN binding b ON b.device = t.device AND b.during @> now()
LEFT JOIN machine m ON m.id = b.machine
"""
_WANTED = """
  AND (%(wanted)s::text IS NULL OR strpos({phone}, %(wanted)s) > 0) AND (%(after)s::text IS NULL OR {phone} > %(after)s)
ORDER BY {phone} LIMIT %(limit)s
"""
_SITS = "SELECT FROM binding WHERE device = t.device AND during @> now()"
_WAITING = "t.device IS NULL AND r.dismissed_at IS NULL"
# state of a list -> conditions on terminals of the registry, on strangers; None: there are none of these in it
_LISTS: dict[str | None, tuple[str | None, str | None]] = {
    None: ("true", None),
    "bound": ("m.id IS NOT NULL", None),
    "unbound": (f"t.state = 'registered' AND NOT EXISTS ({_SITS})", _WAITING),
    "refused": (None, _WAITING),
    "dismissed": (None, "t.device IS NULL AND r.dismissed_at IS NOT NULL"),
    "quarantined": ("t.quarantined_until > now()", None),
}
STATES = tuple(state for state in _LISTS if state is not None)


def _list(enrolled: str | None, strangers: str | None) -> str:
    """Each kind is cut by its own index before they are merged: neither is read whole for a page."""
    parts = []
    if enrolled is not None:
        parts.append(f"({_SELECT} {_ENROLLED} {_JOINED} WHERE {enrolled} {_WANTED.format(phone='t.phone')})")
    if strangers is not None:
        parts.append(f"({_SELECT} {_STRANGERS} {_JOINED} WHERE {strangers} {_WANTED.format(phone='r.phone')})")
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS both_ ORDER BY phone LIMIT %(limit)s"  # noqa: S608 - our own text


_PAGES = {state: _list(*conditions) for state, conditions in _LISTS.items()}


async def page(
    connection: AsyncConnection[DictRow], *, state: str | None, wanted: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """By phone. ``state``: one of STATES, or None for the whole registry; ``wanted``: part of a phone."""
    cursor = await connection.execute(_PAGES[state], {"wanted": wanted, "after": after, "limit": limit})
    return await cursor.fetchall()


async def find(connection: AsyncConnection[DictRow], phone: str) -> dict[str, Any] | None:
    """A terminal of the registry."""
    return await (await connection.execute(f"{_SELECT} {_ENROLLED} {_JOINED} WHERE t.phone = %s", (phone,))).fetchone()


async def enrol(connection: AsyncConnection[DictRow], phone: str, fields: dict[str, Any]) -> bool:
    """A terminal of the registry from now on; false where it is one already.

    What it said of itself when it was refused is kept, where ``fields`` says nothing else.
    """
    cursor = await connection.execute(
        """
        INSERT INTO terminal (device, phone, edition, maker, model, terminal_id, trust)
        SELECT %(device)s, %(phone)s, coalesce(%(edition)s, r.edition), coalesce(%(maker)s, r.maker),
               coalesce(%(model)s, r.model), coalesce(%(terminal_id)s, r.terminal_id), %(trust)s
        FROM (SELECT 1) AS one LEFT JOIN terminal_refused r ON r.phone = %(phone)s
        ON CONFLICT DO NOTHING
        """,
        {
            "device": device_of(phone),
            "phone": phone,
            **{name: fields.get(name) for name in ("edition", "maker", "model", "terminal_id", "trust")},
        },
    )
    await connection.execute("DELETE FROM terminal_refused WHERE phone = %s", (phone,))
    return cursor.rowcount == 1


async def was_refused(connection: AsyncConnection[DictRow], phone: str) -> bool:
    cursor = await connection.execute("SELECT 1 FROM terminal_refused WHERE phone = %s", (phone,))
    return await cursor.fetchone() is not None


async def dismiss(connection: AsyncConnection[DictRow], phone: str) -> bool:
    """Takes a refused terminal out of the queue for good; false where it is not in it."""
    cursor = await connection.execute("UPDATE terminal_refused SET dismissed_at = now() WHERE phone = %s", (phone,))
    return cursor.rowcount == 1


async def dropped(connection: AsyncConnection[DictRow]) -> int:
    """How many refused terminals the bounded queue has forgotten."""
    row = await (await connection.execute("SELECT dropped FROM enrolment_queue")).fetchone()
    return int(row["dropped"]) if row else 0


async def change(connection: AsyncConnection[DictRow], phone: str, fields: Mapping[str, Any]) -> bool:
    """Sets state and trust where they are given (trust None: as its maker's); false where there is no such terminal."""
    cursor = await connection.execute(
        "UPDATE terminal SET state = coalesce(%(state)s, state),"
        " trust = CASE WHEN %(set_trust)s THEN %(trust)s ELSE trust END WHERE phone = %(phone)s",
        {"phone": phone, "state": fields.get("state"), "set_trust": "trust" in fields, "trust": fields.get("trust")},
    )
    return cursor.rowcount == 1


async def revoke(connection: AsyncConnection[DictRow], phone: str) -> int | None:
    """The next generation of its code: the old one is good no more. None where there is no such terminal."""
    cursor = await connection.execute(
        "UPDATE terminal SET generation = generation + 1 WHERE phone = %s RETURNING generation", (phone,)
    )
    row = await cursor.fetchone()
    return None if row is None else int(row["generation"])


async def release(connection: AsyncConnection[DictRow], phone: str) -> bool:
    """Ends a quarantine; what edges report of before now sets none any more. False where there is none."""
    cursor = await connection.execute(
        "UPDATE terminal SET quarantined_until = NULL, released_at = now() WHERE phone = %s AND quarantined_until > now()",
        (phone,),
    )
    return cursor.rowcount == 1
