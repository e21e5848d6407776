"""Takes a table of machines in: one COPY and a handful of statements, whatever its length, in the caller's transaction.

A known registration number is that machine: what the table says of it is set, from the row's `effective_from` on or from
now, and what it leaves blank stays. What is said of a new one counts from ever. A terminal that a row names sits on that
machine from now on, or from ever where it never sat on anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of
from storage.queries.machines import DATED, FIELDS, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from psycopg import AsyncConnection
    from psycopg.rows import DictRow

_COLUMNS = (*FIELDS, "effective_from", "phone", "device")
# The number is what a machine is known by here.
_DATED = DATED[1:]
_UNDATED = tuple(name for name in FIELDS if name not in DATED)
# Columns that are never null, and what they are of a machine of which nothing is said.
_DEFAULTS = {
    "registration_type": "machinery",
    "emission_stage": "unknown",
    "smoke_class": "unknown",
    "status": "in_use",
}

_STAGING = """
CREATE TEMP TABLE incoming (
    registration_number text PRIMARY KEY, machine_type text, registration_type text, emission_stage text,
    power_kw real, energy text, smoke_class text, owner_name text, project text, purpose text, district text, status text,
    smoke_tested_on date, owner_phone text, brand text, model text,
    effective_from timestamptz, phone text, device bigint, machine bigint, updated boolean NOT NULL DEFAULT false
) ON COMMIT DROP
"""

_REMEMBER = "UPDATE incoming i SET machine = m.id FROM machine m WHERE m.registration_number = i.registration_number"
# In the order in which everybody locks, so that nobody waits for whom he keeps waiting.
_LOCK_TERMINALS = "SELECT FROM terminal WHERE device IN (SELECT device FROM incoming) ORDER BY device FOR UPDATE"
_LOCK_MACHINES = "SELECT FROM machine WHERE id IN (SELECT machine FROM incoming) ORDER BY id FOR UPDATE"

_RECORD = f"""
WITH recorded AS MATERIALIZED (
    SELECT i.machine, record_machine(
        i.machine, jsonb_strip_nulls(jsonb_build_object({", ".join(f"'{name}', i.{name}" for name in _DATED)})),
        i.effective_from
    ) AS anew
    FROM incoming i CROSS JOIN LATERAL (
        SELECT * FROM machine_version v
        WHERE v.machine = i.machine AND v.valid_from <= coalesce(i.effective_from, statement_timestamp())
        ORDER BY v.valid_from DESC LIMIT 1
    ) v
    WHERE ({", ".join(f"coalesce(i.{name}, v.{name})" for name in _DATED)})
          IS DISTINCT FROM ({", ".join(f"v.{name}" for name in _DATED)})
)
UPDATE incoming i SET updated = true FROM recorded WHERE recorded.machine = i.machine AND recorded.anew
"""  # noqa: S608 - constants of this package only

_SETTLE = "SELECT settle_machines(array_agg(machine)) FROM incoming HAVING bool_or(updated)"

_UPDATE = f"""
WITH changed AS (
    UPDATE machine m SET {", ".join(f"{name} = coalesce(i.{name}, m.{name})" for name in _UNDATED)}, updated_at = now()
    FROM incoming i
    WHERE m.id = i.machine AND ({", ".join(f"coalesce(i.{name}, m.{name})" for name in _UNDATED)})
          IS DISTINCT FROM ({", ".join(f"m.{name}" for name in _UNDATED)})
    RETURNING m.id
)
UPDATE incoming i SET updated = true FROM changed WHERE changed.id = i.machine
"""  # noqa: S608

_INSERT = f"""
INSERT INTO machine ({", ".join(FIELDS)})
SELECT {", ".join(f"coalesce({name}, '{_DEFAULTS[name]}')" if name in _DEFAULTS else name for name in FIELDS)}
FROM incoming WHERE machine IS NULL
"""  # noqa: S608

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


async def take_in(
    connection: AsyncConnection[DictRow], rows: Iterable[Mapping[str, Any]], actor: str
) -> dict[str, int]:
    """Rows as `admin_api.machine_import` reads them: numbers and phones each at most once. Answers with counts."""
    await sign(connection, actor, "import")
    await connection.execute(_STAGING)
    async with connection.cursor() as cursor:
        async with cursor.copy(f"COPY incoming ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
            total = 0
            for row in rows:
                phone = row.get("terminal_phone")
                await copy.write_row(
                    (*map(row.get, FIELDS), row.get("effective_from"), phone, device_of(phone) if phone else None)
                )
                total += 1
        await cursor.execute("ANALYZE incoming")
        await cursor.execute(_REMEMBER)
        await cursor.execute(_LOCK_TERMINALS)
        await cursor.execute(_LOCK_MACHINES)
        await cursor.execute(_RECORD)
        await cursor.execute(_SETTLE)
        await cursor.execute(_UPDATE)
        updated = (await cursor.execute("SELECT FROM incoming WHERE updated")).rowcount
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
