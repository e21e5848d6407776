"""Vehicle control (车辆控制类): 0x8500 and its answer, a position whose status tells whether it was done."""

from __future__ import annotations

from protocols.jt808.fields import BYTE, WORD
from protocols.jt808.layout import Counted, layout
from protocols.jt808.messages.location import ANSWER
from protocols.jt808.messages.message import DOWN, UP, Message, every

_FLAG = layout(flag=BYTE)  # bit 0: 0 unlock the doors, 1 lock them

MESSAGES = (
    # type: 1 doors, whose parameter is 0 lock, 1 unlock; 2 to 8 are reserved, with parameters of unknown width
    Message(
        0x8500, DOWN, "vehicle control", "车辆控制",
        {"2011": _FLAG, "2013": _FLAG, "2019": layout(controls=Counted(WORD, layout(type=WORD, parameter=BYTE)))},
    ),
    Message(0x0500, UP, "vehicle control answer", "车辆控制应答", every(ANSWER)),
)  # fmt: skip
