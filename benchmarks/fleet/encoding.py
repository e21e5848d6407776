"""Reports as the bytes of 0x0200, read by the product's own decoder: it judges clocks, fixes and positions, not we."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from columns.positions import Positions, Source, concatenate
from protocols.jt808.header import Packets
from protocols.jt808.location import BASIC, FIXED, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.fleet.faults import Reports

START = 1_767_225_600
"""2026-01-01T00:00:00Z in s since 1970: when every run begins."""
SECOND = 1_000_000
BATCH_ROWS = 5_000
"""As many as a worker gathers (gateway/worker/partition.py)."""
_GMT8 = 8 * 3_600
_ACC = 1
_ALTITUDE_M = 35

_BODY = np.dtype(
    [("alarm", ">u4"), ("status", ">u4"), ("lat", ">u4"), ("lon", ">u4"), ("altitude", ">i2"), ("speed", ">u2"),
     ("course", ">u2"), ("time", "u1", 6)]
)  # fmt: skip


def bodies(reports: Reports) -> NDArray[np.uint8]:
    """uint8[n, 28]: the basic part of each report's body (JT/T 808-2019 table 23), in the east and north of the world."""
    out = np.zeros(len(reports), _BODY)
    out["status"] = FIXED * reports.fixed + _ACC * reports.engine
    there = ~reports.zero
    out["lat"] = np.round(reports.lat * 1e6) * there
    out["lon"] = np.round(reports.lon * 1e6) * there
    out["altitude"] = _ALTITUDE_M
    out["speed"] = np.round(reports.speed_kmh * 10)
    out["time"] = _bcd(reports.clock)
    return out.view(np.uint8).reshape(len(out), BASIC)


def _bcd(clock: NDArray[np.int64]) -> NDArray[np.uint8]:
    """YYMMDDhhmmss in GMT+8, uint8[n, 6]."""
    local = (clock + _GMT8).astype("datetime64[s]")
    month, day = local.astype("datetime64[M]"), local.astype("datetime64[D]")
    second = (local - day).astype(np.int64)
    months = month.astype(np.int64)
    parts = (
        (1970 + months // 12) % 100, months % 12 + 1, (day - month).astype(np.int64) + 1,
        second // 3_600, second // 60 % 60, second % 60,
    )  # fmt: skip
    return np.column_stack([part // 10 << 4 | part % 10 for part in parts]).astype(np.uint8)


def arrivals(reports: Reports, device: NDArray[np.int64], rows: int = BATCH_ROWS) -> Iterator[Positions]:
    """Batches of ``rows`` rows and the rest of a second, in order of arrival. What arrives within one second is read at once, as what an
    edge's flush finds is, and is received at that second's end.
    """
    second = np.ceil(reports.sent).astype(np.int64)
    order = np.argsort(second, kind="stable")
    second, device = second[order], device[order]
    buffer = bodies(reports.take(order)).reshape(-1)
    source = np.where(reports.stored[order], Source.BATCH, Source.LIVE).astype(np.uint8)
    edges = np.flatnonzero(np.append(np.append(True, second[1:] != second[:-1]), True))
    parts: list[Positions] = []
    gathered = 0
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        received = (START + int(second[first])) * SECOND
        part = _read(buffer[first * BASIC : last * BASIC], source[first:last], received)
        parts.append(part.with_columns(device=device[first:last]))
        gathered += last - first
        if gathered >= rows:
            yield concatenate(parts)
            parts, gathered = [], 0
    if parts:
        yield concatenate(parts)


def _read(buffer: NDArray[np.uint8], source: NDArray[np.uint8], received: int) -> Positions:
    n = len(source)
    starts = np.arange(n, dtype=np.int64) * BASIC
    none, words = np.zeros(n, np.int32), np.zeros(n, np.uint16)
    packets = Packets(
        none, words, words, words, none.astype(bool), words, words.astype(np.uint64), starts, starts, starts + BASIC,
        buffer,
    )  # fmt: skip
    return read(packets, np.arange(n, dtype=np.int32), starts, starts + BASIC, source, received)
