"""The question where a terminal is: what a worker asks of all edges, and the one that holds the terminal passes on.

It names device numbers and nothing else. Whoever may publish it can make an edge send 0x8201 (位置信息查询) to terminals that
are authenticated, and nothing more: the message is empty and changes nothing on the machine, so it needs no signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBJECT = "position.query"
MOST_DEVICES = 1_000
"""In one message: 20 KB, and some 20 ms of the edge that holds all of them."""
_MOST_BYTES = 32 * 1024
_MOST_DEVICE = 2**63 - 1


class QueryError(ValueError):
    """These bytes are no question."""


def write(devices: Sequence[int]) -> bytes:
    """The message about these devices, at most MOST_DEVICES of them."""
    return orjson.dumps({"devices": devices})


def read(data: bytes) -> list[int]:
    """The devices that are asked for. Raises QueryError, and nothing else."""
    if len(data) > _MOST_BYTES:
        raise QueryError("too long")
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise QueryError("not JSON") from None
    devices = said.get("devices") if isinstance(said, dict) else None
    if not isinstance(devices, list) or len(devices) > MOST_DEVICES:
        raise QueryError("not a list of devices")
    if not all(type(device) is int and 0 <= device <= _MOST_DEVICE for device in devices):
        raise QueryError("not device numbers")
    return devices
