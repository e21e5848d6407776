"""The console's files, with headers that let a page of ours run nothing and call nobody that is not ours."""

import base64
import hashlib
import mimetypes
import re
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admin_api.problems import not_found

HERE = Path(__file__).parent / "console"
# An inline script has no src; the import map is ours and cannot stand in a file of its own.
_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)

# Python asks the machine's own table, which differs from one to the next; a module of another type is not run.
for _suffix in (".mjs", ".js"):
    mimetypes.add_type("text/javascript", _suffix)
for _type, _suffix in (
    ("image/svg+xml", ".svg"),
    ("font/woff2", ".woff2"),
    ("application/geo+json", ".geojson"),
    ("application/wasm", ".wasm"),
    ("application/x-protobuf", ".pbf"),
):
    mimetypes.add_type(_type, _suffix)


def policy(page: bytes) -> str:
    """The Content-Security-Policy of a page: its own inline scripts by hash, everything else from here only."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page)
    ]
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src 'self'", *hashes)),
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "font-src 'self'",
            "manifest-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
        )
    )


class Headers:
    """ASGI middleware: headers that every answer carries."""

    def __init__(self, app: ASGIApp, content_security_policy: str) -> None:
        self.app = app
        self.added = [
            (b"content-security-policy", content_security_policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if scope["path"].startswith("/api/") and not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers + self.added
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


class Assets(StaticFiles):
    """Served with revalidation: an updated gateway must not run yesterday's console."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def install(app: FastAPI, directory: Path | None = None, *, demo: bool = False) -> None:
    root = directory or HERE
    index = root / "index.html"
    page = index.read_bytes() if index.is_file() else None
    if page is not None and demo:  # every screen of a demo says so, also before anybody has signed in
        page = page.replace(b"<html ", b"<html data-demo ", 1)

    async def home(_: Request) -> Response:
        if page is None:
            raise not_found("console", "控制台页面")
        return Response(page, media_type="text/html", headers={"Cache-Control": "no-cache"})

    app.add_route("/", home, include_in_schema=False)
    if root.is_dir():
        app.mount("/assets", Assets(directory=root), "assets")
    app.add_middleware(Headers, content_security_policy=policy(page or b""))
