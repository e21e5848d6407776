"""Texts, events, questions and information services (信息类). All but 0x8300 are gone from the 2019 text.

Where 2011 splits a list over several messages itself, `total` counts all of it and the list is this message's part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.jt808.fields import BYTE, TEXT, WORD, Field, Uint
from protocols.jt808.layout import Counted, Layout, Prefixed, Repeated, When, layout
from protocols.jt808.messages.message import DOWN, UP, Message, until_2013

if TYPE_CHECKING:
    from protocols.jt808.fields import Scope

_DELETE_ALL, _DELETE_SOME = 0, 4
_TEXT = layout(flag=BYTE, text=TEXT)
_EVENT = layout(id=BYTE, content=Prefixed(BYTE, TEXT))
_ANSWER = layout(id=BYTE, content=Prefixed(WORD, TEXT))
_ITEM = layout(type=BYTE, name=Prefixed(WORD, TEXT))


def list_2013(name: str, item: Field) -> Layout:
    """type: 0 delete all (nothing follows), 1 replace, 2 append, 3 modify, 4 delete some."""
    return Layout({"type": BYTE, name: When(Counted(BYTE, item), lambda said: said["type"] != _DELETE_ALL)})


def list_2011(name: str, item: Field) -> Layout:
    following = {"total": BYTE, name: Counted(BYTE, item)}
    fields = {each: When(field, lambda said: said["type"] != _DELETE_ALL) for each, field in following.items()}
    return Layout({"type": BYTE, **fields}, likely=lambda said: said.get("total", 0) >= len(said.get(name, ())))


def _some(said: Scope) -> bool:
    return bool(said["type"] == _DELETE_SOME)


# The text says of type 4 only that its items need no content: some send a length of zero, some the ids alone.
_EVENT_IDS = Layout({"type": BYTE, "ids": Counted(BYTE, BYTE)}, likely=_some)
_EVENT_IDS_2011 = Layout({"type": BYTE, "total": BYTE, "ids": Counted(BYTE, BYTE)}, likely=_some)

MESSAGES = (
    # flag: bit 0 urgent, 2 display, 3 read out, 4 advertising screen, 5 fault codes rather than navigation; in 2019 bits 0
    # and 1 are 1 service, 2 urgent, 3 notice. type: 1 notice, 2 service.
    Message(
        0x8300, DOWN, "text", "文本信息下发",
        {
            "2011": _TEXT,
            "2013": _TEXT,
            "2019": Layout({"flag": BYTE, "type": Uint(1, most=2), "text": TEXT}, likely=lambda said: said["type"] > 0),
        },
    ),
    Message(
        0x8301, DOWN, "set events", "事件设置",
        {"2011": (list_2011("events", _EVENT), _EVENT_IDS_2011), "2013": (list_2013("events", _EVENT), _EVENT_IDS)},
    ),
    Message(0x0301, UP, "event", "事件报告", until_2013(layout(id=BYTE))),
    Message(
        0x8302, DOWN, "question", "提问下发",
        until_2013(layout(flag=BYTE, question=Prefixed(BYTE, TEXT), answers=Repeated(_ANSWER))),
    ),
    Message(0x0302, UP, "answer to a question", "提问应答", until_2013(layout(request_serial=WORD, answer_id=BYTE))),
    Message(
        0x8303, DOWN, "set information menu", "信息点播菜单设置",
        {"2011": list_2011("items", _ITEM), "2013": list_2013("items", _ITEM)},
    ),
    # flag: 0 cancel, 1 subscribe
    Message(0x0303, UP, "subscribe to information", "信息点播/取消", until_2013(layout(type=BYTE, flag=BYTE))),
    Message(
        0x8304, DOWN, "information", "信息服务",
        {
            "2011": Layout({"type": BYTE, "total_size": WORD, "content": Prefixed(WORD, TEXT)}),
            "2013": layout(type=BYTE, content=Prefixed(WORD, TEXT)),
        },
    ),
)  # fmt: skip
