"""The order to trace one terminal: what `lezgate trace` signs, and every edge checks before it obeys.

Tracks are confidential, so only who holds this installation's authentication key can have a terminal traced, after a row
in the audit whose id is in the order. An order is good for a few seconds; whoever traces repeats it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import NamedTuple

import orjson

FOLLOW = "trace.follow"
"""The subject of orders."""
GOOD_FOR_US = 15 * 1_000_000
"""Five repetitions: an edge that misses some goes on, and one whose tracer has died forgets it soon."""
REPEAT_S = 3.0
MOST_GOOD_FOR_US = 120 * 1_000_000
"""What an edge believes at most, with room for clocks of other machines that are a minute and more ahead."""
MOST_BYTES = 1024
_LABEL = b"lezgate trace order 1"
_FIELDS = {"audit", "identity", "until", "mac"}
_IDENTITY = re.compile(r"[0-9]{1,20}|x[0-9a-f]{1,20}")


class OrderError(ValueError):
    """An order that is not obeyed. reason: malformed, unsigned or expired."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"trace order refused: {reason}")
        self.reason = reason


class Order(NamedTuple):
    """audit: id of the audit's row; identity: the terminal's; until: int64 us UTC."""

    audit: int
    identity: str
    until: int


def frames_subject(audit: int) -> str:
    """Where edges publish what they see for this row of the audit."""
    return f"trace.frames.{audit}"


def derive_key(auth_key: bytes) -> bytes:
    """The key of orders: of this installation alone, and not the one that makes terminals' codes."""
    return hmac.digest(auth_key, _LABEL, hashlib.sha256)


def sign(order: Order, key: bytes) -> bytes:
    return orjson.dumps({**order._asdict(), "mac": _mac(order, key)})


def read(data: bytes, key: bytes, now: int) -> Order:
    """The order in ``data``, if it is to be obeyed at ``now`` (int64 us UTC). Raises OrderError, and nothing else."""
    if len(data) > MOST_BYTES:
        raise OrderError("malformed")
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise OrderError("malformed") from None
    if not isinstance(said, dict) or said.keys() != _FIELDS:
        raise OrderError("malformed")
    audit, identity, until, mac = said["audit"], said["identity"], said["until"], said["mac"]
    if type(audit) is not int or type(until) is not int or not isinstance(identity, str) or not isinstance(mac, str):
        raise OrderError("malformed")
    if audit < 1 or not _IDENTITY.fullmatch(identity):
        raise OrderError("malformed")
    order = Order(audit, identity, until)
    if not hmac.compare_digest(_mac(order, key).encode(), mac.encode()):
        raise OrderError("unsigned")
    if not now < until <= now + MOST_GOOD_FOR_US:
        raise OrderError("expired")
    return order


def _mac(order: Order, key: bytes) -> str:
    text = f"{order.audit}/{order.identity}/{order.until}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
