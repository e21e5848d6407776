"""An API over a database of this test's own, tokens by role, and hands to put facts into the database."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import psycopg
import pytest
import pytest_asyncio
import uvicorn
from psycopg.types.json import Jsonb

from admin_api.app import create_app
from columns.identity import device_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fastapi import FastAPI

BRANCH, TOWNSHIP, OTHER = "371502", "371502001", "371521"
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[115.9, 36.4], [116.0, 36.4], [116.0, 36.5], [115.9, 36.5], [115.9, 36.4]]],
}
RULES = [{"any_of": [{"stage_below": "3"}]}]


def zone_feature(**properties: Any) -> dict[str, Any]:
    """A square zone that may be published."""
    return {
        "type": "Feature",
        "geometry": SQUARE,
        "properties": {"name": "禁用区", "district": BRANCH, "tier": "core", "crs": "wgs84", "doc_no": "聊政发〔2025〕1号",
                       "rules": RULES, **properties},
    }  # fmt: skip


@dataclass
class Facts:
    """What a worker would have written, put in by the owner."""

    conninfo: str
    connection: psycopg.Connection[Any]
    _tokens: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def run(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []

    def token(self, role: str = "city_admin", district: str | None = None, kind: str = "bearer", **more: Any) -> str:
        text = secrets.token_urlsafe(32)
        self.run(
            "INSERT INTO token (hash, kind, name, role, district, expires_at) VALUES (%s, %s, 'test', %s, %s, %s)",
            hashlib.sha256(text.encode()).digest(), kind, role, district, more.get("expires_at"),
        )  # fmt: skip
        return text

    def bearer(self, role: str = "city_admin", district: str | None = None) -> dict[str, str]:
        key = (role, district)
        if key not in self._tokens:
            self._tokens[key] = self.token(role, district)
        return {"Authorization": f"Bearer {self._tokens[key]}"}

    def districts(self) -> None:
        self.run(
            "INSERT INTO district (code, name, level, parent) VALUES ('3715', '市', 'city', NULL),"
            " (%s, '分局', 'branch', '3715'), (%s, '另一分局', 'branch', '3715'), (%s, '乡镇', 'township', %s)",
            BRANCH, OTHER, TOWNSHIP, BRANCH,
        )  # fmt: skip

    def machine(self, number: str = "3-00012345", stage: str = "2", kind: str = "excavator") -> int:
        return int(self.run(
            "INSERT INTO machine (registration_number, machine_type, emission_stage, district) VALUES (%s, %s, %s, %s)"
            " RETURNING id", number, kind, stage, BRANCH,
        )[0][0])  # fmt: skip

    def terminal(self, phone: str = "13900000001", machine: int | None = None) -> int:
        device = device_of(phone)
        self.run("INSERT INTO terminal (device, phone) VALUES (%s, %s)", device, phone)
        if machine is not None:
            self.run(
                "INSERT INTO binding (device, machine, during) VALUES (%s, %s, tstzrange(NULL, NULL))", device, machine
            )
        return device

    def zone(self, district: str = BRANCH) -> int:
        zone = int(self.run("INSERT INTO zone DEFAULT VALUES RETURNING id")[0][0])
        self.run(
            "INSERT INTO zone_version (zone, version, name, district, tier, state, doc_no, crs, source, geometry, rules,"
            " valid_from, author) VALUES (%s, 1, '禁用区', %s, 'core', 'active', '1号', 'wgs84', %s, %s, %s, '2020-01-01Z',"
            " 'test')",
            zone, district, Jsonb(SQUARE), Jsonb(SQUARE), Jsonb(RULES),
        )  # fmt: skip
        return zone

    def alarm(self, district: str = BRANCH, *, device: int | None = None, machine: int | None = None) -> int:
        zone = self.zone(district)
        if device is None:
            number = secrets.token_hex(4).upper()
            machine = self.machine(f"2-{number}")
            device = self.terminal(str(10**10 + secrets.randbelow(10**9)), machine)
        visit, now = secrets.token_hex(8), datetime.now(UTC)
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO visit (id, device, machine, zone, zone_version, verdict, rule, machine_snapshot, entered_at,"
                " confirmed_at, last_inside_at, epoch) VALUES (%s, %s, %s, %s, 1, 'violation', %s, %s, %s, %s, %s, 1)",
                (visit, device, machine, zone, Jsonb(RULES[0]), Jsonb({"emission_stage": "2"}), now, now, now),
            )
            row = self.connection.execute(
                "INSERT INTO alarm (visit, district, machine, device, zone, zone_version, rule, lon, lat, entered_at,"
                " confirmed_at, received_at) VALUES (%s, %s, %s, %s, %s, 1, %s, 115950000, 36450000, %s, %s, %s)"
                " RETURNING id",
                (visit, district, machine, device, zone, Jsonb(RULES[0]), now, now, now),
            ).fetchone()
            assert row is not None
            self.connection.execute("SELECT emit_alarms(ARRAY[%s]::bigint[])", (row[0],))
        return int(row[0])

    def position(self, device: int, at: datetime, **more: Any) -> None:
        row = {
            "terminal": device, "time": at, "fingerprint": secrets.randbits(62), "received": at, "lon": 115950000,
            "lat": 36450000, "altitude": 30, "speed": 125, "course": 90, "alarm": -1, "status": 3, "mileage": 1234,
            "satellites": 9, "serial": 7, "source": 0, "quality": 0, "extras": b"", **more,
        }  # fmt: skip
        names = ", ".join(row)
        self.run(f"INSERT INTO position ({names}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())

    def last(self, device: int, at: datetime | None = None, **more: Any) -> None:
        at = at or datetime.now(UTC)
        row = {"terminal": device, "time": at, "received": at, "lon": 115950000, "lat": 36450000, "speed": 125,
               "course": 90, "status": 3, "quality": 0, **more}  # fmt: skip
        sets = ", ".join(f"{name} = excluded.{name}" for name in row)
        self.run(
            f"INSERT INTO terminal_last ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})"
            f" ON CONFLICT (terminal) DO UPDATE SET {sets}",
            *row.values(),
        )

    def audits(self, action: str | None = None) -> list[tuple[Any, ...]]:
        return self.run(
            "SELECT actor, action, object, purpose FROM audit WHERE %s::text IS NULL OR action = %s ORDER BY id",
            action, action,
        )  # fmt: skip


@pytest.fixture
def facts(database: str) -> Iterator[Facts]:
    with psycopg.connect(database, autocommit=True) as connection:
        one = Facts(database, connection)
        one.districts()
        yield one


@pytest_asyncio.fixture
async def app(facts: Facts, api_database: str) -> AsyncIterator[FastAPI]:
    """The application as the api's own database role, started."""
    one = create_app(api_database)
    async with one.router.lifespan_context(one):
        await _until(lambda: one.state.lezgate.broadcaster.last is not None)
        yield one


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://lezgate") as one:
        yield one


@pytest_asyncio.fixture
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The address of the application behind a real server: what a stream needs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", port, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    task = asyncio.create_task(server.serve())
    await _until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    app.state.lezgate.broadcaster.end_streams()
    server.should_exit = True
    await task


async def _until(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.01)


class Reader:
    """A reader of the live stream: events as (id, kind, data)."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id: str | None = None
        self._lines = response.aiter_lines()

    async def next(self, *kinds: str, seconds: float = 5.0) -> tuple[str | None, str, Any]:
        """The next event of these kinds (any, where none is given)."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self._block()
                if event is not None and (not kinds or event[1] in kinds):
                    return event

    async def _block(self) -> tuple[str | None, str, Any] | None:
        kind, data, id_ = "message", "", None
        async for line in self._lines:
            if not line:
                break
            name, _, value = line.partition(": ")
            if name == "id":
                id_ = self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data = value
        return (id_, kind, orjson.loads(data)) if data else None


@contextlib.asynccontextmanager
async def reading(base: str, headers: dict[str, str], **params: str) -> AsyncIterator[Reader]:
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream("GET", f"{base}/api/v1/stream", headers=headers, params=params) as response,
    ):
        if response.status_code != 200:
            await response.aread()
        yield Reader(response)


@pytest.fixture
def yesterday() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
