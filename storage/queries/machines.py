"""Machines of the registry, each as it is now and with the terminal that sits on it.

What verdicts are made from is dated (`machine_version`): a machine is shown as the version in force says, so a change of a
later date shows when its date has come, whether `machine` has been settled by then or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

DATED = (
    "registration_number", "machine_type", "registration_type", "emission_stage", "power_kw", "energy", "smoke_class",
    "owner_name", "project", "purpose", "district", "status",
)  # fmt: skip
"""What a verdict may ask about."""

FIELDS = (*DATED, "smoke_tested_on", "owner_phone", "brand", "model")

# `cancelled_at`: since when the versions say so without a break; null from ever.
_SELECT = f"""
SELECT m.id, {", ".join(f"v.{name}" for name in DATED)}, t.phone AS terminal_phone, m.smoke_tested_on, m.owner_phone,
       m.brand, m.model, v.source, nullif(v.valid_from, '-infinity') AS effective_from,
       CASE WHEN v.status = 'cancelled' THEN (
           SELECT nullif(min(c.valid_from), '-infinity') FROM machine_version c
           WHERE c.machine = m.id AND c.valid_from <= v.valid_from AND c.valid_from > ALL (
               SELECT u.valid_from FROM machine_version u
               WHERE u.machine = m.id AND u.valid_from <= v.valid_from AND u.status <> 'cancelled')
       ) END AS cancelled_at,
       (SELECT min(n.valid_from) FROM machine_version n WHERE n.machine = m.id AND n.valid_from > statement_timestamp())
           AS changes_at,
       m.created_at, m.updated_at
FROM machine m
CROSS JOIN LATERAL (
    SELECT * FROM machine_version v WHERE v.machine = m.id AND v.valid_from <= statement_timestamp()
    ORDER BY v.valid_from DESC LIMIT 1
) v
LEFT JOIN LATERAL (
    SELECT device FROM binding b WHERE b.machine = m.id AND b.during @> now() ORDER BY b.id DESC LIMIT 1
) b ON true
LEFT JOIN terminal t ON t.device = b.device
"""  # noqa: S608 - constants of this package only


async def page(
    connection: AsyncConnection[DictRow], *, wanted: str | None, district: str | None, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """``wanted``: part of a registration number, terminal phone or owner's name."""
    cursor = await connection.execute(
        _SELECT
        + """
        WHERE (%(after)s::bigint IS NULL OR m.id > %(after)s)
          AND (%(district)s::text IS NULL OR v.district = %(district)s)
          AND (%(wanted)s::text IS NULL OR strpos(upper(v.registration_number), upper(%(wanted)s)) > 0
               OR strpos(t.phone, %(wanted)s) > 0 OR strpos(v.owner_name, %(wanted)s) > 0)
        ORDER BY m.id LIMIT %(limit)s
        """,
        {"wanted": wanted, "district": district, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def find(connection: AsyncConnection[DictRow], machine: int) -> dict[str, Any] | None:
    return await (await connection.execute(_SELECT + " WHERE m.id = %s", (machine,))).fetchone()


async def numbered(connection: AsyncConnection[DictRow], registration_number: str) -> int | None:
    cursor = await connection.execute("SELECT id FROM machine WHERE registration_number = %s", (registration_number,))
    row = await cursor.fetchone()
    return None if row is None else int(row["id"])


async def numbered_any(connection: AsyncConnection[DictRow], numbers: list[str]) -> list[dict[str, Any]]:
    """The machines with one of these numbers."""
    return await (await connection.execute(_SELECT + " WHERE m.registration_number = ANY(%s)", (numbers,))).fetchall()


async def versions(connection: AsyncConnection[DictRow], machine: int) -> list[dict[str, Any]]:
    """Newest first, those of a later date too; the eldest has no effective_from: it counts from ever. `sets`: what changed."""
    cursor = await connection.execute(
        f"SELECT nullif(valid_from, '-infinity') AS effective_from, {', '.join(DATED)}, sets, source, recorded_by, recorded_at"  # noqa: S608
        " FROM machine_version WHERE machine = %s ORDER BY valid_from DESC",
        (machine,),
    )
    return await cursor.fetchall()


async def sign(connection: AsyncConnection[DictRow], actor: str, source: str | None = None) -> None:
    """Says who writes the versions of this transaction, and on what ground (None: declared)."""
    await connection.execute(
        "SELECT set_config('lezgate.actor', %s, true), set_config('lezgate.source', %s, true)", (actor, source or "")
    )


async def lock(connection: AsyncConnection[DictRow], machine: int, phone: str | None = None) -> bool:
    """Holds a machine, and before it the terminal that is to sit on it, until the transaction ends; false: no machine.

    Workers and bindings lock in this order: terminal, machine, rules, registry.
    """
    await connection.execute("SELECT FROM terminal WHERE phone = %s FOR UPDATE", (phone,))
    cursor = await connection.execute("SELECT 1 FROM machine WHERE id = %s FOR UPDATE", (machine,))
    return await cursor.fetchone() is not None


async def create(connection: AsyncConnection[DictRow], fields: Mapping[str, Any]) -> int:
    """Its first version counts from ever. Raises psycopg.errors.UniqueViolation where the registration number is taken."""
    names = [name for name in FIELDS if fields.get(name) is not None]
    cursor = await connection.execute(
        sql.SQL("INSERT INTO machine ({}) VALUES ({}) RETURNING id").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(map(sql.Placeholder, names))
        ),
        {name: fields[name] for name in names},
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - INSERT ... RETURNING
    return int(row["id"])


async def update(
    connection: AsyncConnection[DictRow],
    machine: int,
    fields: Mapping[str, Any],
    effective_from: datetime | None = None,
    *,
    always: bool = False,
) -> None:
    """Sets the fields that are given, the dated ones from ``effective_from`` on (None: now), of a machine that is held.

    Until when: until a version that changed that field itself. ``always``: a version is recorded even where all is so
    already. Raises psycopg.errors.UniqueViolation where the registration number is taken.
    """
    dated = {name: fields[name] for name in DATED if name in fields}
    if dated:
        await connection.execute(
            "SELECT record_machine(%s, %s, %s, %s)", (machine, Jsonb(dated), effective_from, always)
        )
        await connection.execute("SELECT settle_machines(ARRAY[%s::bigint])", (machine,))
    names = [name for name in FIELDS if name in fields and name not in DATED]
    assignments: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in names
    ]
    assignments.append(sql.SQL("updated_at = now()"))
    await connection.execute(
        sql.SQL("UPDATE machine SET {} WHERE id = {}").format(sql.SQL(", ").join(assignments), sql.Placeholder("id")),
        {"id": machine, **{name: fields[name] for name in names}},
    )
