"""Writes the audit's rows: who, in what role, from which address, did what to what, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query

from admin_api.problems import invalid
from storage.queries import audit

if TYPE_CHECKING:
    from starlette.requests import Request

    from admin_api.permissions import Account
    from admin_api.state import Connection

PurposeText = Annotated[
    str | None, Query(description="Why the positions are needed; written to the audit. 查询用途，将记入审计")
]
_LONGEST_PURPOSE = 200


def stated(purpose: str | None) -> str:
    """The purpose of a look at positions. Raises a 422 Problem where none is given (law 9)."""
    text = (purpose or "").strip()
    if not text:
        raise invalid(
            "query.purpose",
            "Say why these positions are needed: purpose=... It is written to the audit.",
            "查询位置数据必须说明用途（purpose=...），用途将记入审计。",
            "purpose-required",
        )
    if len(text) > _LONGEST_PURPOSE:
        raise invalid(
            "query.purpose",
            f"A purpose has at most {_LONGEST_PURPOSE} characters.",
            f"用途最长 {_LONGEST_PURPOSE} 个字符。",
        )
    return text


async def record(
    connection: Connection,
    request: Request,
    account: Account,
    action: str,
    object_: str,
    *,
    purpose: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    await audit.add(
        connection,
        actor=account.actor,
        role=account.role,
        action=action,
        object_=object_,
        purpose=purpose,
        detail=detail,
        address=request.client.host if request.client else None,
    )
