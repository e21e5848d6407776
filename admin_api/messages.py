"""What terminals say besides positions and files: answers, events, drivers, passed-through data.

Among it are places and people (0x0201, 0x0702), so each look states a purpose and leaves an audit row, as a track does.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor
from admin_api.permissions import Permission
from admin_api.phones import Phone
from admin_api.problems import not_found
from admin_api.records import PurposeText, record, stated
from admin_api.state import Here
from admin_api.tracks import End, Start, window
from storage.queries import alarms, terminal_messages, terminals

router = APIRouter(prefix=PREFIX, tags=["messages"])

# One message has up to 64 KB, which are twice that as hex, and its values as much again: a page stays below 20 MB.
Limit = Annotated[int, Query(ge=1, le=100, description="Rows of a page")]
Kind = Annotated[
    str | None, Query(alias="message", pattern="^0x[0-9a-fA-F]{4}$", description="Of one message id only: 0x0702")
]


@router.get("/terminals/{phone}/messages", dependencies=[require(Permission.TRACKS_READ)])
async def list_messages(
    request: Request, account: Asker, here: Here, phone: Phone, start: Start = None, end: End = None,
    kind: Kind = None, purpose: PurposeText = None, limit: Limit = 100, cursor: Cursor = None,
) -> Json:  # fmt: skip
    """What the terminal said, in the order in which it came, with the machine that it sat on then."""
    since, until = window(start, end)
    after = parameters.track_place(cursor)
    reason = stated(purpose)
    message = None if kind is None else int(kind, 16)
    async with here.database() as connection:
        terminal = await terminals.find(connection, phone)
        if terminal is None:
            raise not_found("terminal", "终端")
        device = int(terminal["device"])
        if account.reads is not None and device not in await alarms.machines_in(connection, account.reads):
            raise not_found("terminal", "终端")
        detail = {"from": since.isoformat(), "to": until.isoformat()} | ({} if kind is None else {"message": kind})
        await record(connection, request, account, "message.list", f"terminal/{phone}", purpose=reason, detail=detail)
        rows = await terminal_messages.of_terminal(connection, device, since, until, message, after, limit)
    last = rows[-1] if len(rows) == limit else None
    key = None if last is None else [last["received"].isoformat(), last["device"], last["id"]]
    return page([item(row) for row in rows], key)


def item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "message_id": f"0x{row['message']:04x}",
        "edition": row["edition"],
        "serial": row["serial"],
        "received_at": row["received"],
        "body": row["said"],
        "hex": row["body"].hex(),
        "error": row["reason"],
        "machine_id": row["machine"],
    }
