"""A small city in the database: one district, one zone, one machine with its terminal, alarms, a sign-in link."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

DISTRICT = "371502"
NUMBER = "2-30468844"
PHONE = "13900000001"
DEVICE = 13_900_000_001
ZONE = "东昌府区核心禁用区(测试)"
LON, LAT = 115.985, 36.457
_RING = [[115.95, 36.43], [116.02, 36.43], [116.02, 36.48], [115.95, 36.48], [115.95, 36.43]]
RULE = {"index": 0, "predicate": {"stage_below": "3"}}


class City:
    def __init__(self, database: str) -> None:
        self.database = database
        self.visits = 0
        with self.connect() as conn:
            self.zone = self._zone(conn)
            self.machine = self._machine(conn)

    def connect(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return psycopg.connect(self.database)

    def _zone(self, conn: psycopg.Connection[Any]) -> int:
        conn.execute("INSERT INTO district (code, name, level) VALUES (%s, '东昌府区', 'branch')", [DISTRICT])
        (zone,) = _one(conn.execute("INSERT INTO zone DEFAULT VALUES RETURNING id"))
        geometry = json.dumps({"type": "Polygon", "coordinates": [_RING]})
        conn.execute(
            "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
            " valid_from, author) VALUES (%s, 1, %s, %s, 'core', 'active', '测〔2025〕1号', 'wgs84', %s, %s, %s, '2025-03-28', 't')",
            [zone, ZONE, DISTRICT, geometry, geometry, json.dumps([{"any_of": [{"stage_below": "3"}]}])],
        )
        return int(zone)

    def _machine(self, conn: psycopg.Connection[Any]) -> int:
        (machine,) = _one(
            conn.execute(
                "INSERT INTO machine (registration_number, machine_type, emission_stage, district)"
                " VALUES (%s, 'excavator', '2', %s) RETURNING id",
                [NUMBER, DISTRICT],
            )
        )
        conn.execute("INSERT INTO terminal (device, phone) VALUES (%s, %s)", [DEVICE, PHONE])
        conn.execute(
            "INSERT INTO binding (device, machine, during) VALUES (%s, %s, tstzrange('2025-01-01', NULL))",
            [DEVICE, machine],
        )
        conn.execute(
            "INSERT INTO terminal_last (terminal, time, received, lon, lat, speed, course, status, quality)"
            " VALUES (%s, now(), now(), %s, %s, 24, 90, 3, 0)",
            [DEVICE, round(LON * 1e6), round(LAT * 1e6)],
        )
        return int(machine)

    def alarm(self, *, told: bool = False) -> int:
        """A new alarm; ``told``: with its event, as a worker writes it."""
        self.visits += 1
        visit = f"{DEVICE}-{self.zone}-{self.visits}"
        snapshot = {"registration_number": NUMBER, "machine_type": "excavator", "emission_stage": "2", "phone": PHONE}
        with self.connect() as conn:
            conn.execute(
                "INSERT INTO visit (id, device, machine, zone, zone_version, verdict, rule, machine_snapshot, entered_at,"
                " confirmed_at, last_inside_at, epoch)"
                " VALUES (%s, %s, %s, %s, 1, 'violation', %s, %s, now() - interval '3 minutes', now(), now(), 1)",
                [visit, DEVICE, self.machine, self.zone, json.dumps(RULE), json.dumps(snapshot)],
            )
            (alarm,) = _one(
                conn.execute(
                    "INSERT INTO alarm (visit, district, machine, device, zone, zone_version, rule, grade, lon, lat,"
                    " entered_at, confirmed_at, received_at) SELECT id, %s, machine, device, zone, zone_version, rule,"
                    " 'working', %s, %s, entered_at, confirmed_at, confirmed_at FROM visit WHERE id = %s RETURNING id",
                    [DISTRICT, round(LON * 1e6), round(LAT * 1e6), visit],
                )
            )
            if told:
                conn.execute("SELECT emit_alarms(ARRAY[%s]::bigint[])", [alarm])
        return int(alarm)

    def signal(self, kind: str = "power_cut", *, zone: bool = True, detail: dict[str, Any] | None = None) -> int:
        """An alarm of another kind than an entry, with its event; without a zone it has no place either."""
        with self.connect() as conn:
            (alarm,) = _one(
                conn.execute(
                    "INSERT INTO alarm (kind, subject, district, machine, device, zone, zone_version, lon, lat, entered_at,"
                    " confirmed_at, received_at, paged_at, page_reason, detail) VALUES (%s, '1', %s, %s, %s, %s, 1, %s, %s,"
                    " now() - interval '3 minutes', now(), now(), now(), 'prompt', %s) RETURNING id",
                    [kind, DISTRICT, self.machine, DEVICE, self.zone if zone else None, round(LON * 1e6) if zone else None,
                     round(LAT * 1e6) if zone else None, json.dumps(detail or {})],
                )
            )  # fmt: skip
            conn.execute("SELECT emit_alarms(ARRAY[%s]::bigint[])", [alarm])
        return int(alarm)

    def parked(self, counts: dict[str, int]) -> int:
        """The alarm of a worker that could not take some data: of a partition, so of no machine, zone or district."""
        with self.connect() as conn:
            (alarm,) = _one(
                conn.execute(
                    "INSERT INTO alarm (kind, subject, district, device, entered_at, confirmed_at, received_at, paged_at,"
                    " page_reason, detail) VALUES ('parked', '0', '', %s, now(), now(), now(), now(), 'prompt', %s) RETURNING id",
                    [DEVICE, json.dumps({"partition": 0, "parked": counts})],
                )
            )
            conn.execute("SELECT emit_alarms(ARRAY[%s]::bigint[])", [alarm])
        return int(alarm)

    def digest(self) -> None:
        """The event of machines that were inside already, as a worker writes it."""
        data = {"district": DISTRICT, "alarms": 12, "causes": {"rule_effective": 9, "attribute_changed": 3},
                "machines": [self.machine], "zones": [{"id": self.zone, "name": ZONE, "alarms": 12}],
                "since": "2026-03-01T08:00:00+00:00", "until": "2026-03-01T08:01:00+00:00"}  # fmt: skip
        with self.connect() as conn:
            event = {"kind": "digest", "district": DISTRICT, "data": data}
            conn.execute("SELECT emit_events(%s::jsonb)", [json.dumps([event])])

    def candidate(self) -> None:
        """The event of a machine near the border, as a worker writes it."""
        machine = {
            "id": self.machine,
            "registration_number": NUMBER,
            "machine_type": "excavator",
            "emission_stage": "2",
        }
        data = {"kind": "candidate", "terminal_phone": PHONE, "machine": machine, "longitude": LON, "latitude": LAT,
                "zone": {"id": self.zone, "name": ZONE, "tier": "core"}, "at_us": time.time_ns() // 1000}  # fmt: skip
        with self.connect() as conn:
            event = {"kind": "terminal", "district": DISTRICT, "data": data}
            conn.execute("SELECT emit_events(%s::jsonb)", [json.dumps([event])])

    def link(self, role: str = "city_admin") -> str:
        """The token of a one-time sign-in link."""
        token = secrets.token_urlsafe(24)
        with self.connect() as conn:
            conn.execute(
                "INSERT INTO token (hash, kind, name, role, expires_at) VALUES (%s, 'link', 'test', %s, now() + interval '1 h')",
                [hashlib.sha256(token.encode()).digest(), role],
            )
        return token

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connect() as conn:
            return conn.execute(query, values).fetchall()  # type: ignore[arg-type]


def _one(cursor: Iterator[tuple[Any, ...]]) -> tuple[Any, ...]:
    return next(cursor)
