"""One packet for people: hex in, a dict out, as `lezgate decode` prints it (docs/jt808.md lists the fields).

Reads with the same code as the gateway, so what it says is what the gateway understood. What does not read is an `error`
in the dict, in English and Chinese, never an exception.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from columns.positions import Quality
from columns.reason import Reason
from protocols.jt808 import framing, intake, items, registration
from protocols.jt808.registration import BodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from columns.positions import Positions
    from protocols.contract import Intake
    from protocols.jt808.header import Packets

_GMT8 = timezone(timedelta(hours=8))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEPARATORS = re.compile(r"\s|0[xX]|[-:,]")
_DIGITS = re.compile(r"[0-9a-fA-F]+")
_ERRORS = {
    Reason.NOISE: "too short to be a packet | 太短，不是完整的数据包",
    Reason.OVERSIZE: "longer than any packet can be | 超过数据包的最大长度",
    Reason.CHECKSUM: "the checksum does not match | 校验码不符",
    Reason.LENGTH: "the declared body length does not match | 消息体长度与声明不符",
}
_SHORT_BODY = "the body is too short for its message | 消息体长度不足"
_HEX = "not hexadecimal | 不是十六进制"
_ODD = "an odd number of hexadecimal digits: one is missing or too many | 十六进制位数为奇数，缺少或多出一位"
_EMPTY = "no packet | 没有数据包"
_MANY = "more than one packet | 不止一个数据包"


def describe(text: str) -> dict[str, Any]:
    """The one packet in `text`: hex of either case, with or without its flags, with spaces wherever they please.

    Without flags the bytes may be escaped or not. A frame that does not read is {"error": ..., "hex": ...}, with
    "reason" where the gateway would count one.
    """
    found = list(describe_all(text))
    return found[0] if len(found) == 1 else {"error": _MANY, "hex": text.strip()}


def describe_all(text: str) -> Iterator[dict[str, Any]]:
    """Every packet of a captured stream, in order; one dict with an error where there is none at all."""
    digits = _SEPARATORS.sub("", text)
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        yield {"error": _ODD if _DIGITS.fullmatch(digits) else _HEX, "hex": text.strip()}
        return
    whole = framing.escape(data)
    if not data.startswith(b"\x7e") and len(intake.read([whole + b"\x7e"], 0).packets):
        # Intact as it stands: copied after unescaping, whatever escapes and flags there seem to be inside.
        runs = [whole]
    else:
        runs = [run for run in data.split(b"\x7e") if run]
    if not runs:
        yield {"error": _EMPTY, "hex": data.hex()}
    for run in runs:
        yield _packet(run)


def _packet(run: bytes) -> dict[str, Any]:
    read = intake.read([run + b"\x7e"], 0)
    if not len(read.packets):
        reason = Reason(int(read.rejects.reason[0]))
        return {"error": _ERRORS[reason], "reason": reason.name.lower(), "hex": run.hex()}
    packet = read.packets.packet(0)
    said: dict[str, Any] = {
        "message_id": f"0x{packet.message:04x}",
        "edition": packet.edition,
        "terminal": packet.identity,
        "phone": packet.phone.hex(),
        "serial": packet.serial,
    }
    if packet.part:
        said["part"] = {"total": packet.part[0], "index": packet.part[1]}
    if packet.encrypted:
        said["encrypted"] = True
    reader = None if packet.part or packet.encrypted else BODIES.get(packet.message)
    try:
        said["body"] = reader(packet.body, read) if reader else {"hex": packet.body.hex()}
    except BodyError:
        said |= {"body": {"hex": packet.body.hex()}, "error": _SHORT_BODY, "reason": Reason.BODY.name.lower()}
    said["edition"] = said["body"].pop("edition", said["edition"])
    return said


def _position(positions: Positions, row: int) -> dict[str, Any]:
    extras, tail = items.parse(positions.extras[row])
    time = None
    if not positions.quality[row] & Quality.BAD_TIME:
        time = (_EPOCH + timedelta(microseconds=int(positions.time[row]))).astimezone(_GMT8).isoformat()
    said = {
        "longitude": float(positions.lon[row]),
        "latitude": float(positions.lat[row]),
        "altitude_m": int(positions.altitude[row]),
        "speed_kmh": int(positions.speed[row]) / 10,
        "course_deg": int(positions.course[row]),
        "time": time,
        "alarm": int(positions.alarm[row]),
        "status": int(positions.status[row]),
        "items": [_item(item) for item in extras],
    }
    return said | _tail(tail)


def _item(item: items.Item) -> dict[str, Any]:
    said: dict[str, Any] = {"id": item.id, "hex": item.data.hex()}
    return said if item.name is None else said | {"name": item.name, "value": item.value}


def _tail(data: bytes) -> dict[str, str]:
    return {"tail": data.hex()} if data else {}


def _report(_: bytes, read: Intake[Packets]) -> dict[str, Any]:
    if len(read.malformed):
        raise BodyError
    return _position(read.positions, 0)


def _batch(body: bytes, read: Intake[Packets]) -> dict[str, Any]:
    if len(read.malformed):
        raise BodyError
    said: dict[str, Any] = {
        "count": int.from_bytes(body[:2], "big"),
        "type": body[2],
        "positions": [_position(read.positions, row) for row in range(len(read.positions))],
    }
    bad = [read.rejects.data[row].hex() for row in range(len(read.rejects))]
    return said | ({"bad_items": bad} if bad else {})


def _empty(body: bytes, _: Intake[Packets]) -> dict[str, Any]:
    return {**_tail(body)}


def _register(body: bytes, read: Intake[Packets]) -> dict[str, Any]:
    return asdict(registration.registration(body, v2019=bool(read.packets.v2019[0])))


def _authenticate(body: bytes, read: Intake[Packets]) -> dict[str, Any]:
    said = asdict(registration.authentication(body, v2019=bool(read.packets.v2019[0])))
    return said if read.packets.v2019[0] else {"code": said["code"]}


def _registered(body: bytes, _: Intake[Packets]) -> dict[str, Any]:
    if len(body) < 3:
        return {"hex": body.hex()}
    said: dict[str, Any] = {"request_serial": int.from_bytes(body[:2], "big"), "result": body[2]}
    return said if body[2] else said | {"code": registration.text(body[3:])}


def _general(body: bytes, _: Intake[Packets]) -> dict[str, Any]:
    if len(body) < 5:
        return {"hex": body.hex()}
    return {
        "request_serial": int.from_bytes(body[:2], "big"),
        "request_message_id": f"0x{int.from_bytes(body[2:4], 'big'):04x}",
        "result": body[4],
        **_tail(body[5:]),
    }


BODIES: dict[int, Callable[[bytes, Intake[Packets]], dict[str, Any]]] = {
    0x0001: _general,
    0x0002: _empty,
    0x0003: _empty,
    0x0100: _register,
    0x0102: _authenticate,
    0x0200: _report,
    0x0704: _batch,
    0x8001: _general,
    0x8100: _registered,
}
"""The bodies that are taken apart; any other is {"hex": ...}."""
