"""What terminals said besides positions: the bodies of `message` records are read, for storage knows no protocol.

A body that does not read, or whose values are too long to keep beside it, is kept as it is with the reason; neither stops
a batch. The bodies themselves are always kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson

from protocols.jt808 import catalogue
from protocols.jt808.body import BodyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_SAID = 64 * 1024
"""Bytes of the values as JSON. A body of one packet stays below half of it; 2 KB of gzip (0x0901) can hold a megabyte,
and memory is not the sender's to choose."""


def read(sessions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records, `message` ones with `body` as bytes, `said` (JSON text or None), `reason` and the body's `edition`."""
    return [_message(record) if record.get("event") == "message" else record for record in sessions]


def _message(record: Mapping[str, Any]) -> dict[str, Any]:
    body = bytes.fromhex(record["body"])
    edition, said, reason = record["edition"], None, None
    try:
        edition, values = catalogue.read(record["message"], body, v2019=edition == "2019")
    except BodyError as error:
        reason = str(_storable(str(error)))
    else:
        text = orjson.dumps(_storable(values))
        if len(text) > MOST_SAID:
            reason = f"{len(text)} bytes as JSON are too long to keep | 解码结果 {len(text)} 字节，过长未保存"
        else:
            said = text.decode()
    return {**record, "body": body, "edition": edition, "said": said, "reason": reason}


def _storable(value: Any) -> Any:
    """Without what PostgreSQL refuses in JSON or in text: U+0000, lone surrogates, numbers that are none."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return value
