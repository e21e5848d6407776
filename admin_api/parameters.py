"""Query parameters that several routes share: times, cursors, page sizes, boxes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from annotated_types import Ge, Lt
from fastapi import Query

from admin_api.answers import CursorError, decode
from admin_api.problems import Problem, invalid

CHINA = ZoneInfo("Asia/Shanghai")

Limit = Annotated[int, Query(ge=1, le=1000, description="Rows of a page")]
# A row's id: PostgreSQL's bigint has no more.
Id = Annotated[int, Ge(1), Lt(1 << 63)]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]

# A plus sign that arrived as a space because it was not percent-encoded.
_LOST_PLUS = re.compile(r" (\d{2}:?\d{2})$")
_YEARS = range(1970, 2200)


def time(text: str | None, where: str) -> datetime | None:
    """ISO 8601; without an offset it is the time in China."""
    if text is None or not text.strip():
        return None
    try:
        value = datetime.fromisoformat(_LOST_PLUS.sub(r"+\1", text.strip()))
    except ValueError:
        value = None
    if value is None or value.year not in _YEARS:
        raise invalid(
            where,
            f"{text!r} is no ISO 8601 time such as 2026-01-31T08:00:00+08:00.",
            f"{text!r} 不是 ISO 8601 时间，例如 2026-01-31T08:00:00+08:00。",
        )
    return value.replace(tzinfo=CHINA) if value.tzinfo is None else value


def _bad_cursor() -> Problem:
    return invalid("query.cursor", "This cursor is not one of this list's.", "分页游标无效。")


def place(cursor: str | None, length: int) -> list[Any] | None:
    """The sort key of a cursor. Raises a 422 Problem for a forged one."""
    if cursor is None:
        return None
    try:
        return decode(cursor, length)
    except CursorError:
        raise _bad_cursor() from None


def last_id(cursor: str | None) -> int | None:
    key = place(cursor, 1)
    if key is None:
        return None
    if not isinstance(key[0], int) or isinstance(key[0], bool) or not 0 <= key[0] < 1 << 63:
        raise _bad_cursor()
    return key[0]


def track_place(cursor: str | None) -> tuple[datetime, int, int] | None:
    key = place(cursor, 3)
    if key is None:
        return None
    at, device, fingerprint = key
    try:
        moment = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise _bad_cursor() from None
    if moment.tzinfo is None or not all(isinstance(part, int) and -(1 << 63) <= part < 1 << 63 for part in key[1:]):
        raise _bad_cursor()
    return moment, device, fingerprint


def box(text: str | None) -> tuple[float, float, float, float] | None:
    """`west,south,east,north` in WGS-84 degrees."""
    if text is None or not text.strip():
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        west = south = east = north = float("nan")
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise invalid(
            "query.bbox",
            "bbox is west,south,east,north in degrees (WGS-84).",
            "bbox 应为 西,南,东,北（WGS-84，单位为度）。",
        )
    return west, south, east, north
