"""The properties of a GeoJSON Feature, read one by one; each refusal names the property and what it should have been."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

from geofence.errors import ZoneError

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(properties: Mapping[str, Any], key: str) -> str:
    value = properties.get(key)
    if value is None or value == "":
        raise missing(key)
    if not isinstance(value, str) or not value.strip():
        raise bad(key, "must be a text", "须为文本")
    return value.strip()


def choice(properties: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    """The first of the choices is the default."""
    value = properties.get(key)
    if value is None:
        return choices[0]
    if value not in choices:
        raise bad(key, "must be one of " + ", ".join(choices), "须为以下之一:" + "、".join(choices))
    return cast("str", value)


def number(properties: Mapping[str, Any], key: str, default: float, most: float, unit: str, unit_zh: str) -> float:
    """A number from 0 to ``most``, in ``unit``."""
    value = properties.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise bad(key, f"must be a number, in {unit}", f"须为数字,单位为{unit_zh}")
    if not 0 <= value <= most:
        raise bad(key, f"must be from 0 to {most:.15g} {unit}", f"须在 0 至 {most:.15g} {unit_zh}之间")
    return float(value)


def time(properties: Mapping[str, Any], key: str) -> int | None:
    """int64 us UTC of an ISO 8601 time with an offset; None where there is none."""
    value = properties.get(key)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None:
        raise bad(
            key, "must be an ISO 8601 time with an offset", "须为带时区的 ISO 8601 时间,如 2026-01-01T00:00:00+08:00"
        )
    return (at - _EPOCH) // timedelta(microseconds=1)


def missing(key: str, hint_en: str = "", hint_zh: str = "") -> ZoneError:
    return ZoneError("property_missing", f"{key} is missing{hint_en}", f"缺少 {key}{hint_zh}", f"properties.{key}")


def bad(key: str, what_en: str, what_zh: str) -> ZoneError:
    return ZoneError("property_bad", f"{key} {what_en}", f"{key} {what_zh}", f"properties.{key}")
