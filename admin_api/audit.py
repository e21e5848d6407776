"""The audit: who looked at what and why, who changed what. Read only; nothing removes a row."""

from typing import Annotated

from fastapi import APIRouter, Query

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, require
from admin_api.parameters import Cursor, Limit
from admin_api.permissions import Permission
from admin_api.state import Here
from storage.queries import audit

router = APIRouter(prefix=PREFIX + "/audit", tags=["audit"])


@router.get("", dependencies=[require(Permission.AUDIT_READ)])
async def list_audit(
    here: Here,
    actor: Annotated[str | None, Query()] = None,
    action: Annotated[str | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Audit rows, newest first."""
    async with here.database() as connection:
        rows = await audit.page(connection, before=parameters.last_id(cursor), limit=limit, actor=actor, action=action)
    return page(rows, [rows[-1]["id"]] if len(rows) == limit else None)
