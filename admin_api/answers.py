"""What goes out: orjson documents, list pages with opaque cursors."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from starlette.responses import Response


class Json(Response):
    """A JSON answer by orjson; datetimes leave as ISO 8601 with their offset."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


def page(items: list[Any], next_key: list[Any] | None, **more: Any) -> Json:
    """One page of a list. ``next_key`` is the last row's sort key, or None on the last page."""
    return Json({"items": items, "next_cursor": None if next_key is None else encode(next_key), **more})


def encode(key: list[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


class CursorError(ValueError):
    """Not a cursor that we gave out."""


def decode(cursor: str, length: int) -> list[Any]:
    """The sort key in a cursor. Raises CursorError where it is none, or one of another list."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise CursorError(cursor) from error
    if not isinstance(key, list) or len(key) != length:
        raise CursorError(cursor)
    return key
