"""Machines of the registry, each with the terminal that sits on it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

FIELDS = (
    "registration_number", "machine_type", "registration_type", "emission_stage", "power_kw", "energy", "district",
    "owner_name", "owner_phone", "brand", "model",
)  # fmt: skip

_SELECT = """
SELECT m.id, m.registration_number, t.phone AS terminal_phone, m.machine_type, m.registration_type, m.emission_stage,
       m.power_kw, m.energy, m.district, m.owner_name, m.owner_phone, m.brand, m.model, m.created_at, m.updated_at
FROM machine m
LEFT JOIN LATERAL (
    SELECT device FROM binding b WHERE b.machine = m.id AND b.during @> now() ORDER BY b.id DESC LIMIT 1
) b ON true
LEFT JOIN terminal t ON t.device = b.device
"""


async def page(
    connection: AsyncConnection[DictRow], *, wanted: str | None, district: str | None, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """``wanted``: part of a registration number, terminal phone or owner's name."""
    cursor = await connection.execute(
        _SELECT
        + """
        WHERE (%(after)s::bigint IS NULL OR m.id > %(after)s)
          AND (%(district)s::text IS NULL OR m.district = %(district)s)
          AND (%(wanted)s::text IS NULL OR strpos(upper(m.registration_number), upper(%(wanted)s)) > 0
               OR strpos(t.phone, %(wanted)s) > 0 OR strpos(m.owner_name, %(wanted)s) > 0)
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


async def create(connection: AsyncConnection[DictRow], fields: Mapping[str, Any]) -> int:
    """Raises psycopg.errors.UniqueViolation where the registration number is taken."""
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


async def update(connection: AsyncConnection[DictRow], machine: int, fields: Mapping[str, Any]) -> bool:
    """Sets the fields that are given; false where there is no such machine."""
    names = [name for name in FIELDS if name in fields]
    assignments: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in names
    ]
    assignments.append(sql.SQL("updated_at = now()"))
    cursor = await connection.execute(
        sql.SQL("UPDATE machine SET {} WHERE id = {}").format(sql.SQL(", ").join(assignments), sql.Placeholder("id")),
        {"id": machine, **{name: fields[name] for name in names}},
    )
    return cursor.rowcount == 1
