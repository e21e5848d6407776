"""Telephone (电话类): 0x8400, 0x8401."""

from __future__ import annotations

from protocols.jt808.fields import BYTE, TEXT
from protocols.jt808.layout import Prefixed, layout
from protocols.jt808.messages.message import DOWN, Message, every
from protocols.jt808.messages.text_and_events import list_2011, list_2013

_CONTACT = layout(flag=BYTE, number=Prefixed(BYTE, TEXT), name=Prefixed(BYTE, TEXT))  # flag: 1 in, 2 out, 3 both
_CONTACTS = list_2013("contacts", _CONTACT)

MESSAGES = (
    # flag: 0 an ordinary call, 1 monitoring
    Message(0x8400, DOWN, "call back", "电话回拨", every(layout(flag=BYTE, number=TEXT))),
    Message(
        0x8401, DOWN, "set phone book", "设置电话本",
        {"2011": list_2011("contacts", _CONTACT), "2013": _CONTACTS, "2019": _CONTACTS},
    ),
)  # fmt: skip
