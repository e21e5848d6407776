"""The driving recorder (行驶记录仪): 0x8700, 0x0700, 0x8701. The data are GB/T 19056's own packets and stay hex."""

from __future__ import annotations

from protocols.jt808.fields import BYTE, OCTETS, WORD
from protocols.jt808.layout import Layout, Prefixed, layout
from protocols.jt808.messages.message import DOWN, UP, Message, every

_COMMAND = layout(command=BYTE, data=OCTETS)
_DATA = Layout({"request_serial": WORD, "command": BYTE, "data": OCTETS}, loose=True)

MESSAGES = (
    Message(0x8700, DOWN, "query recorder", "行驶记录数据采集命令", every(_COMMAND)),  # no data in 2011
    Message(
        0x0700, UP, "recorder data", "行驶记录数据上传",
        {
            "2011": Layout(
                {"command": BYTE, "total_size": WORD, "data": Prefixed(WORD, OCTETS)},
                likely=lambda said: 2 * said["total_size"] >= len(said["data"]),
            ),
            "2013": _DATA,
            "2019": _DATA,
        },
    ),
    Message(0x8701, DOWN, "set recorder", "行驶记录参数下传命令", every(_COMMAND)),
)  # fmt: skip
