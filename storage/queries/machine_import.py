"""Takes a table of machines in: one COPY and a handful of statements, whatever its length, in the caller's transaction.

A known registration number is that machine: what the table says of it is set, what it leaves blank stays. A terminal
that a row names sits on that machine from now on, or from ever where it never sat on anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of
from storage.queries.machines import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_COLUMNS = (*FIELDS, "phone", "device")

_STAGING = """
CREATE TEMP TABLE incoming (
    registration_number text PRIMARY KEY, machine_type text, registration_type text, emission_stage text,
    power_kw real, energy text, district text, owner_name text, owner_phone text, brand text, model text,
    phone text, device bigint, machine bigint
) ON COMMIT DROP
"""

_UPDATE = f"""
UPDATE machine m SET
    {", ".join(f"{name} = coalesce(i.{name}, m.{name})" for name in FIELDS[1:])}, updated_at = now()
FROM incoming i
WHERE m.registration_number = i.registration_number
  AND ({", ".join(f"coalesce(i.{name}, m.{name})" for name in FIELDS[1:])})
      IS DISTINCT FROM ({", ".join(f"m.{name}" for name in FIELDS[1:])})
"""  # noqa: S608 - constants of this package only

_INSERT = f"""
INSERT INTO machine ({", ".join(FIELDS)})
SELECT registration_number, machine_type, coalesce(registration_type, 'machinery'), coalesce(emission_stage, 'unknown'),
       power_kw, energy, district, owner_name, owner_phone, brand, model
FROM incoming i WHERE NOT EXISTS (SELECT FROM machine m WHERE m.registration_number = i.registration_number)
"""  # noqa: S608

_REMEMBER = "UPDATE incoming i SET machine = m.id FROM machine m WHERE m.registration_number = i.registration_number"

_ENROL = """
INSERT INTO terminal (device, phone, edition, maker, model, terminal_id)
SELECT i.device, i.phone, r.edition, r.maker, r.model, r.terminal_id
FROM incoming i LEFT JOIN terminal_refused r ON r.phone = i.phone WHERE i.phone IS NOT NULL
ON CONFLICT DO NOTHING
"""

_NO_LONGER_REFUSED = "DELETE FROM terminal_refused WHERE phone IN (SELECT phone FROM incoming)"

# What is as the table says stays untouched; the rest of each terminal and machine ends now.
_SETTLED = """
UPDATE incoming i SET device = NULL FROM binding b
WHERE b.device = i.device AND b.machine = i.machine AND b.during @> now() AND upper_inf(b.during)
"""
# Two statements: joined by OR, every row would meet every binding.
_END_TERMINALS = """
UPDATE binding b SET during = b.during * tstzrange(NULL, now())
FROM incoming i WHERE b.device = i.device AND b.during && tstzrange(now(), NULL)
"""
_END_MACHINES = """
UPDATE binding b SET during = b.during * tstzrange(NULL, now())
FROM incoming i WHERE b.machine = i.machine AND i.device IS NOT NULL AND b.during && tstzrange(now(), NULL)
"""
# The terminals that ever sat on something as one table: asked for row by row, every row would read all bindings.
_BIND = """
INSERT INTO binding (device, machine, during)
SELECT t.device, i.machine, tstzrange(CASE WHEN had.device IS NOT NULL THEN now() END, NULL)
FROM incoming i JOIN terminal t ON t.device = i.device AND t.phone = i.phone
LEFT JOIN (SELECT DISTINCT device FROM binding) had ON had.device = t.device
"""


async def take_in(connection: AsyncConnection[DictRow], rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Rows as `admin_api.machine_import` reads them: numbers and phones each at most once. Answers with counts."""
    await connection.execute(_STAGING)
    async with connection.cursor() as cursor:
        async with cursor.copy(f"COPY incoming ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
            total = 0
            for row in rows:
                phone = row.get("terminal_phone")
                await copy.write_row((*map(row.get, FIELDS), phone, device_of(phone) if phone else None))
                total += 1
        await cursor.execute("ANALYZE incoming")
        updated = (await cursor.execute(_UPDATE)).rowcount
        created = (await cursor.execute(_INSERT)).rowcount
        await cursor.execute(_REMEMBER)
        enrolled = (await cursor.execute(_ENROL)).rowcount
        await cursor.execute(_NO_LONGER_REFUSED)
        await cursor.execute(_SETTLED)
        await cursor.execute(_END_TERMINALS)
        await cursor.execute(_END_MACHINES)
        bound = (await cursor.execute(_BIND)).rowcount
    return {
        "rows": total,
        "created": created,
        "updated": updated,
        "unchanged": total - created - updated,
        "terminals_enrolled": enrolled,
        "terminals_bound": bound,
    }
