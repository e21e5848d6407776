"""Dead letters: what could not be decoded or stored, for those who mend decoders. `lezgate dead-letters replay` replays them.

A packet's bytes are somebody's position: the list has none, and each look at one states a purpose and leaves an audit row.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Id, Limit
from admin_api.permissions import Permission
from admin_api.problems import not_found
from admin_api.records import PurposeText, record, stated
from admin_api.state import Here
from storage import dead_letters

router = APIRouter(prefix=PREFIX + "/dead-letters", tags=["dead letters"])


@router.get("", dependencies=[require(Permission.DEAD_LETTERS_READ)])
async def list_dead_letters(
    here: Here,
    reason: Annotated[str | None, Query(description="Of this reason only: checksum, body, failed ...")] = None,
    since: Annotated[str | None, Query(description="Put aside at or after this time")] = None,
    replayed: Annotated[bool | None, Query(description="Only those that were replayed, or were not")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Newest first, without their bytes."""
    start = parameters.time(since, "query.since")
    before = parameters.last_id(cursor)
    async with here.database() as connection:
        rows = await dead_letters.page(
            connection, reason=reason, since=start, replayed=replayed, before=before, limit=limit
        )
    return page([item(row) for row in rows], [rows[-1]["id"]] if len(rows) == limit else None)


@router.get("/{letter}", dependencies=[require(Permission.DEAD_LETTERS_READ)])
async def show_dead_letter(
    request: Request, account: Asker, here: Here, letter: Id, purpose: PurposeText = None
) -> Json:  # fmt: skip
    """One with its bytes."""
    reason = stated(purpose)
    async with here.database() as connection:
        row = await dead_letters.about(connection, letter)
        if row is None:
            raise not_found("dead letter", "死信")
        await record(connection, request, account, "dead_letter.read", f"dead-letter/{letter}", purpose=reason)
    return Json({**item(row), "hex": row["data"].hex()})


def item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "reason": row["reason"],
        "terminal_phone": row["phone"],
        "received_at": row["received"],
        "stored_at": row["at"],
        "partition": row["partition"],
        "sequence": row["sequence"],
        "bytes": row["bytes"],
        "replayed_at": row["replayed_at"],
        "replayed_by": row["replayed_by"],
        "outcome": row["outcome"],
    }
