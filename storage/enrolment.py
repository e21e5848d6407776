"""What sessions leave in the registry: who registered, who was refused and waits, who was replaced or quarantined.

The queue of refused terminals has one row a terminal. Anybody can invent a terminal, so it is bounded: beyond MOST_REFUSED
the one that was silent longest is dropped and counted; a terminal that is really there asks again within a minute.
Records come from the log, so each is taken once; what they lack is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

MOST_REFUSED = 100_000
"""Terminals remembered as refused: about 15 MB."""

_TERMINAL = "(device bigint, phone text, edition text, maker text, model text, terminal_id text, source text)"
_ENROL = f"""
    INSERT INTO terminal (device, phone, edition, maker, model, terminal_id, source)
    SELECT device, phone, edition, maker, model, terminal_id, source FROM jsonb_to_recordset(%s) AS r {_TERMINAL}
    ON CONFLICT DO NOTHING RETURNING phone
"""  # noqa: S608 - our own column names
# A terminal that was entered by hand tells the rest itself. No news for the edges unless its maker's trust makes it one.
_DESCRIBE = f"""
    UPDATE terminal t SET edition = r.edition, maker = r.maker, model = r.model, terminal_id = r.terminal_id
    FROM jsonb_to_recordset(%s) AS r {_TERMINAL}
    WHERE t.device = r.device
      AND (t.edition, t.maker, t.model, t.terminal_id) IS DISTINCT FROM (r.edition, r.maker, r.model, r.terminal_id)
"""  # noqa: S608
_ADMITTED = "DELETE FROM terminal_refused WHERE phone = ANY(%s)"
# A refusal that was still on its way when staff bound the terminal is old news. Sorted: two workers wait, not lock up.
_REFUSE = """
    INSERT INTO terminal_refused AS known (phone, header_phone, edition, province, city, maker, model, terminal_id,
        plate_colour, plate, result, attempts, first_seen, last_seen)
    SELECT phone, header_phone, edition, province, city, maker, model, terminal_id, plate_colour, plate, result,
        attempts, coalesce(first_seen, now()), coalesce(last_seen, now())
    FROM jsonb_to_recordset(%s) AS r (phone text, header_phone text, edition text, province int, city int, maker text,
        model text, terminal_id text, plate_colour smallint, plate text, result smallint, attempts bigint,
        first_seen timestamptz, last_seen timestamptz)
    WHERE NOT EXISTS (SELECT FROM terminal t JOIN binding b USING (device)
                      WHERE t.phone = r.phone AND t.state = 'registered' AND upper_inf(b.during))
    ORDER BY phone
    ON CONFLICT (phone) DO UPDATE SET attempts = known.attempts + excluded.attempts,
        first_seen = least(known.first_seen, excluded.first_seen), last_seen = greatest(known.last_seen, excluded.last_seen),
        header_phone = excluded.header_phone, edition = excluded.edition, province = excluded.province,
        city = excluded.city, maker = excluded.maker, model = excluded.model, terminal_id = excluded.terminal_id,
        plate_colour = excluded.plate_colour, plate = excluded.plate, result = excluded.result
"""
# Rows that another worker is about to change are passed over: the next refusal finds them.
_BOUND_QUEUE = """
    WITH gone AS (
        DELETE FROM terminal_refused WHERE phone IN (
            SELECT phone FROM terminal_refused ORDER BY last_seen
            LIMIT greatest((SELECT count(*) FROM terminal_refused) - %s, 0) FOR UPDATE SKIP LOCKED)
        RETURNING phone
    )
    UPDATE enrolment_queue SET dropped = dropped + (SELECT count(*) FROM gone) WHERE EXISTS (SELECT FROM gone)
"""
_QUARANTINE = """
    UPDATE terminal t SET quarantined_until = r.until
    FROM jsonb_to_recordset(%s) AS r (phone text, at timestamptz, until timestamptz)
    WHERE t.phone = r.phone AND (t.quarantined_until IS NULL OR t.quarantined_until < r.until)
      AND (t.released_at IS NULL OR t.released_at < r.at)
"""
_TEXTS = ("edition", "maker", "model", "terminal_id")
_NUMBERS = {"province": 0xFFFF, "city": 0xFFFF, "plate_colour": 0xFF, "result": 0xFF, "swaps": 0xFFFF}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Session records, sorted by what they change; one row a terminal in each list. ``events`` are for the stream."""

    registered: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.registered or self.refused or self.quarantined or self.events)


def read(sessions: Sequence[Mapping[str, Any]]) -> Enrolment:
    """Takes `registered`, `refused`, `replaced` and `quarantined` out of session records; others are not its business."""
    registered: dict[str, dict[str, Any]] = {}
    refused: dict[str, dict[str, Any]] = {}
    quarantined: dict[str, dict[str, Any]] = {}
    events = []
    for record in sessions:
        kind, phone = record.get("event"), record.get("identity")
        if not isinstance(phone, str):
            continue
        if kind == "registered":
            refused.pop(phone, None)
            registered[phone] = {"phone": phone, "device": record["device"],
                                 "source": record.get("source", "registry"), **_texts(record, _TEXTS)}  # fmt: skip
        elif kind == "refused":
            refused[phone] = _refusal(record, phone, refused.get(phone))
        elif kind in {"replaced", "quarantined"}:
            if kind == "quarantined" and (until := _time(record.get("until"))) is not None:
                quarantined[phone] = {"phone": phone, "at": _time(record.get("time")), "until": until}
            events.append(_event(kind, record, phone))
    return Enrolment(list(registered.values()), list(refused.values()), list(quarantined.values()), events)


async def write(conn: psycopg.AsyncConnection[Any], enrolment: Enrolment) -> psycopg.AsyncCursor[Any] | None:
    """Inside the caller's transaction and pipeline. The cursor gives the phones of the terminals that are new."""
    enrolled = None
    if enrolment.registered:
        rows = _json(enrolment.registered)
        enrolled = await conn.execute(_ENROL, [rows])
        await conn.execute(_DESCRIBE, [rows])
        await conn.execute(_ADMITTED, [sorted(row["phone"] for row in enrolment.registered)])
    if enrolment.refused:
        await conn.execute(_REFUSE, [_json(enrolment.refused)])
        await conn.execute(_BOUND_QUEUE, [MOST_REFUSED])
    if enrolment.quarantined:
        await conn.execute(_QUARANTINE, [_json(enrolment.quarantined)])
    return enrolled


def _refusal(record: Mapping[str, Any], phone: str, before: Mapping[str, Any] | None) -> dict[str, Any]:
    at = _time(record.get("time"))
    return {
        "phone": phone,
        "header_phone": _text(record.get("phone")),
        "attempts": 1 + (before["attempts"] if before else 0),
        "first_seen": before["first_seen"] if before else at,
        "last_seen": at,
        **{name: _number(record, name) for name in ("province", "city", "plate_colour", "result")},
        **_texts(record, (*_TEXTS, "plate")),
    }


def _event(kind: str, record: Mapping[str, Any], phone: str) -> dict[str, Any]:
    data: dict[str, Any] = {"event": kind, "phone": phone, "time": _time(record.get("time"))}
    if kind == "quarantined":
        data |= {"swaps": _number(record, "swaps"), "until": _time(record.get("until"))}
    return {"kind": "terminal", "district": None, "data": data}


def _texts(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | None]:
    return {name: _text(record.get(name)) for name in names}


def _text(value: Any) -> str | None:
    """A text without U+0000, which PostgreSQL refuses: protocols let none through, but a log may hold some."""
    return value.replace("\x00", "") if isinstance(value, str) else None


def _number(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    return value if isinstance(value, int) and 0 <= value <= _NUMBERS[name] else None


def _time(us: Any) -> str | None:
    """ISO 8601 of int64 us UTC; None where it is no time, so that one bad record stops no partition."""
    try:
        return (_EPOCH + timedelta(microseconds=us)).isoformat()
    except (TypeError, OverflowError):
        return None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
