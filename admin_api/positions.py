"""Where the machines are now."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor
from admin_api.permissions import Permission
from admin_api.records import PurposeText, record, stated
from admin_api.state import Here
from admin_api.tracks import quality_names
from storage.queries import alarms, positions

router = APIRouter(prefix=PREFIX + "/positions", tags=["positions"])

# A terminal reports every 10 to 60 s, a sleeping one every few minutes: longer silence is offline.
ONLINE_WITHIN = timedelta(minutes=10)
_MOST_ROWS = 20_000


@router.get("/latest", dependencies=[require(Permission.TRACKS_READ)])
async def latest(
    request: Request,
    account: Asker,
    here: Here,
    bbox: Annotated[str | None, Query(description="west,south,east,north in degrees, WGS-84")] = None,
    purpose: PurposeText = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS)] = _MOST_ROWS,
    cursor: Cursor = None,
) -> Json:
    """The newest fix of every terminal, with the machine that it sits on. A township: the machines of its alarms."""
    reason = stated(purpose)
    corners = parameters.box(bbox)
    after = parameters.last_id(cursor)
    async with here.database() as connection:
        await record(
            connection, request, account, "positions.read", "positions", purpose=reason, detail={"bbox": corners}
        )
        devices = None if account.reads is None else await alarms.machines_in(connection, account.reads)
        rows = await positions.latest(connection, box=corners, devices=devices, after=after, limit=limit)
    online_after = datetime.now(UTC) - ONLINE_WITHIN
    return page([_item(row, online_after) for row in rows], [rows[-1]["device"]] if len(rows) == limit else None)


def _item(row: dict[str, Any], online_after: datetime) -> dict[str, Any]:
    return {
        "phone": row["phone"],
        "machine_id": row["machine_id"],
        "registration_number": row["registration_number"],
        "machine_type": row["machine_type"],
        "emission_stage": row["emission_stage"],
        "district": row["district"],
        "longitude": row["lon"] / 1e6,
        "latitude": row["lat"] / 1e6,
        "speed_kmh": row["speed"] / 10,
        "course_deg": row["course"],
        "time": row["time"],
        "received_at": row["received"],
        "quality": quality_names(row["quality"]),
        "online": row["received"] >= online_after,
    }
