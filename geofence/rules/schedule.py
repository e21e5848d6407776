"""When a rule counts: dates, weekdays and hours, by the terminal's clock.

Hours are of China's one time, UTC+8 without summer time. A window may cross midnight; its weekday is that on which it
begins. Without dates, weekdays and hours a rule always counts.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

import numpy as np

from geofence.fence import FOREVER
from geofence.rules.terms import WEEKDAY_WORDS, Language

_CHINA = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000_000
WEEK = 7 * 1440 * MINUTE
_DAY = 1440
# From a time to the time since a Monday 00:00 in China: the epoch was a Thursday, 08:00 there.
_SINCE_MONDAY = (3 * 24 + 8) * 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Schedule:
    """valid_from, valid_to: us UTC, [from, to), None is open. weekdays: 1 (Monday) to 7, () is every day.

    hours: (begin, end) in minutes of the day, end at or before begin is on the next day; () is the whole day.
    """

    valid_from: int | None = None
    valid_to: int | None = None
    weekdays: tuple[int, ...] = ()
    hours: tuple[tuple[int, int], ...] = ()

    @property
    def dates(self) -> tuple[int, ...]:
        """The times (us UTC) at which its dates begin and end."""
        return tuple(edge for edge in (self.valid_from, self.valid_to) if edge is not None)

    @property
    def weekly(self) -> tuple[int, ...]:
        """The times at which its windows open and close, us since Monday 00:00 in China, ascending."""
        return _week(self.weekdays, self.hours)[1]

    def counts_at(self, at: int) -> bool:
        """Whether the rule counts at a device time (us UTC)."""
        if (self.valid_from is not None and at < self.valid_from) or (
            self.valid_to is not None and self.valid_to <= at
        ):
            return False
        open_on_monday, edges = _week(self.weekdays, self.hours)
        return open_on_monday ^ bool(bisect_right(edges, since_monday(at)) % 2)

    def wording(self, language: Language) -> str:
        """For people; "" where it always counts."""
        english = language == "en"
        said = []
        if self.valid_from is not None:
            said.append(f"from {_shown(self.valid_from)}" if english else f"自{_shown(self.valid_from)}起")
        if self.valid_to is not None:
            said.append(f"before {_shown(self.valid_to)}" if english else f"{_shown(self.valid_to)}前")
        if self.weekdays:
            said.append((", " if english else "、").join(WEEKDAY_WORDS[day][english] for day in self.weekdays))
        if self.hours:
            said.append((", " if english else "、").join(_window(*each, english) for each in self.hours))
        return (", " if english else ",").join(said)

    def to_json(self) -> dict[str, Any]:
        """The keys of a rule that say when; none where it always counts."""
        found: dict[str, Any] = {}
        if self.valid_from is not None:
            found["valid_from"] = _local(self.valid_from).isoformat()
        if self.valid_to is not None:
            found["valid_to"] = _local(self.valid_to).isoformat()
        if self.weekdays:
            found["weekdays"] = list(self.weekdays)
        if self.hours:
            found["hours"] = [[_clock(begin), _clock(end)] for begin, end in self.hours]
        return found


class Timetable:
    """When several schedules change: the stretches of time in which all of them stay as they are."""

    def __init__(self, schedules: tuple[Schedule, ...]) -> None:
        self._dates = sorted({edge for schedule in schedules for edge in schedule.dates})
        self._weekly = sorted({edge for schedule in schedules for edge in schedule.weekly})

    def around(self, at: int) -> tuple[tuple[int, int], int, int]:
        """(key, since, until) of the stretch [since, until) around a time, us UTC, ended by FOREVER at most.

        Stretches with the same key (of different weeks) have the same schedules counting.
        """
        place = bisect_right(self._dates, at)
        since = self._dates[place - 1] if place else -FOREVER
        until = self._dates[place] if place < len(self._dates) else FOREVER
        if not self._weekly:
            return (place, 0), since, until
        now = since_monday(at)
        later = bisect_right(self._weekly, now)
        closes = self._weekly[later] if later < len(self._weekly) else self._weekly[0] + WEEK
        opened = self._weekly[later - 1] - (0 if later else WEEK)
        return (place, later % len(self._weekly)), max(since, at - now + opened), min(until, at - now + closes)


def since_monday(at: int) -> int:
    """Us since the last Monday 00:00 in China."""
    return (at + _SINCE_MONDAY) % WEEK


@lru_cache(4096)
def _week(weekdays: tuple[int, ...], hours: tuple[tuple[int, int], ...]) -> tuple[bool, tuple[int, ...]]:
    """(whether a window is open as Monday begins, the times since then at which that changes)."""
    if not weekdays and not hours:
        return True, ()
    opened = np.zeros(7 * _DAY, bool)
    for day in weekdays or range(1, 8):
        for begin, end in hours or ((0, _DAY),):
            first = (day - 1) * _DAY + begin
            minutes = np.arange(first, first + (end - begin if end > begin else _DAY + end - begin))
            opened[minutes % (7 * _DAY)] = True
    edges = np.flatnonzero(opened[1:] != opened[:-1]) + 1
    if opened[0] != opened[-1]:
        # The week's own beginning is an edge; counted as one, every later edge flips the same way.
        return bool(opened[-1]), (0, *(int(edge) * MINUTE for edge in edges))
    return bool(opened[0]), tuple(int(edge) * MINUTE for edge in edges)


def _local(at: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(_CHINA)


def _shown(at: int) -> str:
    """The date, and the time of day where it is not midnight."""
    local = _local(at).replace(tzinfo=None)
    return f"{local:%Y-%m-%d}" if (local.hour, local.minute, local.second) == (0, 0, 0) else local.isoformat(" ")


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _window(begin: int, end: int, english: bool) -> str:
    next_day = end <= begin
    if english:
        return f"{_clock(begin)} to {_clock(end)}{' of the next day' if next_day else ''}"
    return f"{_clock(begin)}至{'次日' if next_day else ''}{_clock(end)}"
