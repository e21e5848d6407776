"""Media: the `media` records of a batch become rows, each upload once however often it is sent or read.

A record is what an edge appended after the blob store had the bytes (storage/blobs.py):

    event      "media"
    device     int, columns.identity.device_of
    time       receipt, int64 us UTC
    media_id   the terminal's number, 0 to 2**32 - 1
    kind, format, trigger, channel   bytes 4 to 7 of 0x0801, as sent
    size       bytes of the data
    sha256     of the data, as `Blobs.put` returned it
    device_time   of the report within, int64 us UTC, or None where it is no time
    lon, lat   signed degrees WGS-84, or None without a fix
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from storage.copy import microdegrees

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

_INSERT = """
    INSERT INTO media (device, media_id, sha256, size, kind, format, trigger, channel, received, time, lon, lat)
    SELECT device, media_id, sha256, size, kind, format, trigger, channel, received, time, lon, lat
    FROM jsonb_to_recordset(%s) AS r
        (device bigint, media_id bigint, sha256 text, size bigint, kind smallint, format smallint, trigger smallint,
         channel smallint, received timestamptz, time timestamptz, lon int, lat int)
    ON CONFLICT DO NOTHING
"""
_AS_SENT = ("device", "media_id", "sha256", "size", "kind", "format", "trigger", "channel")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows(sessions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records that are media, as the columns of the table."""
    return [
        {
            **{name: record[name] for name in _AS_SENT},
            "received": _iso(record["time"]),
            "time": _iso(record.get("device_time")),
            **_place(record.get("lon"), record.get("lat")),
        }
        for record in sessions
        if record.get("event") == "media"
    ]


async def write(conn: psycopg.AsyncConnection[Any], found: list[dict[str, Any]]) -> None:
    """Inside the caller's transaction."""
    await conn.execute(_INSERT, [orjson.dumps(found).decode()])


def _place(lon: float | None, lat: float | None) -> dict[str, int | None]:
    if lon is None or lat is None:
        return {"lon": None, "lat": None}
    east, north = microdegrees(np.array([lon, lat])).tolist()
    return {"lon": east, "lat": north}


def _iso(time_us: int | None) -> str | None:
    return None if time_us is None else (_EPOCH + timedelta(microseconds=time_us)).isoformat()
