"""Electronic waybill and driver (电子运单, 驾驶员身份信息): 0x0701, 0x8702, 0x0702."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.jt808.fields import BYTE, DWORD, OCTETS, TEXT, Bcd, Field, Text, Time, Uint
from protocols.jt808.layout import Layout, Prefixed, When, layout
from protocols.jt808.messages.general import EMPTY
from protocols.jt808.messages.message import DOWN, UP, Message, every, since_2013

if TYPE_CHECKING:
    from protocols.jt808.fields import Scope


def _inserted(said: Scope) -> bool:
    return bool(said["status"] == 1)


def _card_read(said: Scope) -> bool:
    return said.get("result") == 0


_DRIVER = Layout(
    {
        "status": Uint(1, most=2),  # 1 card inserted, 2 card taken out
        "time": Time(),
        "result": When(BYTE, _inserted),  # 0 read, 1 key refused, 2 card locked, 3 card taken out, 4 checksum wrong
        "name": When(Prefixed(BYTE, TEXT), _card_read),
        "certificate": When(Text(20), _card_read),
        "issuer": When(Prefixed(BYTE, TEXT), _card_read),
        "expires": When(Bcd(4), _card_read),  # YYYYMMDD
    },
    likely=lambda said: said["status"] > 0,
)
_ID_CARD: dict[str, Field] = {"id_card": When(Text(20), _card_read)}

MESSAGES = (
    Message(0x0701, UP, "electronic waybill", "电子运单上报", every(layout(content=Prefixed(DWORD, OCTETS)))),
    Message(0x8702, DOWN, "query driver", "上报驾驶员身份信息请求", since_2013(EMPTY)),
    Message(
        0x0702, UP, "driver", "驾驶员身份信息采集上报",
        {
            "2011": layout(
                name=Prefixed(BYTE, TEXT), id_card=Text(20), certificate=Text(40), issuer=Prefixed(BYTE, TEXT)
            ),
            "2013": _DRIVER,
            "2019": Layout({**_DRIVER.fields, **_ID_CARD}, likely=_DRIVER.likely),
        },
    ),
)  # fmt: skip
