"""The position report (0x0200, 位置信息汇报) as columns: 28 bytes each, then additional items.

alarm 0, status 4, latitude 8, longitude 12 (1e-6 degrees, unsigned), altitude 16 (m), speed 18 (0.1 km/h), course 20,
time 22 (BCD, GMT+8), items 28. The hemispheres stand in the status alone. Items stay raw here; `items` reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from columns.fingerprint import fingerprints
from columns.positions import NO_MILEAGE, NO_SATELLITES, Positions, Quality
from columns.ragged import cut
from protocols.jt808 import bcd
from protocols.jt808.header import records

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from protocols.jt808.header import Packets

BASIC = 28
FIXED, SOUTH, WEST, SCRAMBLED = 1 << 1, 1 << 2, 1 << 3, 1 << 5  # status bits 1, 2, 3, 5
AHEAD = 5 * 60 * bcd.SECOND
"""A device time further ahead of our clock than this is Quality.FUTURE."""
FIRST = 1_293_811_200 * bcd.SECOND
"""2011-01-01 in China: no terminal is older than the standard. An earlier time is a clock that was reset or rolled over
(GPS weeks repeat after 19.6 years), so it is no time."""
MAX_LAT, MAX_LON = 90_000_000, 180_000_000

_Integer = TypeVar("_Integer", bound=np.integer)

_FIELDS = np.dtype(
    [
        ("alarm", ">u4"),
        ("status", ">u4"),
        ("lat", ">u4"),
        ("lon", ">u4"),
        ("altitude", ">i2"),  # unsigned in the standard; terminals below sea level send 0x8000 and above
        ("speed", ">u2"),
        ("course", ">u2"),
        ("year_month", ">u2"),
        ("day_hour", ">u2"),
        ("minute_second", ">u2"),
    ]
)

_BAD_TIME, _FUTURE = np.uint16(Quality.BAD_TIME), np.uint16(Quality.FUTURE)
_ZERO, _OUT_OF_RANGE = np.uint16(Quality.ZERO), np.uint16(Quality.OUT_OF_RANGE)
_QUALITY_BITS = SCRAMBLED * 2 - 1
_QUALITY_OF_STATUS = np.array(
    [
        (0 if status & FIXED else Quality.NOT_FIXED) | (Quality.ENCRYPTED if status & SCRAMBLED else 0)
        for status in range(_QUALITY_BITS + 1)
    ],
    np.uint16,
)


def _filled(n: int, dtype: type[_Integer], value: int) -> NDArray[_Integer]:
    column = np.empty(n, dtype)
    column.fill(value)
    return column


def read(
    packets: Packets,
    packet: NDArray[np.int32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    source: NDArray[np.uint8],
    received: int,
) -> Positions:
    """One row for each report buffer[starts[i]:ends[i]] of at least BASIC bytes, which came in packets[packet[i]].

    received: int64 us UTC. A report whose time is no time gets the receive second, and a fingerprint of its packet up to
    the report's end: its body alone may be the same every time, and the packet's serial number is not.
    """
    fields = records(packets.buffer, starts, BASIC).view(_FIELDS)
    status = fields["status"].astype(np.uint32)
    lat, lon = fields["lat"].astype(np.int64), fields["lon"].astype(np.int64)
    time, valid = bcd.times(fields["year_month"], fields["day_hour"], fields["minute_second"])
    valid &= time >= FIRST
    fingerprint = fingerprints(packets.buffer, starts, ends)
    quality = _QUALITY_OF_STATUS[status & _QUALITY_BITS]
    if not valid.all():
        bad = (~valid).nonzero()[0]
        time[bad] = received // bcd.SECOND * bcd.SECOND
        fingerprint[bad] = fingerprints(packets.buffer, packets.start[packet[bad]], ends[bad])
        quality[bad] |= _BAD_TIME
    future = time > received + AHEAD
    if future.any():
        quality[future] |= _FUTURE
    # One test for the two rare cases: zero, less one, is beyond every limit as an unsigned number.
    odd = (lat - 1).view(np.uint64) >= MAX_LAT
    odd |= (lon - 1).view(np.uint64) >= MAX_LON
    if odd.any():
        quality[(lat | lon) == 0] |= _ZERO
        quality[(lat > MAX_LAT) | (lon > MAX_LON)] |= _OUT_OF_RANGE
    if (status & (SOUTH | WEST)).any():
        lat = np.where(status & SOUTH, -lat, lat)
        lon = np.where(status & WEST, -lon, lon)
    n = len(starts)
    return Positions(
        packet=packet,
        device=np.zeros(n, np.int64),
        time=time,
        fingerprint=fingerprint,
        received=_filled(n, np.int64, received),
        lon=lon / 1e6,
        lat=lat / 1e6,
        altitude=fields["altitude"].astype(np.int16),
        speed=fields["speed"].astype(np.uint16),
        course=fields["course"].astype(np.uint16),
        alarm=fields["alarm"].astype(np.uint32),
        status=status,
        mileage=_filled(n, np.int32, NO_MILEAGE),
        satellites=_filled(n, np.int16, NO_SATELLITES),
        serial=packets.serial[packet],
        source=source,
        quality=quality,
        extras=cut(packets.buffer, starts + BASIC, ends),
    )
