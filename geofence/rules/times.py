"""When a rule counts, from JSON: valid_from, valid_to, weekdays, hours."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from geofence.rules.refusal import expected
from geofence.rules.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|(24):(00)", re.ASCII)
_MOST_WINDOWS = 24
"""Of one day."""


def read_schedule(given: Mapping[str, Any], where: str) -> Schedule:
    """The schedule of a rule's keys that are there. Raises ZoneError ``rules`` with the path."""
    begins, ends = (_time(given.get(key), f"{where}.{key}") for key in ("valid_from", "valid_to"))
    if begins is not None and ends is not None and ends <= begins:
        raise expected("a time later than valid_from", "晚于 valid_from 的时间", f"{where}.valid_to")
    return Schedule(
        begins,
        ends,
        _weekdays(given.get("weekdays"), f"{where}.weekdays"),
        _hours(given.get("hours"), f"{where}.hours"),
    )


def _time(value: object, where: str) -> int | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    # The first and the last year cannot be shown in another time zone, and mean nothing here.
    if at is None or at.tzinfo is None or not 1 < at.year < 9999:
        raise expected("an ISO 8601 time with an offset, such as 2026-01-01T00:00:00+08:00",
                       "带时区的 ISO 8601 时间,如 2026-01-01T00:00:00+08:00", where)  # fmt: skip
    return (at - _EPOCH) // timedelta(microseconds=1)


def _weekdays(value: object, where: str) -> tuple[int, ...]:
    if value is None:
        return ()
    days = value if isinstance(value, list | tuple) else ()
    named = [day for day in days if isinstance(day, int) and not isinstance(day, bool) and 1 <= day <= 7]
    if not named or len(set(named)) != len(days):
        raise expected(
            "a list of weekdays, 1 (Monday) to 7 (Sunday), each once", "星期列表,1(周一)至 7(周日),不重复", where
        )
    return tuple(sorted(named))


def _hours(value: object, where: str) -> tuple[tuple[int, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST_WINDOWS:
        raise expected(f'a list of 1 to {_MOST_WINDOWS} windows such as ["22:00", "06:00"]',
                       f'1 至 {_MOST_WINDOWS} 个时段的列表,如 ["22:00", "06:00"]', where)  # fmt: skip
    return tuple(_window(item, f"{where}[{i}]") for i, item in enumerate(value))


def _window(value: object, where: str) -> tuple[int, int]:
    """Minutes of the day; an end at or before the begin is on the next day."""
    if isinstance(value, list | tuple) and len(value) == 2:
        begin, end = (_minute(clock) for clock in value)
        if begin is not None and end is not None and begin not in {end, 1440}:
            return begin, end
    raise expected('["HH:MM", "HH:MM"], begin and end, not the same, the end up to 24:00',
                   '["HH:MM", "HH:MM"](开始、结束,二者不同,结束不晚于 24:00)', where)  # fmt: skip


def _minute(value: object) -> int | None:
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    hour, minute = (part for part in found.groups() if part is not None)
    return int(hour) * 60 + int(minute)
