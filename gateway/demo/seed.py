"""Puts the demonstration into a database, once: districts, zones, machines with their terminals, and an account.

Everything goes in one transaction. What is there already stays as it is (an operator may have edited it), so a second
run adds only what is missing. Nothing is ever deleted here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from admin_api.authentication import new_token
from columns.identity import device_of
from gateway.demo.districts import districts
from gateway.demo.fleet import fleet
from gateway.demo.zones import collection
from geofence.zones import parse_feature

if TYPE_CHECKING:
    from typing import Any

    import psycopg

LOGIN = "demo"
ROLE = "city_admin"
AUTHOR = "lezgate demo"
LINK_LIFETIME = timedelta(hours=24)
_INSTALLED = datetime(2025, 3, 28, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Any number that no other advisory lock of one bigint has; ASCII "demoseed". Two keys that begin with 808 are a partition.
_LOCK = int.from_bytes(b"demoseed")


def seed(connection: psycopg.Connection[Any]) -> None:
    """Brings the database to the demonstration's state; commit is the caller's."""
    with connection.cursor() as cursor:
        # One seeder at a time: two would both find the zones missing.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        _districts(cursor)
        _zones(cursor)
        _machines(cursor)
        cursor.execute(
            "INSERT INTO account (login, role) VALUES (%s, %s) ON CONFLICT (login) DO NOTHING", (LOGIN, ROLE)
        )


def sign_in_token(connection: psycopg.Connection[Any]) -> str:
    """A one-time token for the demonstration's account, good for a day; the database keeps its hash."""
    text, digest = new_token()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO token (hash, kind, name, account, role, expires_at)"
            " SELECT %s, 'link', login, id, role, now() + %s FROM account WHERE login = %s",
            (digest, LINK_LIFETIME, LOGIN),
        )
    return text


def _districts(cursor: psycopg.Cursor[Any]) -> None:
    # A district that an import created by its code alone gets its name and place here.
    cursor.executemany(
        "INSERT INTO district (code, gb_code, name, level, parent) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (code) DO UPDATE SET gb_code = excluded.gb_code, name = excluded.name,"
        " level = excluded.level, parent = excluded.parent WHERE district.name = district.code",
        [(row.code, row.gb_code, row.name, row.level, row.parent) for row in districts()],
    )


def _time(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)


def _zones(cursor: psycopg.Cursor[Any]) -> None:
    cursor.execute("SELECT DISTINCT doc_no FROM zone_version WHERE author = %s", (AUTHOR,))
    there = {row[0] for row in cursor.fetchall()}
    drafts = [parse_feature(feature) for feature in collection()["features"]]
    drafts = [draft for draft in drafts if draft.doc_no not in there]
    for draft in drafts:
        cursor.execute(
            "WITH new AS (INSERT INTO zone DEFAULT VALUES RETURNING id)"
            " INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry,"
            " rules, guard_m, halo_m, unknown_policy, valid_from, valid_to, author)"
            " SELECT id, 1, %s, %s, %s, 'active', %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s, now()), %s, %s FROM new",
            (
                draft.name, draft.district, draft.tier, draft.doc_no, draft.crs, Jsonb(draft.source),
                Jsonb(draft.to_wgs84_geojson()), Jsonb(draft.rules_json()), draft.guard_m, draft.halo_m,
                draft.unknown_policy, _time(draft.valid_from), _time(draft.valid_to), AUTHOR,
            ),
        )  # fmt: skip


def _machines(cursor: psycopg.Cursor[Any]) -> None:
    rows = [machine.registry_row() for machine in fleet()]
    cursor.execute("SELECT registration_number FROM machine WHERE registration_number = ANY(%s)",
                   ([row["registration_number"] for row in rows],))  # fmt: skip
    there = {row[0] for row in cursor.fetchall()}
    missing = [row for row in rows if row["registration_number"] not in there]
    if not missing:
        return
    # One statement for all rows: each statement is another epoch for the workers to load.
    cursor.execute(
        "INSERT INTO machine (registration_number, machine_type, registration_type, emission_stage, power_kw, energy,"
        " district, brand, model, owner_name) SELECT registration_number, machine_type, registration_type,"
        " emission_stage, power_kw, energy, district, brand, model, '演示机主' FROM jsonb_to_recordset(%s) AS row"
        " (registration_number text, machine_type text, registration_type text, emission_stage text, power_kw real,"
        " energy text, district text, brand text, model text)",
        (Jsonb(missing),),
    )
    cursor.execute(
        "INSERT INTO terminal (device, phone, edition, maker, model)"
        " SELECT device, phone, edition, 'DEMO', 'LZ-SIM' FROM jsonb_to_recordset(%s) AS row"
        " (device bigint, phone text, edition text) ON CONFLICT DO NOTHING",
        (
            Jsonb(
                [
                    {"device": device_of(m.terminal_phone), "phone": m.terminal_phone, "edition": m.edition}
                    for m in fleet()
                ]
            ),
        ),
    )
    cursor.execute(
        "INSERT INTO binding (device, machine, during) SELECT row.device, machine.id, tstzrange(%s, NULL)"
        " FROM jsonb_to_recordset(%s) AS row (device bigint, registration_number text)"
        " JOIN machine USING (registration_number) ON CONFLICT DO NOTHING",
        (_INSTALLED, Jsonb([{**row, "device": device_of(row["terminal_phone"])} for row in missing])),
    )


def demo_address(base_url: str, token: str) -> str:
    """The link that signs a browser in once. The token is after the #, so no server or proxy ever logs it."""
    return f"{base_url}/#signin={token}"
