"""Answers, heartbeat, clock and resending of sub-packages (通用应答, 心跳, 时间, 分包补传)."""

from __future__ import annotations

from protocols.jt808.fields import BYTE, WORD, MessageId, Time
from protocols.jt808.layout import Counted, layout
from protocols.jt808.messages.message import DOWN, UP, Message, every

EMPTY = layout()
ANSWER = layout(request_serial=WORD, request_message_id=MessageId(), result=BYTE)

_RESEND_2013 = layout(first_serial=WORD, indices=Counted(BYTE, WORD))  # the printed offset of the list, 4, is wrong
_RESEND_2019 = layout(first_serial=WORD, indices=Counted(WORD, WORD))

MESSAGES = (
    Message(0x0001, UP, "terminal general answer", "终端通用应答", every(ANSWER)),
    Message(0x8001, DOWN, "platform general answer", "平台通用应答", every(ANSWER)),
    Message(0x0002, UP, "heartbeat", "终端心跳", every(EMPTY)),
    Message(
        0x8003, DOWN, "resend sub-packages, from the platform", "服务器补传分包请求",
        {"2013": _RESEND_2013, "2019": _RESEND_2019},
    ),
    Message(0x0005, UP, "resend sub-packages, from the terminal", "终端补传分包请求", {"2019": _RESEND_2019}),
    Message(0x0004, UP, "what time is it", "查询服务器时间", {"2019": EMPTY}),
    # The one time of the protocol in UTC.
    Message(0x8004, DOWN, "time", "查询服务器时间应答", {"2019": layout(time=Time(hours=0))}),
    Message(0x8204, DOWN, "link test", "链路检测", {"2019": EMPTY}),
)  # fmt: skip
