"""The longest body, declared or not: more is a 413 problem, and no more of it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from admin_api.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A table of 30,000 machines as XLSX has about 3 MB; a province's zones in GeoJSON about as much.
MOST_BYTES = 32 * 1024 * 1024
_DETAIL = f"A body has at most {MOST_BYTES} bytes."


class BodyLimit:
    """ASGI middleware. The framework's own limit would answer in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > MOST_BYTES:
            await Problem(413, "too-large", _DETAIL, "请求内容超过 32 MB。").response()(scope, receive, send)
            return
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MOST_BYTES:
                # Not a Problem: while it reads a body the framework lets only its own exception through.
                raise HTTPException(413, _DETAIL)
            return message

        await self.app(scope, counting, send)
