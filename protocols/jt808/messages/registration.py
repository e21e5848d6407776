"""Registration, authentication and leaving (注册, 鉴权, 注销).

    0x0100   province WORD, city WORD, then
             2011  maker[5] 4   model[8] 9    id[7] 17   colour 24  plate 25..
             2013  maker[5] 4   model[20] 9   id[7] 29   colour 36  plate 37..
             2019  maker[11] 4  model[30] 15  id[30] 45  colour 75  plate 76..
    0x0102   2011, 2013: code;  2019: n BYTE, code[n], IMEI[15], software version[20]

The 2019 text prints the offsets behind the code of 0x0102 as n, n+1 and n+9; the lengths are right.
"""

from __future__ import annotations

from protocols.jt808.fields import BYTE, TEXT, WORD, Field, Text, Uint
from protocols.jt808.layout import Layout, Maybe, Prefixed, When, layout
from protocols.jt808.messages.general import EMPTY
from protocols.jt808.messages.message import DOWN, UP, Message, every

_COLOUR = Uint(1, most=9)  # JT/T 415, 697.7: 1 to 4 and 9, 0 without a plate; a plate's character is never that small
_CODE = Text(filled=True)
_CODE_ALONE = layout(code=_CODE)


def _registration(maker: Field, model: Field, terminal_id: Field) -> Layout:
    """province, city: GB/T 2260 as two numbers, 371502 is 37 and 1502; plate: a VIN where there is none."""
    return layout(
        province=WORD, city=WORD,
        maker=maker, model=model, terminal_id=terminal_id,
        plate_colour=_COLOUR, plate=TEXT,
    )  # fmt: skip


MESSAGES = (
    Message(
        0x0100, UP, "registration", "终端注册",
        {
            "2011": _registration(Text(5), Text(8, pad=b" "), Text(7)),
            "2013": _registration(Text(5), Text(20), Text(7)),
            "2019": _registration(Text(11), Text(30, before=True), Text(30, before=True)),
        },
    ),
    Message(
        0x8100, DOWN, "registration answer", "终端注册应答",
        every(layout(request_serial=WORD, result=BYTE, code=When(TEXT, lambda said: said["result"] == 0))),
    ),
    Message(0x0003, UP, "leaving", "终端注销", every(EMPTY)),
    Message(
        0x0102, UP, "authentication", "终端鉴权",
        {
            "2011": _CODE_ALONE,
            "2013": _CODE_ALONE,
            "2019": layout(
                code=Prefixed(BYTE, _CODE),
                imei=Maybe(Text(15, short=True)),
                version=Maybe(Text(20, short=True)),
            ),
        },
    ),
)  # fmt: skip
