"""What a trace shows of a packet: its bytes in hex and what they say, without the terminal's authentication code.

The code is a credential, and a trace is read out on the phone: two of its characters are shown, and of the bytes nothing
that follows them, since the checksum would tell the rest of a short one.
"""

from __future__ import annotations

from typing import Any

from protocols.jt808.describe import describe
from protocols.jt808.hearing import REGISTERED
from protocols.jt808.registration import AUTHENTICATE

CUT = "…"
_CHARACTERS = 2
_SHORTEST_HEADER = 12  # no code begins before its end
_BESIDE_CODE = {AUTHENTICATE: ("imei", "version"), REGISTERED: ("request_serial", "result")}
"""What else is shown of the bodies that carry a code."""


def shown(data: bytes) -> dict[str, Any]:
    """data: a packet, unescaped, from header to checksum, or whatever was rejected as one.

    {hex: all of it, or what comes before CUT; packet: as `lezgate decode` prints it, without a hex of its own}
    """
    said = describe(data.hex())
    said.pop("hex", None)
    message = int.from_bytes(data[:2], "big")
    body = said.get("body", {})
    if message not in _BESIDE_CODE or _is_refusal(message, body):
        return {"hex": data.hex(), "packet": said}
    kept = {name: body[name] for name in _BESIDE_CODE[message] if name in body}
    end, code = _SHORTEST_HEADER, body.get("code")
    if code:
        first = code[: min(_CHARACTERS, len(code) // 2)]
        kept["code"] = first + CUT
        at = data.find(code.encode("gb18030", "replace"), _SHORTEST_HEADER)
        end = at + len(first.encode("gb18030")) if at >= 0 else end
    return {"hex": data[:end].hex() + CUT, "packet": {**said, "body": kept}}


def _is_refusal(message: int, body: dict[str, Any]) -> bool:
    """A 0x8100 that says no has no code."""
    return message == REGISTERED and body.get("result", 0) != 0 and body.keys() == set(_BESIDE_CODE[message])
