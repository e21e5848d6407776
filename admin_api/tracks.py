"""Tracks of a terminal, or of a machine over its dated bindings. Each query states a purpose and leaves an audit row."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from admin_api import parameters
from admin_api.answers import Json, encode, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import CHINA, Cursor, Id
from admin_api.permissions import Account, Permission
from admin_api.phones import Phone
from admin_api.problems import invalid, not_found
from admin_api.records import PurposeText, record, stated
from admin_api.state import Connection, Here, State
from columns.positions import Quality, Source
from storage.queries import alarms, machines, terminals, tracks

router = APIRouter(prefix=PREFIX, tags=["tracks"])

DEFAULT_WINDOW = timedelta(hours=24)
# Rows of one read: memory is bounded however long a track is.
_READ = 5000
_MOST_ROWS = 20_000

Format = Annotated[Literal["json", "ndjson", "csv", "geojson"], Query(alias="format")]
Start = Annotated[str | None, Query(alias="from", description="ISO 8601; default: 24 h before `to`")]
End = Annotated[str | None, Query(alias="to", description="ISO 8601, not included; default: now")]
Rows = Annotated[
    int | None, Query(ge=1, le=_MOST_ROWS, description="Rows of a page (json, geojson; default 5000), or at most")
]
Place = tuple[datetime, int, int]
# Reads one page after a place.
Read = Callable[[Connection, Place | None, int], Awaitable[list[dict[str, Any]]]]

FIELDS = (
    "time", "longitude", "latitude", "speed_kmh", "course_deg", "altitude_m", "serial", "mileage_km", "satellites",
    "alarm", "status", "source", "quality", "received_at", "machine_id",
)  # fmt: skip


def quality_names(bits: int) -> list[str]:
    return [flag.name.lower() for flag in Quality if bits & flag and flag.name]


def item(row: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "time": row["time"],
        "longitude": row["lon"] / 1e6,
        "latitude": row["lat"] / 1e6,
        "speed_kmh": row["speed"] / 10,
        "course_deg": row["course"],
        "altitude_m": row["altitude"],
        "serial": row["serial"],
        "mileage_km": None if row["mileage"] < 0 else row["mileage"] / 10,
        "satellites": None if row["satellites"] < 0 else row["satellites"],
        "alarm": row["alarm"],
        "status": row["status"],
        "source": Source(row["source"]).name.lower(),
        "quality": quality_names(row["quality"]),
        "received_at": row["received"],
        "machine_id": row["machine"],
    }
    return shown | {"phone": row["phone"]} if "phone" in row else shown


@router.get("/terminals/{phone}/track", dependencies=[require(Permission.TRACKS_READ)])
async def terminal_track(
    request: Request, account: Asker, here: Here, phone: Phone, start: Start = None, end: End = None,
    purpose: PurposeText = None, form: Format = "json", limit: Rows = None, cursor: Cursor = None,
) -> Response:  # fmt: skip
    """The terminal's positions in time order, with the machine that it sat on then."""
    asked = window(start, end)
    query = _Query(form, limit, parameters.track_place(cursor))
    reason = stated(purpose)
    async with here.database() as connection:
        terminal = await terminals.find(connection, phone)
        if terminal is None:
            raise not_found("terminal", "终端")
        device = int(terminal["device"])
        await _only_what_it_may(connection, account, device)
        await _audit(connection, request, account, f"terminal/{phone}", asked, form, reason)

    async def read(connection: Connection, after: Place | None, rows: int) -> list[dict[str, Any]]:
        return await tracks.of_terminal(connection, device, *asked, after, rows)

    return await query.answer(here, read, f"track-{phone}")


@router.get("/machines/{id}/track", dependencies=[require(Permission.TRACKS_READ)])
async def machine_track(
    request: Request, account: Asker, here: Here, machine: Annotated[Id, Path(alias="id")],
    start: Start = None, end: End = None, purpose: PurposeText = None, form: Format = "json", limit: Rows = None,
    cursor: Cursor = None,
) -> Response:  # fmt: skip
    """The machine's positions, from whichever terminal sat on it at the time; rows carry `phone` too."""
    asked = window(start, end)
    query = _Query(form, limit, parameters.track_place(cursor), ("phone",))
    reason = stated(purpose)
    async with here.database() as connection:
        if await machines.find(connection, machine) is None:
            raise not_found("machine", "机械")
        if account.reads is not None and not await alarms.machine_is_in(connection, machine, account.reads):
            raise not_found("machine", "机械")
        await _audit(connection, request, account, f"machine/{machine}", asked, form, reason)

    async def read(connection: Connection, after: Place | None, rows: int) -> list[dict[str, Any]]:
        return await tracks.of_machine(connection, machine, *asked, after, rows)

    return await query.answer(here, read, f"track-machine-{machine}")


def window(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """`from` and `to`, or the last 24 hours. Raises a 422 Problem."""
    until = parameters.time(end, "query.to") or datetime.now(CHINA)
    since = parameters.time(start, "query.from") or until - DEFAULT_WINDOW
    if since > until:
        raise invalid("query.from", "`from` is after `to`.", "开始时间晚于结束时间。")
    return since, until


async def _only_what_it_may(connection: Connection, account: Account, device: int) -> None:
    """A township sees the machines of its alarms; others don't exist for it."""
    if account.reads is not None and device not in await alarms.machines_in(connection, account.reads):
        raise not_found("terminal", "终端")


async def _audit(
    connection: Connection,
    request: Request,
    account: Account,
    object_: str,
    window: tuple[datetime, datetime],
    form: str,
    purpose: str,
) -> None:
    await record(
        connection,
        request,
        account,
        "track.read" if form == "json" else "track.export",
        object_,
        purpose=purpose,
        detail={"from": window[0].isoformat(), "to": window[1].isoformat(), "format": form},
    )


class _Query:
    """How the rows leave: a page (json, geojson) or the whole window line by line (ndjson, csv)."""

    def __init__(self, form: str, limit: int | None, after: Place | None, more: tuple[str, ...] = ()) -> None:
        self.form = form
        self.limit = limit
        self.after = after
        self.fields = (*FIELDS, *more)

    async def answer(self, here: State, read: Read, name: str) -> Response:
        if self.form in {"json", "geojson"}:
            limit = self.limit or _READ
            async with here.database() as connection:
                rows = await read(connection, self.after, limit)
            key = _place(rows[-1]) if len(rows) == limit else None
            return page([item(row) for row in rows], key) if self.form == "json" else _collection(rows, key, name)
        lines = self._ndjson if self.form == "ndjson" else self._csv
        media_type = "application/x-ndjson" if self.form == "ndjson" else "text/csv; charset=utf-8"
        return StreamingResponse(lines(here, read), media_type=media_type, headers=_attachment(f"{name}.{self.form}"))

    async def _reads(self, here: State, read: Read) -> AsyncIterator[list[dict[str, Any]]]:
        """A connection is held for a read only, never while a slow reader takes the lines."""
        after, left = self.after, self.limit
        while left is None or left > 0:
            size = _READ if left is None else min(_READ, left)
            async with here.database() as connection:
                rows = await read(connection, after, size)
            if rows:
                yield [item(row) for row in rows]
            if len(rows) < size:
                return
            last = rows[-1]
            after, left = (last["time"], last["device"], last["fingerprint"]), left and left - len(rows)

    async def _ndjson(self, here: State, read: Read) -> AsyncIterator[bytes]:
        async for items in self._reads(here, read):
            yield b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in items)

    async def _csv(self, here: State, read: Read) -> AsyncIterator[bytes]:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self.fields)
        async for items in self._reads(here, read):
            for each in items:
                writer.writerow(_cell(each[name]) for name in self.fields)
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
        yield text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return "|".join(value) if isinstance(value, list) else value


def _place(row: dict[str, Any]) -> list[Any]:
    return [row["time"].isoformat(), row["device"], row["fingerprint"]]


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _collection(rows: list[dict[str, Any]], key: list[Any] | None, name: str) -> Json:
    features = []
    for row in rows:
        properties = item(row)
        point = [properties.pop("longitude"), properties.pop("latitude")]
        features.append(
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": point}, "properties": properties}
        )
    collection = {
        "type": "FeatureCollection",
        "features": features,
        "next_cursor": None if key is None else encode(key),
    }
    return Json(collection, media_type="application/geo+json", headers=_attachment(f"{name}.geojson"))
