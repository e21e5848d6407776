"""Sessions: sign in with a password or a one-time link, ask who one is, sign out."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from admin_api import passwords
from admin_api.answers import Json
from admin_api.authentication import COOKIE, PREFIX, Asker, account_of, digest, new_token
from admin_api.permissions import ROLES, Account
from admin_api.problems import Problem
from admin_api.records import record
from admin_api.state import Connection, Here, State
from storage.queries import accounts, tokens

router = APIRouter(prefix=PREFIX + "/session", tags=["session"])

# A shift and its hand-over.
LIFETIME = timedelta(hours=12)


def who(account: Account, state: State) -> dict[str, Any]:
    return {
        "login": account.actor,
        "role": account.role,
        "role_name_zh": ROLES[account.role].name_zh,
        "district": account.district,
        "permissions": account.permissions,
        "reads_city": account.reads is None,
        "demo": state.options.demo,
    }


async def _open(connection: Connection, request: Request, state: State, row: dict[str, Any]) -> Json:
    """A session for the account or link in ``row``: its cookie, and who it is."""
    text, hashed = new_token()
    await tokens.remove_expired(connection)
    await tokens.add(
        connection,
        digest=hashed,
        kind="session",
        name=row["name"],
        role=row["role"],
        district=row["district"],
        account=row["account"],
        lifetime=LIFETIME,
    )
    account = await account_of(connection, "session", text)
    if account is None:
        raise _refused()
    await record(connection, request, account, "session.create", account.actor)
    answer = Json(who(account, state), 201)
    answer.set_cookie(
        COOKIE,
        text,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        secure=state.options.secure,
        httponly=True,
        samesite="strict",
    )
    return answer


def _refused() -> Problem:
    return Problem(401, "sign-in-refused", "The login or the password is wrong.", "用户名或密码错误。")


@router.post("", status_code=201)
async def sign_in(
    request: Request,
    state: Here,
    login: Annotated[str, Body(max_length=200)],
    password: Annotated[str, Body(max_length=1000)],
) -> Json:
    """Signs in with login and password. The same answer for a wrong login and a wrong password."""
    key = f"{request.client.host if request.client else ''} {login}"
    if seconds := state.throttle.wait(key):
        raise Problem(
            429,
            "too-many-attempts",
            f"Too many failures; try again in {seconds} s.",
            f"失败次数过多，请在 {seconds} 秒后重试。",
            headers={"Retry-After": str(seconds)},
        )
    async with state.database() as connection:
        account = await accounts.find(connection, login)
    kept = account["password"] if account else None
    async with state.hashing:
        good = await asyncio.to_thread(passwords.matches, password, kept)
    if account is None or not good:
        state.throttle.failed(key)
        raise _refused()
    state.throttle.forget(key)
    row = {"name": account["login"], "role": account["role"], "district": account["district"], "account": account["id"]}
    async with state.database() as connection:
        return await _open(connection, request, state, row)


@router.post("/link", status_code=201)
async def redeem(request: Request, state: Here, token: Annotated[str, Body(embed=True, max_length=200)]) -> Json:
    """Signs in with a one-time link's token: good once, for 24 hours."""
    async with state.database() as connection:
        row = await tokens.redeem_link(connection, digest(token))
        if row is None:
            raise Problem(
                401,
                "link-refused",
                "This link has been used, is over, or never was.",
                "登录链接已使用、已过期或无效。",
            )
        return await _open(connection, request, state, row)


@router.get("")
async def who_am_i(account: Asker, state: Here) -> Json:
    """Who asks: login, role, district, permissions, and whether this is a demo."""
    return Json(who(account, state))


@router.delete("", status_code=204)
async def sign_out(account: Asker, state: Here) -> Response:
    """Ends this session (or revokes this bearer token)."""
    async with state.database() as connection:
        await tokens.remove(connection, account.token)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", secure=state.options.secure, httponly=True, samesite="strict")
    return answer
