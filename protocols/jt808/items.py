"""The additional items of a position report (位置附加信息项 of 0x0200): id BYTE, length BYTE, value.

Terminals are free with them: lengths differ from the standard, zeros pad, the last item may be cut off. So an item is
known by its id *and* its length, id 0 is padding, an item that overruns ends the walk, and what is left is a tail.
`scan` reads what the worker stores, a whole column at a time; `parse` reads everything of one report, for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from columns.positions import NO_MILEAGE, NO_SATELLITES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from columns.ragged import Ragged

MILEAGE, SATELLITES = 0x01, 0x31
_HEAD = 2


class Item(NamedTuple):
    """name and value are None where the standard does not define the id with this length."""

    id: int
    data: bytes
    name: str | None = None
    value: Any = None


def scan(extras: Ragged) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """(mileage in 0.1 km, satellites) of every report, NO_MILEAGE and NO_SATELLITES where it has none.

    All rows walk abreast, one item a step, so the cost is that of the report with the most items. The last item of an
    id counts. A mileage that int32 does not hold is none.
    """
    n = len(extras)
    mileage, satellites = np.full(n, NO_MILEAGE, np.int32), np.full(n, NO_SATELLITES, np.int16)
    blob = extras.blob
    filled = np.append(np.flatnonzero(blob), len(blob))
    rows, at, end = np.arange(n), extras.offsets[:-1], extras.offsets[1:]
    while True:
        more = (at + _HEAD <= end).nonzero()[0]
        if not len(more):
            return mileage, satellites
        if len(more) < len(rows):
            rows, at, end = rows[more], at[more], end[more]
        kind, length = blob[at], blob[at + 1]
        value = at + _HEAD
        after = value + length  # beyond the end for an item that overruns, which ends its row's walk
        fits = after <= end
        found = (fits & (kind == MILEAGE) & (length == 4)).nonzero()[0]
        if len(found):
            first = value[found]
            high = blob[first].astype(np.int32) << 24 | blob[first + 1].astype(np.int32) << 16
            number = high | blob[first + 2].astype(np.int32) << 8 | blob[first + 3]
            mileage[rows[found]] = np.where(number < 0, NO_MILEAGE, number)
        found = (fits & (kind == SATELLITES) & (length == 1)).nonzero()[0]
        if len(found):
            satellites[rows[found]] = blob[value[found]]
        padding = (kind == 0).nonzero()[0]
        if len(padding):
            after[padding] = filled[filled.searchsorted(at[padding])]
        at = after


def parse(data: bytes) -> tuple[list[Item], bytes]:
    """(all items, what is left): the tail is an item that overruns, a lone byte, or the padding at the end."""
    items: list[Item] = []
    at, end = 0, len(data)
    while at < end:
        if data[at] == 0:
            rest = data[at:].lstrip(b"\x00")
            if not rest:
                break
            at = end - len(rest)
        after = at + _HEAD + data[at + 1] if at + 1 < end else end + 1
        if after > end:
            break
        items.append(_item(data[at], data[at + _HEAD : after]))
        at = after
    return items, data[at:]


def _item(number: int, data: bytes) -> Item:
    kind = KINDS.get((number, len(data)))
    return Item(number, data, kind.name, kind.read(data)) if kind else Item(number, data)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    read: Callable[[bytes], Any]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _tenths(data: bytes) -> float:
    return _number(data) / 10


def _temperature(data: bytes) -> int:
    """The sign is the top bit, not two's complement."""
    value = _number(data)
    return -(value & 0x7FFF) if value & 0x8000 else value


def _overspeed(data: bytes) -> dict[str, int]:
    return {"area_type": data[0]} | ({"area_id": _number(data[1:])} if data[1:] else {})


def _area(data: bytes) -> dict[str, int]:
    return {"area_type": data[0], "area_id": _number(data[1:5]), "direction": data[5]}


def _segment(data: bytes) -> dict[str, int]:
    return {"segment_id": _number(data[:4]), "seconds": _number(data[4:6]), "result": data[6]}


def _analogue(data: bytes) -> dict[str, int]:
    return {"ad0": _number(data[2:]), "ad1": _number(data[:2])}


KINDS: dict[tuple[int, int], _Kind] = {
    (0x01, 4): _Kind("mileage_km", _tenths),
    (0x02, 2): _Kind("fuel_l", _tenths),
    (0x03, 2): _Kind("recorder_speed_kmh", _tenths),
    (0x04, 2): _Kind("alarm_event_id", _number),
    (0x05, 30): _Kind("tyre_pressure", bytes.hex),
    (0x06, 2): _Kind("compartment_celsius", _temperature),
    (0x11, 1): _Kind("overspeed", _overspeed),
    (0x11, 5): _Kind("overspeed", _overspeed),
    (0x12, 6): _Kind("area", _area),
    (0x13, 7): _Kind("segment_time", _segment),
    (0x14, 4): _Kind("video_alarm", bytes.hex),
    (0x15, 4): _Kind("video_signal_lost", bytes.hex),
    (0x16, 4): _Kind("video_signal_covered", bytes.hex),
    (0x17, 2): _Kind("storage_fault", bytes.hex),
    (0x18, 3): _Kind("abnormal_driving", bytes.hex),
    (0x25, 4): _Kind("vehicle_signals", _number),
    (0x2A, 2): _Kind("io_status", _number),
    (0x2B, 4): _Kind("analogue", _analogue),
    (0x30, 1): _Kind("signal_strength", _number),
    (0x31, 1): _Kind("satellites", _number),
}
"""(id, length) -> what it is. 0x14 to 0x18 are JT/T 1078's and stay hex."""
