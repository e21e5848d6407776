"""Authentication: every request under /api/v1 shows a bearer token or a session cookie, before its body is read.

A cookie is sent by the browser whoever made the page, so an unsafe method with one must also carry `X-Lezgate: 1`
(a header that no form can set), besides the cookie's SameSite=Strict. Tokens are 256 bits of chance; the database
holds their SHA-256.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Annotated

import psycopg
from fastapi import Depends, Request, params
from starlette.datastructures import Headers

from admin_api.permissions import ROLES, Account, Permission
from admin_api.problems import Problem, unavailable
from storage.queries import tokens

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow
    from psycopg_pool import AsyncConnectionPool
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

COOKIE = "lezgate_session"
PREFIX = "/api/v1"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# Who acted, where no account stands behind the token.
_UNNAMED = {"bearer": "token", "session": "link"}
# Where a token is earned, none is asked for.
OPEN = {("POST", PREFIX + "/session"), ("POST", PREFIX + "/session/link")}


def new_token() -> tuple[str, bytes]:
    """A token's text, to be shown once, and the hash to keep."""
    text = secrets.token_urlsafe(32)
    return text, digest(text)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def unauthenticated() -> Problem:
    return Problem(
        401,
        "unauthenticated",
        "Sign in, or send a valid bearer token.",
        "请先登录，或提供有效的访问令牌。",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _forbidden_without_header() -> Problem:
    return Problem(
        403,
        "header-required",
        "A request with a session cookie that changes something must carry the header X-Lezgate: 1.",
        "使用会话 Cookie 的写操作必须携带请求头 X-Lezgate: 1。",
    )


def presented(headers: Headers) -> tuple[str, str] | None:
    """The token shown and its kind ('bearer' or 'session'); a header goes before a cookie."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme:
        return ("bearer", text.strip()) if scheme.lower() == "bearer" and text.strip() else None
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return ("session", morsel.value) if morsel and morsel.value else None


async def account_of(connection: AsyncConnection[DictRow], kind: str, text: str) -> Account | None:
    row = await tokens.find(connection, kind, digest(text))
    if row is None or row["role"] not in ROLES:
        return None
    return Account(
        actor=row["login"] or f"{_UNNAMED[kind]}:{row['name']}",
        role=row["role"],
        district=row["district"],
        districts=frozenset(row["districts"]),
        token=digest(text),
        account=row["account"],
        bearer=kind == "bearer",
    )


class Authentication:
    """ASGI middleware; leaves the `Account` in the request's state."""

    def __init__(self, app: ASGIApp, pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
        self.app = app
        self.pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        closed = path == PREFIX or path.startswith(PREFIX + "/")
        if scope["type"] != "http" or not closed or (scope["method"], path) in OPEN:
            await self.app(scope, receive, send)
            return
        try:
            account = await self._authenticate(scope)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning("the database does not answer: %s", error)
            await unavailable().response()(scope, receive, send)
            return
        scope.setdefault("state", {})["account"] = account
        await self.app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Account:
        headers = Headers(scope=scope)
        shown = presented(headers)
        if shown is None:
            raise unauthenticated()
        kind, text = shown
        async with self.pool.connection() as connection:
            account = await account_of(connection, kind, text)
        if account is None:
            raise unauthenticated()
        if kind == "session" and scope["method"] not in SAFE_METHODS and headers.get("x-lezgate") != "1":
            raise _forbidden_without_header()
        return account


def _account(request: Request) -> Account:
    account: Account = request.state.account
    return account


Asker = Annotated[Account, Depends(_account)]


def require(*permissions: Permission) -> params.Depends:
    """A dependency: the asker has one of these permissions, or gets a 403 problem."""

    def check(account: Annotated[Account, Depends(_account)]) -> None:
        if not any(account.may(permission) for permission in permissions):
            raise Problem(
                403,
                "forbidden",
                f"The role {account.role} may not do this ({' or '.join(permissions)}).",
                f"{ROLES[account.role].name_zh}没有此项权限。",
            )

    return params.Depends(check)
