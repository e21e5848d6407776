"""Positions: the neutral column form of position reports, whatever protocol they came in."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

import numpy as np

from columns.ragged import Ragged
from columns.ragged import concatenate as concatenate_ragged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Source(IntEnum):
    """How a report came in. Lateness is an age, never a source (0x0704 type 0 is ordinary reporting)."""

    LIVE = 0
    BATCH = 1
    BACKFILL = 2
    QUERY = 3


class Quality(IntFlag):
    """What is wrong with a fix; 0 is a good one. Bits, because a report can be wrong in several ways."""

    NOT_FIXED = 1
    ENCRYPTED = 2
    BAD_TIME = 4
    FUTURE = 8
    ZERO = 16
    OUT_OF_RANGE = 32
    JUMP = 64
    UNVERIFIED = 128
    """Any authentication code was accepted from this terminal (trust=legacy): a good fix, of a sender unproven."""
    DISPUTED = 256
    """Two terminals claim this identity and each throws the other out: nothing is decided on its word."""


_FAULTS = np.uint16(0xFFFF ^ Quality.UNVERIFIED)


NO_MILEAGE = -1
NO_SATELLITES = -1

DTYPES: dict[str, str] = {
    "packet": "<i4",
    "device": "<i8",
    "time": "<i8",
    "fingerprint": "<i8",
    "received": "<i8",
    "lon": "<f8",
    "lat": "<f8",
    "altitude": "<i2",
    "speed": "<u2",
    "course": "<u2",
    "alarm": "<u4",
    "status": "<u4",
    "mileage": "<i4",
    "satellites": "<i2",
    "serial": "<u2",
    "source": "<u1",
    "quality": "<u2",
}


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Equal-length 1-D columns, one row per position report.

    packet       int32    row of the Packets it came in (several rows for a 0x0704)
    device       int64    our terminal number (columns.identity.device_of)
    time         int64    device time, us since 1970 UTC; the receive second where quality has BAD_TIME
    fingerprint  int64    64-bit fingerprint of the report's body (columns.fingerprint)
    received     int64    us since 1970 UTC, by the edge's clock
    lon, lat     float64  degrees WGS-84, signed
    altitude     int16    m
    speed        uint16   0.1 km/h
    course       uint16   degrees clockwise from north, 0-359
    alarm        uint32   JT/T 808 table 24 bits (each protocol maps its own onto these)
    status       uint32   JT/T 808 table 25 bits
    mileage      int32    0.1 km, NO_MILEAGE where not reported
    satellites   int16    NO_SATELLITES where not reported
    serial       uint16   serial number of the packet
    source       uint8    Source
    quality      uint16   Quality bits
    extras       Ragged   the raw additional items, undecoded
    """

    packet: NDArray[np.int32]
    device: NDArray[np.int64]
    time: NDArray[np.int64]
    fingerprint: NDArray[np.int64]
    received: NDArray[np.int64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    altitude: NDArray[np.int16]
    speed: NDArray[np.uint16]
    course: NDArray[np.uint16]
    alarm: NDArray[np.uint32]
    status: NDArray[np.uint32]
    mileage: NDArray[np.int32]
    satellites: NDArray[np.int16]
    serial: NDArray[np.uint16]
    source: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    extras: Ragged

    @property
    def good(self) -> NDArray[np.bool_]:
        """Whether each row is a fix that may be judged: UNVERIFIED alone doesn't keep it from that."""
        judged: NDArray[np.bool_] = (self.quality & _FAULTS) == 0
        return judged

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: NDArray[np.intp]) -> Positions:
        """The rows at ``index`` (integers), in that order."""
        taken = {name: getattr(self, name)[index] for name in DTYPES}
        return Positions(**taken, extras=self.extras.take(index))

    def with_columns(self, **columns: NDArray[np.generic] | Ragged) -> Positions:
        """The same rows with some columns replaced."""
        return replace(self, **columns)  # type: ignore[arg-type]

    @staticmethod
    def empty() -> Positions:
        """No rows; always the same object, since nobody can change it."""
        return _EMPTY


_EMPTY = Positions(**{name: np.empty(0, dtype) for name, dtype in DTYPES.items()}, extras=Ragged.empty())


def concatenate(parts: Sequence[Positions]) -> Positions:
    """All rows of all parts, in order. ``packet`` is kept as it is: it means something only within its part."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Positions.empty()
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Positions)
        if field.name != "extras"
    }
    return Positions(**columns, extras=concatenate_ragged([part.extras for part in parts]))
