"""Times as six BCD bytes YYMMDDhhmmss in GMT+8 <-> microseconds since 1970 UTC.

A column of times is three look-ups and two additions: the six bytes are read as three big-endian words, year and month,
day and hour, minute and second, and each word has a table of the seconds it stands for. What is no time (a nibble above
9, month 13, 30 February) stands for a number of seconds that no sum brings back into range.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECOND = 1_000_000
GMT8 = 8 * 3600
_NEVER = 1 << 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def _tables() -> tuple[NDArray[np.int64], ...]:
    """(start of month in UTC, its seconds or 0) by year and month; by day and hour; by minute and second."""
    month_start, month_length = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
    day_hour, minute_second = np.full(1 << 16, _NEVER), np.full(1 << 16, -_NEVER)
    for year in range(100):
        for month in range(1, 13):
            word = _bcd(year) << 8 | _bcd(month)
            month_start[word] = int((datetime(2000 + year, month, 1, tzinfo=UTC) - _EPOCH).total_seconds()) - GMT8
            month_length[word] = monthrange(2000 + year, month)[1] * 86400
    for day in range(1, 32):
        for hour in range(24):
            day_hour[_bcd(day) << 8 | _bcd(hour)] = (day - 1) * 86400 + hour * 3600
    for minute in range(60):
        for second in range(60):
            minute_second[_bcd(minute) << 8 | _bcd(second)] = minute * 60 + second
    return month_start, month_length, day_hour, minute_second


_MONTH_START, _MONTH_LENGTH, _DAY_HOUR, _MINUTE_SECOND = _tables()


def times(
    year_month: NDArray[np.uint16], day_hour: NDArray[np.uint16], minute_second: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(us since 1970 UTC, whether it is a time at all); the first means nothing where the second is False."""
    in_month = _DAY_HOUR[day_hour]
    seconds = _MONTH_START[year_month]
    seconds += in_month
    seconds += _MINUTE_SECOND[minute_second]
    valid = in_month < _MONTH_LENGTH[year_month]
    valid &= seconds > 0
    seconds *= SECOND
    return seconds, valid


def time_bcd(time_us: int, *, offset: int = GMT8) -> bytes:
    """The six bytes for a time, whole seconds; `offset` in seconds, 0 for the one field that is in UTC (0x8004)."""
    local = _EPOCH + timedelta(seconds=time_us // SECOND + offset)
    return bytes.fromhex(local.strftime("%y%m%d%H%M%S"))
