"""Media of terminals: pictures, sounds, videos. Each look states a purpose and leaves an audit row, as a track does."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Limit
from admin_api.permissions import Account, Permission
from admin_api.phones import Phone
from admin_api.problems import Problem, not_found
from admin_api.records import PurposeText, record, stated
from admin_api.state import Connection, Here, State
from admin_api.tracks import End, Start, window
from storage.blobs import BlobError, NoBlobError
from storage.queries import alarms, media, terminals

router = APIRouter(prefix=PREFIX, tags=["media"])

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

# The codes of 0x0800 and 0x0801 (多媒体类型, 格式编码, 事件项编码); others are shown as their number.
KINDS = {0: "image", 1: "audio", 2: "video"}
FORMATS = {
    0: ("jpeg", "image/jpeg"),
    1: ("tif", "image/tiff"),
    2: ("mp3", "audio/mpeg"),
    3: ("wav", "audio/wav"),
    4: ("wmv", "video/x-ms-wmv"),
}
TRIGGERS = {
    0: "command",
    1: "timer",
    2: "robbery",
    3: "collision",
    4: "door_open",
    5: "door_close",
    6: "door_closed_moving",
    7: "distance",
}


@router.get("/terminals/{phone}/media", dependencies=[require(Permission.TRACKS_READ)])
async def list_media(
    request: Request, account: Asker, here: Here, phone: Phone, start: Start = None, end: End = None,
    purpose: PurposeText = None, limit: Limit = 100, cursor: Cursor = None,
) -> Json:  # fmt: skip
    """What the terminal uploaded, in the order in which it was taken, with the machine that it sat on then."""
    since, until = window(start, end)
    after = parameters.track_place(cursor)
    reason = stated(purpose)
    async with here.database() as connection:
        terminal = await terminals.find(connection, phone)
        devices = await _devices(connection, account)
        if terminal is None or (devices is not None and terminal["device"] not in devices):
            raise not_found("terminal", "终端")
        detail = {"from": since.isoformat(), "to": until.isoformat()}
        await record(connection, request, account, "media.list", f"terminal/{phone}", purpose=reason, detail=detail)
        rows = await media.of_terminal(connection, int(terminal["device"]), since, until, after, limit)
    last = rows[-1] if len(rows) == limit else None
    key = None if last is None else [last["at"].isoformat(), last["device"], last["id"]]
    return page([item(row) for row in rows], key)


@router.get("/media/{sha256}", dependencies=[require(Permission.TRACKS_READ)], response_class=Response)
async def one(request: Request, account: Asker, here: Here, sha256: Sha256, purpose: PurposeText = None) -> Response:
    """The bytes themselves, as a file to save: what a terminal calls a picture may be anything."""
    reason = stated(purpose)
    async with here.database() as connection:
        row = await media.newest(connection, sha256, await _devices(connection, account))
        if row is None:
            raise not_found("media", "多媒体文件")
        detail = {"terminal": row["phone"], "media_id": row["media_id"]}
        await record(connection, request, account, "media.read", f"media/{sha256}", purpose=reason, detail=detail)
    data = await _bytes(here, sha256)
    name, media_type = FORMATS.get(row["format"], ("bin", "application/octet-stream"))
    return Response(
        data,
        media_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="media-{row["phone"]}-{row["media_id"]}.{name}"',
            "Cache-Control": "private, no-store",  # a look that the browser answers would leave no audit row
        },
    )


def item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "media_id": row["media_id"],
        "kind": KINDS.get(row["kind"], str(row["kind"])),
        "format": FORMATS[row["format"]][0] if row["format"] in FORMATS else str(row["format"]),
        "trigger": TRIGGERS.get(row["trigger"], str(row["trigger"])),
        "channel": row["channel"],
        "size": row["size"],
        "sha256": row["sha256"],
        "time": row["time"],
        "received_at": row["received"],
        "longitude": None if row["lon"] is None else row["lon"] / 1e6,
        "latitude": None if row["lat"] is None else row["lat"] / 1e6,
        "machine_id": row["machine"],
    }


async def _devices(connection: Connection, account: Account) -> list[int] | None:
    """Whose media this account may see; None: everybody's. A township has the machines of its alarms."""
    return None if account.reads is None else await alarms.machines_in(connection, account.reads)


async def _bytes(here: State, sha256: str) -> bytes:
    try:
        if here.options.blobs is not None:
            return await here.options.blobs.get(sha256)
    except NoBlobError:
        raise Problem(404, "not-found", "The record is here, the file is not.", "有此记录，但文件已不存在。") from None
    except BlobError as error:
        raise _unavailable() from error
    raise _unavailable()


def _unavailable() -> Problem:
    return Problem(
        503,
        "media-unavailable",
        "The store of media does not answer, or its file is damaged.",
        "多媒体存储暂不可用，或文件已损坏。",
        headers={"Retry-After": "5"},
    )
