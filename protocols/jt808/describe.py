"""One packet for people: hex in, a dict out, as `lezgate decode` prints it (docs/jt808.md lists the fields).

Packets are cut as the gateway cuts them, and bodies read by the catalogue, which the columns agree with. What does not
read is an `error` in the dict, in English and Chinese, never an exception.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from columns.reason import Reason
from protocols.jt808 import catalogue, framing, intake
from protocols.jt808.body import BodyError
from protocols.jt808.intake import BATCH
from protocols.jt808.messages.location import BASIC

if TYPE_CHECKING:
    from collections.abc import Iterator

_POSITION = BASIC.fields.keys()
_TIME = re.compile(r"\d{4}-")
_SEPARATORS = re.compile(r"\s|0[xX]|[-:,]")
_DIGITS = re.compile(r"[0-9a-fA-F]+")
_ERRORS = {
    Reason.NOISE: "too short to be a packet | 太短，不是完整的数据包",
    Reason.OVERSIZE: "longer than any packet can be | 超过数据包的最大长度",
    Reason.CHECKSUM: "the checksum does not match | 校验码不符",
    Reason.LENGTH: "the declared body length does not match | 消息体长度与声明不符",
}
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
    name, name_zh = catalogue.names(packet.message)
    said: dict[str, Any] = {
        "message_id": f"0x{packet.message:04x}",
        "edition": packet.edition,
        "name": name,
        "name_zh": name_zh,
        "terminal": packet.identity,
        "phone": packet.phone.hex(),
        "serial": packet.serial,
    }
    if packet.part:
        said["part"] = {"total": packet.part[0], "index": packet.part[1]}
    if packet.encrypted:
        said["encrypted"] = True
    raw = {"hex": packet.body.hex()}
    if packet.part or packet.encrypted:
        return said | {"body": raw}
    try:
        edition, body = catalogue.read(packet.message, packet.body, v2019=packet.v2019)
    except BodyError as error:
        return said | {"body": raw, "error": str(error), "reason": Reason.BODY.name.lower()}
    if (edition == "2019") == packet.v2019:
        said["edition"] = edition
    else:
        said["body_edition"] = edition
    said["body"] = _batch(body) if packet.message == BATCH else _shown(body)
    return said


def _shown(value: Any) -> Any:
    """The values with null for the time of a position that has none."""
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if not isinstance(value, dict):
        return value
    shown = {name: _shown(each) for name, each in value.items()}
    if value.keys() >= _POSITION and not _TIME.match(value["time"]):
        shown["time"] = None
    return shown


def _batch(body: dict[str, Any]) -> dict[str, Any]:
    """Reports that do not read stand apart."""
    bad = [report["hex"] for report in body["positions"] if "hex" in report]
    positions = [_shown(report) for report in body["positions"] if "hex" not in report]
    return {**body, "positions": positions, **({"bad_items": bad} if bad else {})}
