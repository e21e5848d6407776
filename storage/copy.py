r"""Positions -> COPY BINARY: the numpy dtype IS the row on the wire, so no Python runs per row.

    "PGCOPY\n\xff\r\n\0" | flags u32 | extension u32 | rows | 0xffff
    row: number of fields i16, then per field its length i32 and its bytes, all big-endian

`extras` has its own length in every row, so rows are grouped by it: one dtype per distinct length. That changes the
order of the rows, which a table does not have. Values that a column cannot hold are bounded, never wrapped: a
longitude of 4,294 degrees (what a broken terminal can send) is stored as 2147.483647, visibly out of range.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.positions import Positions

# column of the table, type on the wire; all but the renamed and converted ones are Positions' own
_FIELDS = (
    ("terminal", ">i8"),
    ("time", ">i8"),
    ("fingerprint", ">i8"),
    ("received", ">i8"),
    ("lon", ">i4"),
    ("lat", ">i4"),
    ("altitude", ">i2"),
    ("speed", ">i4"),
    ("course", ">i4"),
    ("alarm", ">u4"),  # the column is int4: the same 32 bits
    ("status", ">u4"),
    ("mileage", ">i4"),
    ("satellites", ">i2"),
    ("serial", ">i4"),
    ("source", ">i2"),
    ("quality", ">i2"),
)
COLUMNS = ", ".join([name for name, _ in _FIELDS] + ["extras"])
COPY = f"COPY position ({COLUMNS}) FROM STDIN (FORMAT binary)"

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC, from which a timestamptz counts microseconds, in us since 1970."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_INT4 = np.iinfo(np.int32)


def microdegrees(degrees: NDArray[np.float64]) -> NDArray[np.int64]:
    """Finite degrees as the 1e-6 degrees of an int4 column, bounded by what it holds."""
    return np.clip(np.rint(degrees * 1e6), _INT4.min, _INT4.max).astype(np.int64)


def rows(positions: Positions) -> list[bytes]:
    """All that the COPY needs, header and trailer included, in pieces to be written one after the other."""
    columns = {name: getattr(positions, name) for name, _ in _FIELDS if name != "terminal"}
    columns["terminal"] = positions.device
    columns["time"] = positions.time - POSTGRES_EPOCH_US
    columns["received"] = positions.received - POSTGRES_EPOCH_US
    columns["lon"] = microdegrees(positions.lon)
    columns["lat"] = microdegrees(positions.lat)
    lengths = positions.extras.lengths
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order])) + 1
    groups = [_group(columns, positions, index) for index in np.split(order, ends)] if len(order) else []
    return [_HEADER, *groups, _TRAILER]


def _group(columns: dict[str, NDArray[np.generic]], positions: Positions, index: NDArray[np.intp]) -> bytes:
    """The rows at ``index``, whose extras are all of one length."""
    starts = positions.extras.offsets[index]
    length = int(positions.extras.offsets[index[0] + 1] - starts[0])
    wire = np.empty(len(index), _dtype(length))
    wire["fields"] = len(_FIELDS) + 1
    for name, kind in _FIELDS:
        wire["length of " + name] = np.dtype(kind).itemsize
        wire[name] = columns[name][index]
    wire["length of extras"] = length
    if length:
        wire["extras"] = positions.extras.blob[starts[:, None] + np.arange(length)]
    return wire.tobytes()


@lru_cache(maxsize=1100)  # extras are at most 1,023 bytes long (the body's limit), so every length fits
def _dtype(length: int) -> np.dtype[np.void]:
    parts: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [("fields", ">i2")]
    for name, kind in _FIELDS:
        parts += [("length of " + name, ">i4"), (name, kind)]
    parts += [("length of extras", ">i4"), ("extras", "u1", (length,))]
    return np.dtype(parts)
