"""Control of the terminal and its software (终端控制, 升级): 0x8105, 0x8108, 0x0108."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.jt808.fields import BYTE, DWORD, OCTETS, TEXT, Field, Text, text
from protocols.jt808.layout import Prefixed, layout
from protocols.jt808.messages.message import DOWN, UP, Message, every, since_2013

if TYPE_CHECKING:
    from protocols.jt808.body import Reader, Writer
    from protocols.jt808.fields import Scope


@dataclass(frozen=True, slots=True)
class Parameters(Field):
    """Texts apart by semicolons; {"hex"} where they are more than text: some platforms put a port in as two bytes."""

    def read(self, reader: Reader, scope: Scope) -> str | dict[str, str]:  # noqa: ARG002
        data = reader.rest()
        said = text(data)
        return said if said.encode("gb18030") == data else {"hex": data.hex()}

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        if isinstance(value, dict) and value.keys() == {"hex"}:
            OCTETS.write(writer, value["hex"], scope)
        else:
            TEXT.write(writer, value, scope)


MESSAGES = (
    # command: 1 upgrade over the air, 2 connect to another server, 3 power off, 4 reset, 5 factory settings, 6 close data
    # links, 7 close all radio; 2019 keeps 2, 4 and 5.
    Message(0x8105, DOWN, "terminal control", "终端控制", every(layout(command=BYTE, parameters=Parameters()))),
    # type: 0 terminal, 12 IC card reader, 52 GNSS module
    Message(
        0x8108, DOWN, "upgrade package", "下发终端升级包",
        since_2013(layout(type=BYTE, maker=Text(5), version=Prefixed(BYTE, TEXT), data=Prefixed(DWORD, OCTETS))),
    ),
    # result: 0 done, 1 failed, 2 cancelled
    Message(0x0108, UP, "upgrade result", "终端升级结果通知", since_2013(layout(type=BYTE, result=BYTE))),
)  # fmt: skip
