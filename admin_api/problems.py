"""Errors: every one leaves as RFC 9457 problem+json of one shape, in English and Chinese.

    {"type": "urn:lezgate:problem:CODE", "title", "status", "detail", "detail_zh", "errors"?: [{"where", "message"}], ...}

A handler raises `Problem`; what the framework or the database raises is turned into one here. A 500 says nothing of
its cause: that goes to the log.
"""

from __future__ import annotations

import http
import logging
from typing import TYPE_CHECKING, Any

import psycopg
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from admin_api.answers import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:lezgate:problem:"

# What the framework itself answers with, by status: code, Chinese sentence.
_OF_STATUS = {
    400: ("bad-request", "请求格式有误。"),
    401: ("unauthenticated", "未登录或登录已失效。"),
    403: ("forbidden", "当前账号没有此项权限。"),
    404: ("not-found", "没有这个资源。"),
    405: ("method-not-allowed", "该地址不支持此请求方法。"),
    409: ("conflict", "与现有数据冲突。"),
    413: ("too-large", "请求内容过大。"),
    415: ("unsupported-media-type", "不支持的内容类型。"),
    422: ("invalid", "请求内容未通过校验。"),
}


class Problem(Exception):  # noqa: N818 - the trade's word (RFC 9457)
    """An answer that is not what was asked for. ``more`` are further members of the document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        detail_zh: str,
        *,
        errors: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.detail_zh = detail_zh
        self.errors = errors
        self.headers = dict(headers or {})
        self.more = more

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "type": _PREFIX + self.code,
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "detail_zh": self.detail_zh,
        }
        if self.errors is not None:
            document["errors"] = self.errors
        return document | self.more

    def response(self) -> Json:
        return Json(self.document(), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def not_found(what: str, what_zh: str) -> Problem:
    return Problem(404, "not-found", f"There is no such {what}.", f"没有这个{what_zh}。")


def invalid(where: str, message: str, message_zh: str, code: str = "invalid") -> Problem:
    """A 422 about one field."""
    return Problem(422, code, message, message_zh, errors=[{"where": where, "message": message}])


def unavailable() -> Problem:
    return Problem(
        503,
        "database-unavailable",
        "The database does not answer; terminals' reports are kept in the log meanwhile.",
        "数据库暂不可用；终端数据仍在日志中保存，不会丢失。",
        headers={"Retry-After": "2"},
    )


async def _problem(_: Request, error: Exception) -> Json:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class alone
    return error.response()


async def _http(_: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)  # noqa: S101
    code, detail_zh = _OF_STATUS.get(error.status_code, ("error", "请求未能完成。"))
    return Problem(error.status_code, code, str(error.detail), detail_zh, headers=error.headers).response()


async def _validation(_: Request, error: Exception) -> Json:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [{"where": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in error.errors()]
    fields = ", ".join(str(each["where"]) for each in errors)
    return Problem(
        422, "invalid", f"These fields are not valid: {fields}.", f"以下字段未通过校验：{fields}。", errors=errors
    ).response()


async def _database(_: Request, error: Exception) -> Json:
    log.warning("the database does not answer: %s", error)
    return unavailable().response()


async def _unexpected(request: Request, error: Exception) -> Json:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Problem(500, "internal", "Something went wrong on our side.", "服务器内部错误，已记录。").response()


def install(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    # PoolTimeout is an OperationalError too: no connection within the pool's time-out.
    app.add_exception_handler(psycopg.OperationalError, _database)
    app.add_exception_handler(psycopg.InterfaceError, _database)
    app.add_exception_handler(Exception, _unexpected)
