"""Pictures, sound and video (多媒体): 0x0800 to 0x0805, 0x8800 to 0x8805.

type: 0 picture, 1 sound, 2 video; format: 0 JPEG, 1 TIF, 2 MP3, 3 WAV, 4 WMV; event: 0 command, 1 timed, 2 robbery,
3 collision or rollover, 4 door opened, 5 door closed, 6 door closed and speed above 20 km/h, 7 distance.
"""

from __future__ import annotations

from protocols.jt808.fields import BYTE, DWORD, OCTETS, WORD, Field, Time
from protocols.jt808.layout import Counted, Layout, Maybe, layout
from protocols.jt808.messages.location import BASIC
from protocols.jt808.messages.message import DOWN, UP, Message, every, since_2013

_MEDIUM: dict[str, Field] = {"id": DWORD, "type": BYTE, "format": BYTE, "event": BYTE, "channel": BYTE}
_SEARCH: dict[str, Field] = {"type": BYTE, "channel": BYTE, "event": BYTE, "start": Time(), "end": Time()}
_FOUND: dict[str, Field] = {"type": BYTE, "channel": BYTE, "event": BYTE, "position": BASIC}

_DATA = Layout({**_MEDIUM, "position": BASIC, "data": OCTETS}, loose=True)
_DATA_2011 = Layout(
    {**_MEDIUM, "total": DWORD, "index": DWORD, "data": OCTETS},
    likely=lambda said: 1 <= said["index"] <= said["total"],
    loose=True,
)
_RECEIVED = layout(id=DWORD, indices=Maybe(Counted(BYTE, WORD)))  # none: it is complete
_RESULTS = layout(request_serial=WORD, found=Counted(WORD, Layout({"id": DWORD, **_FOUND})))

MESSAGES = (
    Message(0x0800, UP, "media event", "多媒体事件信息上传", every(Layout(_MEDIUM))),
    Message(0x0801, UP, "media data", "多媒体数据上传", {"2011": _DATA_2011, "2013": _DATA, "2019": _DATA}),
    # 2011 does not say how wide an index is; its own 0x0801 has DWORDs
    Message(
        0x8800, DOWN, "media data received", "多媒体数据上传应答",
        {
            "2011": layout(request_serial=WORD, id=DWORD, indices=Maybe(Counted(BYTE, DWORD))),
            "2013": _RECEIVED,
            "2019": _RECEIVED,
        },
    ),
    # command: 0 stop, 0xFFFF record, n photographs; save: 1 keep, 0 send at once; resolution: 1 320x240, 2 640x480,
    # 3 800x600, 4 1024x768, 5 QCIF, 6 CIF, 7 half D1, 8 D1, and in 2019 0 lowest, 0xFF highest
    Message(
        0x8801, DOWN, "photograph now", "摄像头立即拍摄命令",
        every(
            layout(
                channel=BYTE, command=WORD, interval_s=WORD, save=BYTE, resolution=BYTE,
                quality=BYTE, brightness=BYTE, contrast=BYTE, saturation=BYTE, chroma=BYTE,
            )
        ),
    ),
    # result: 0 done, 1 failed, 2 no such channel; ids are given where it is 0 (printed offset 4 for 5)
    Message(
        0x0805, UP, "photographed", "摄像头立即拍摄命令应答",
        since_2013(layout(request_serial=WORD, result=BYTE, ids=Maybe(Counted(WORD, DWORD)))),
    ),
    Message(0x8802, DOWN, "search stored media", "存储多媒体数据检索", every(Layout(_SEARCH))),
    Message(
        0x0802, UP, "stored media", "存储多媒体数据检索应答",
        {
            "2011": layout(request_serial=WORD, total=WORD, found=Counted(BYTE, Layout(_FOUND))),
            "2013": _RESULTS,
            "2019": _RESULTS,
        },
    ),
    # delete: 0 keep, 1 delete
    Message(0x8803, DOWN, "send stored media", "存储多媒体数据上传", every(Layout({**_SEARCH, "delete": BYTE}))),
    # command: 0 stop, 1 start; time_s 0: on and on; sampling: 0 8 kHz, 1 11 kHz, 2 23 kHz, 3 32 kHz
    Message(
        0x8804, DOWN, "record sound", "录音开始命令",
        every(layout(command=BYTE, time_s=WORD, save=BYTE, sampling=BYTE)),
    ),
    Message(
        0x8805, DOWN, "send one stored medium", "单条存储多媒体数据检索上传命令",
        since_2013(layout(id=DWORD, delete=BYTE)),
    ),
)  # fmt: skip
