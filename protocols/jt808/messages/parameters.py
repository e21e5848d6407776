"""Parameters of a terminal and what it is (终端参数, 终端属性): 0x8103, 0x8104, 0x8106, 0x0104, 0x8107, 0x0107."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.jt808.body import BodyError, Reader, Writer
from protocols.jt808.fields import BYTE, DWORD, OCTETS, TEXT, WORD, Bcd, Field, Text, Uint
from protocols.jt808.layout import Counted, Layout, Prefixed, layout
from protocols.jt808.messages.general import EMPTY
from protocols.jt808.messages.message import DOWN, UP, Message, every, since_2013
from protocols.jt808.parameter_table import PARAMETERS

if TYPE_CHECKING:
    from protocols.jt808.fields import Scope

_ID = Uint(4, most=0xFFFF)
_RAW = Prefixed(BYTE, OCTETS)


@dataclass(frozen=True, slots=True)
class Parameter(Field):
    """One item: id DWORD, length BYTE, value. {"id", "name", "value"}, or {"id", "hex"} where the table has no such id,
    or the value does not have its type; beside a value, "hex" says bytes that the value alone does not, and is written.
    """

    def read(self, reader: Reader, scope: Scope) -> dict[str, Any]:
        number = _ID.read(reader, scope)
        digits = _RAW.read(reader, scope)
        raw: dict[str, Any] = {"id": number, "hex": digits}
        known = PARAMETERS.get(number)
        if known is None:
            return raw
        name, field = known
        try:
            value = field.read_whole(Reader(bytes.fromhex(digits)), {})
            written = Writer()
            field.write(written, value, {})
        except BodyError:
            return {"id": number, "name": name, "hex": digits}
        said = {"id": number, "name": name, "value": value}
        return said if written.data.hex() == digits else said | {"hex": digits}

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        if not isinstance(value, dict) or not value.keys() <= {"id", "name", "value", "hex"}:
            raise writer.error("not an object of id and value or hex", "不是由 id 与 value 或 hex 组成的对象")
        number = value.get("id")
        writer.field = "id"
        _ID.write(writer, number, scope)
        name, field = PARAMETERS.get(value["id"], (None, None))
        if "name" in value and value["name"] != name:
            raise writer.error(f"is not named {value['name']}", f"名称不是 {value['name']}")
        writer.field = name or f"parameter 0x{number:04x}"
        if "hex" in value:
            _RAW.write(writer, value["hex"], scope)
        elif field is None or "value" not in value:
            raise writer.error("hex needed", "需要 hex")
        else:
            Prefixed(BYTE, field).write(writer, value["value"], scope)


_ITEMS = Counted(BYTE, Parameter(), loosely=True)
_SET = layout(parameters=_ITEMS)
_ANSWER = layout(request_serial=WORD, parameters=_ITEMS)


def _fits(values: Scope) -> bool:
    """2011 counts all and this packet's; in another edition's body the latter is a zero, of an id's first byte."""
    here: int = len(values["parameters"])
    return here <= values["total"] and (here > 0 or values["total"] == 0)


_ATTRIBUTES_2013 = layout(
    terminal_type=WORD, maker=Text(5), model=Text(20), terminal_id=Text(7), iccid=Bcd(10),
    hardware=Prefixed(BYTE, TEXT), firmware=Prefixed(BYTE, TEXT), gnss=BYTE, communication=BYTE,
)  # fmt: skip


def _attributes_2019(maker: int) -> Layout:
    """The text says 5 bytes of maker; terminals that send the 11 of its registration are as common."""
    return layout(
        terminal_type=WORD, maker=Text(maker), model=Text(30), terminal_id=Text(30), iccid=Bcd(10),
        hardware=Prefixed(BYTE, TEXT), firmware=Prefixed(BYTE, TEXT), gnss=BYTE, communication=BYTE,
    )  # fmt: skip


MESSAGES = (
    Message(
        0x8103, DOWN, "set parameters", "设置终端参数",
        {
            "2011": Layout({"total": BYTE, "parameters": _ITEMS}, likely=_fits),
            "2013": _SET,
            "2019": _SET,
        },
    ),
    Message(0x8104, DOWN, "query all parameters", "查询终端参数", every(EMPTY)),
    Message(0x8106, DOWN, "query some parameters", "查询指定终端参数", since_2013(layout(ids=Counted(BYTE, DWORD)))),
    Message(
        0x0104, UP, "parameters", "查询终端参数应答",
        {
            "2011": Layout({"request_serial": WORD, "total": BYTE, "parameters": _ITEMS}, likely=_fits),
            "2013": _ANSWER,
            "2019": _ANSWER,
        },
    ),
    Message(0x8107, DOWN, "query attributes", "查询终端属性", since_2013(EMPTY)),
    Message(
        0x0107, UP, "attributes", "查询终端属性应答",
        {"2013": _ATTRIBUTES_2013, "2019": (_attributes_2019(5), _attributes_2019(11))},
    ),
)  # fmt: skip
