"""CAN bus data (CAN 总线数据): 0x0705."""

from __future__ import annotations

from protocols.jt808.fields import DWORD, WORD, Bcd, Octets
from protocols.jt808.layout import Repeated, layout
from protocols.jt808.messages.message import UP, Message, since_2013

_ITEM = layout(
    id=DWORD,  # bit 31 channel, 30 extended frame, 29 averaged, 0 to 28 the CAN id
    data=Octets(8),
)

MESSAGES = (
    # time: of the first item, hhmmss and four digits of milliseconds; items are as many as there are, whatever count says
    Message(
        0x0705, UP, "CAN bus data", "CAN 总线数据上传",
        since_2013(layout(count=WORD, time=Bcd(5), items=Repeated(_ITEM))),
    ),
)  # fmt: skip
